"""Candidates for policies to rank, without endpoints behind them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llm_router.connections.record import Connection
from llm_router.routing.policies.base import C, Policy, RankContext, RankedCandidates


@dataclass(frozen=True)
class FakeCandidate:
    """A candidate with fixed facts. `times`: predicted time to first word by size class (s)."""

    connection: Connection
    in_flight: int = 0
    times: Sequence[float | None] = (None,) * 4

    @property
    def name(self) -> str:
        return self.connection.name

    def predicted(self, size: int) -> float | None:
        return self.times[size]


def rank_candidates(
    policy: Policy, candidates: Iterable[C], context: RankContext
) -> RankedCandidates[C]:
    """Ranks candidates given in the user's order."""
    ranked: RankedCandidates[C] = RankedCandidates(lambda each: policy.rank(each, context))
    for place, candidate in enumerate(candidates):
        ranked.put(candidate, place)
    return ranked
