"""Defines the figures of attempts, and adds them up from rows of sums and of times. No I/O."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_router.store.summaries import MEASURES, SUMS
from llm_router.store.time_buckets import quantile

NO_FAILURE = ("won", "lost", "cancelled")
"""Outcomes of attempts that did not fail."""
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Totals of attempts. Times in seconds, quantiles to 5 %; `cost` in the prices' currency.

    `requests` counts requests to the router, each of which has one first attempt. `failovers`,
    `retries`, `resumes` and hedges count the further attempts, by their role. `outcomes` are
    `won`, `lost`, `cancelled`, and the failure classes. `estimated`: attempts whose tokens the
    server did not count. `ttft` and `ttfc` map quantiles to the time to first word and to first
    clause (s), of the attempts that got so far.
    """

    requests: int = 0
    attempts: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    failed: int = 0
    failovers: int = 0
    retries: int = 0
    resumes: int = 0
    hedges_won: int = 0
    hedges_lost: int = 0
    silence_avoided: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    estimated: int = 0
    cost: float = 0.0
    ttft: Mapping[str, float] = field(default_factory=dict)
    ttfc: Mapping[str, float] = field(default_factory=dict)


class FigureSums:
    """Adds up the rows of one group of attempts."""

    def __init__(self) -> None:
        self._sums: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._roles: Counter[str] = Counter()
        self._delivered: Counter[str] = Counter()
        self.times: dict[str, Counter[int]] = {measure: Counter() for measure in MEASURES}

    def add(self, role: str, outcome: str, sums: Sequence[Any]) -> None:
        values = dict(zip(SUMS, sums, strict=True))
        for name, value in values.items():
            self._sums[name] += value  # PostgreSQL's sums may be Decimal; Figures has plain numbers
        self._outcomes[outcome] += values["attempts"]
        self._roles[role] += values["attempts"]
        self._delivered[role] += values["heard"]

    def figures(self) -> Figures:
        sums = self._sums
        return Figures(
            requests=self._roles["first"],
            attempts=int(sums["attempts"]),
            outcomes=dict(sorted(self._outcomes.items())),
            failed=sum(n for outcome, n in self._outcomes.items() if outcome not in NO_FAILURE),
            failovers=self._roles["failover"],
            retries=self._roles["retry"],
            resumes=self._roles["resume"],
            hedges_won=self._delivered["hedge"],
            hedges_lost=self._roles["hedge"] - self._delivered["hedge"],
            silence_avoided=float(sums["silence_avoided"]),
            tokens_in=int(sums["tokens_in"]),
            tokens_out=int(sums["tokens_out"]),
            tokens_cached=int(sums["tokens_cached"]),
            estimated=int(sums["estimated"]),
            cost=float(sums["cost"]),
            ttft=_quantiles(self.times["ttft"]),
            ttfc=_quantiles(self.times["ttfc"]),
        )


def _quantiles(counts: Mapping[int, int]) -> dict[str, float]:
    if not counts:
        return {}
    return {name: quantile(counts, q) for name, q in _QUANTILES.items()}
