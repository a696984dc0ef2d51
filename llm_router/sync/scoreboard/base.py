"""The scoreboard: what one process has learnt of a connection, known to the others.

Each call runs in a process of its own, which dies with the call. What it learnt is noted here, and
the next call starts from it. A note is an addition, never a replacement: samples decay alike
wherever they are kept, so notes may come from any number of processes, in any order, and their sum
is what one process would know that had seen it all. Of two findings about a breaker the later
holds, but of two openings the longer.
"""

import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from llm_router.connections.record import Connection
from llm_router.errors import RouterError
from llm_router.routing.breaker import BreakerRecord
from llm_router.routing.latency import HALF_LIFE, LAYOUT, WEIGHTS, Weights

_NOTHING = 1e-3
"""Samples that weigh less than this are forgotten."""
KEPT_FOR = 30 * 86_400.0
"""Seconds after which a connection nobody has used is forgotten."""


class ScoreboardError(RouterError):
    """The scoreboard cannot be read or written; says where it is, why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What one process has found out about one connection since it last wrote a note.

    Times are on the wall clock, in seconds since 1970. `breaker` is None while it has not changed.
    """

    key: str
    name: str
    at: float
    weights: Weights
    breaker: BreakerRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the board holds of one connection: all notes together, as they weigh at `at`.

    `version` is that of the breaker, rising over the whole board; 0: nobody has spoken of it.
    """

    name: str
    at: float
    weights: Weights
    breaker: BreakerRecord = field(default_factory=BreakerRecord)
    version: int = 0


@dataclass(frozen=True, slots=True)
class News:
    """The breakers that have changed, and the version up to which this is known."""

    breakers: Mapping[str, BreakerRecord]
    version: int


class Scoreboard(Protocol):
    """Every method raises ScoreboardError and nothing else for what the board itself does.

    None blocks the loop. A call that is cancelled leaves the board whole; a note that was being
    written then may or may not be on it.
    """

    async def read(self, keys: Collection[str]) -> Mapping[str, Entry]:
        """What is known of these; a key nobody has written of is missing."""

    async def write(self, notes: Sequence[Note]) -> None:
        """Add the notes, all of them or none."""

    async def news(self, since: int) -> News:
        """The breakers noted after `since`, a version; 0: all of them."""

    async def aclose(self) -> None: ...


def key_of(connection: Connection) -> str:
    """Stands for the connection as it is set up: one that was changed starts afresh.

    A digest, because an address, a header or a key may be secret.
    """
    asked = [
        LAYOUT,
        connection.name,
        connection.provider,
        connection.base_url,
        connection.model_name,
        connection.api_key,
        sorted(connection.headers.items()),
    ]
    return hashlib.blake2b(json.dumps(asked).encode(), digest_size=16).hexdigest()


def faded(weights: Weights, seconds: float) -> dict[int, float]:
    """What samples weigh so much later. A clock that was set back makes nothing younger."""
    factor = 0.5 ** (max(0.0, seconds) / HALF_LIFE)
    return {key: weight * factor for key, weight in weights.items() if weight * factor >= _NOTHING}


def weights_to_json(weights: Weights) -> dict[str, float]:
    # Six digits: fewer would round away the decay of half a second.
    return {str(key): float(f"{weight:.6g}") for key, weight in weights.items()}


def weights_from_json(found: Any) -> Weights:
    """A board may have been written by anybody: what cannot be a weight is a ValueError or a
    TypeError.
    """
    weights = {int(key): float(weight) for key, weight in dict(found).items()}
    if not all(0 <= key < WEIGHTS and 0 <= w < math.inf for key, w in weights.items()):
        raise ValueError("it holds weights that make no sense")
    return weights


def merge(entry: Entry | None, note: Note, last_version: int) -> Entry:
    """The entry with the note added. `last_version` is the highest on the board."""
    if entry is None:
        entry = Entry(name=note.name, at=note.at, weights={})
    at = max(entry.at, note.at)
    weights = faded(entry.weights, at - entry.at)
    for key, weight in faded(note.weights, at - note.at).items():
        weights[key] = weights.get(key, 0.0) + weight
    merged = replace(entry, at=at, weights=weights)
    if note.breaker is None:
        return merged
    # At least the time in ms: versions go on rising on a board that was lost and begun again.
    version = max(last_version + 1, int(note.at * 1000))
    return replace(merged, breaker=_later(entry.breaker, note.breaker), version=version)


def _later(before: BreakerRecord, now: BreakerRecord) -> BreakerRecord:
    if before.is_open and now.is_open and before.open_until > now.open_until:
        return replace(before, openings=max(before.openings, now.openings))
    return now
