"""The scoreboard: shares what each process has measured of a connection with the others.

Each call runs in a process of its own, which ends with the call. The process reports its
measurements here, and the next call starts from them. A report is an addition, never a replacement:
samples decay alike in every place, so reports may come from any number of processes, in any order,
and their sum is what one process would know that had measured all of it. Of two reports about a
breaker the later one holds, but of two openings the longer one.
"""

import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from llm_router.connections.record import Connection
from llm_router.routing.breaker import BreakerRecord
from llm_router.routing.latency import HALF_LIFE, LAYOUT, WEIGHTS, Weights

_NEGLIGIBLE = 1e-3
"""Samples that weigh less than this are dropped."""
RETENTION = 30 * 86_400.0
"""Seconds after which a connection that was not used is dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Measurements that one process has made of one connection since its last report.

    `at` is wall time (s since 1970). `breaker` is None unless it has changed.
    """

    key: str
    name: str
    at: float
    weights: Weights
    breaker: BreakerRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The sum of all reports about one connection, with the weights that they have at `at`.

    `version` is that of the breaker and rises over the whole board; 0: no report has mentioned it.
    """

    name: str
    at: float
    weights: Weights
    breaker: BreakerRecord = field(default_factory=BreakerRecord)
    version: int = 0


@dataclass(frozen=True, slots=True)
class BreakerChanges:
    """Breakers that have changed, by key, and the version up to which they are complete."""

    breakers: Mapping[str, BreakerRecord]
    version: int


class Scoreboard(Protocol):
    """A place where reports are added up.

    Every method raises ScoreboardError, and no other exception, when the board fails. No method
    blocks the loop. A call that is cancelled leaves the board consistent; a report that was being
    written then may or may not be on it.
    """

    async def read(self, keys: Collection[str]) -> Mapping[str, Entry]:
        """Returns the entries of these keys; keys without any report are left out."""

    async def write(self, reports: Sequence[Report]) -> None:
        """Adds the reports, all of them or none."""

    async def breaker_changes(self, since: int) -> BreakerChanges:
        """Returns the breakers whose version is above `since`; 0: all of them."""

    async def aclose(self) -> None: ...


def fingerprint(connection: Connection) -> str:
    """Returns the scoreboard's key for the connection as configured: a changed one starts afresh.

    It is a digest (BLAKE2b), because an address, a header or a key may be secret.
    """
    identity = [
        LAYOUT,
        connection.name,
        connection.provider,
        connection.base_url,
        connection.model_name,
        connection.api_key,
        sorted(connection.headers.items()),
    ]
    return hashlib.blake2b(json.dumps(identity).encode(), digest_size=16).hexdigest()


def decayed(weights: Weights, seconds: float) -> dict[int, float]:
    """Returns the weights of the samples `seconds` later. Negative: a clock was set back, and they
    stay as they are.
    """
    factor = 0.5 ** (max(0.0, seconds) / HALF_LIFE)
    later = {key: weight * factor for key, weight in weights.items()}
    return {key: weight for key, weight in later.items() if weight >= _NEGLIGIBLE}


def weights_to_json(weights: Weights) -> dict[str, float]:
    # Six digits: fewer would round away the decay of half a second.
    return {str(key): float(f"{weight:.6g}") for key, weight in weights.items()}


def weights_from_json(found: Any) -> Weights:
    """Reads the weights from a board, which another program may have written.

    Raises ValueError or TypeError for values that cannot be weights.
    """
    weights = {int(key): float(weight) for key, weight in dict(found).items()}
    if not all(0 <= key < WEIGHTS and 0 <= w < math.inf for key, w in weights.items()):
        raise ValueError("it holds weights that make no sense")
    return weights


def merge(entry: Entry | None, report: Report, last_version: int) -> Entry:
    """Returns the entry with the report added. `last_version` is the highest on the board."""
    if entry is None:
        entry = Entry(name=report.name, at=report.at, weights={})
    at = max(entry.at, report.at)
    weights = decayed(entry.weights, at - entry.at)
    for key, weight in decayed(report.weights, at - report.at).items():
        weights[key] = weights.get(key, 0.0) + weight
    merged = replace(entry, at=at, weights=weights)
    if report.breaker is None:
        return merged
    # At least the time in ms, so that versions keep rising on a board that was lost and made anew.
    version = max(last_version + 1, int(report.at * 1000))
    return replace(merged, breaker=_merged(entry.breaker, report.breaker), version=version)


def _merged(before: BreakerRecord, now: BreakerRecord) -> BreakerRecord:
    if before.is_open and now.is_open and before.open_until > now.open_until:
        return replace(before, openings=max(before.openings, now.openings))
    return now
