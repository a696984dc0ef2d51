"""The port of a policy, and the sorted candidates that live on between two turns.

A policy is a module in this folder with `create() -> Policy`. It is pure: it reads no clock, draws
no random number and remembers nothing. It decides in two steps. `rank` orders endpoints for every
turn alike: the pool stores `RankedCandidates` sorted by it and moves only the endpoints that have
changed, so that a turn costs the same with a thousand endpoints as with ten. `choose` adapts that
order to one turn.
"""

import bisect
import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from llm_router.connections.record import Connection

Rank = tuple[float, ...]
"""Lower goes first; of two equal ranks, the endpoint that the user listed first."""


class CandidateView(Protocol):
    """An endpoint as a policy sees it. A policy sees only endpoints that may be asked."""

    @property
    def connection(self) -> Connection: ...

    @property
    def in_flight(self) -> int:
        """Replies it is generating."""

    def predicted(self, size: int) -> float | None:
        """Returns the expected seconds to its first clause at its present load; None: unmeasured.

        `size`: size class of the prompt.
        """


C = TypeVar("C", bound=CandidateView)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RankContext:
    """The facts that many turns share: the size class of the prompt (see `latency.size_class`) and
    the wanted seconds to the first clause (`target`).
    """

    size: int
    target: float


@dataclass(frozen=True, slots=True)
class RoutingContext:
    """The facts about a single turn.

    `last_connection`: name of the connection that answered the session last, or empty.
    `turn_number`: turns of the pool so far. `chance`: a random number in [0, 1).
    """

    rank_context: RankContext
    session_id: str = ""
    last_connection: str = ""
    turn_number: int = 0
    chance: float = 0.0


class Policy(Protocol):
    def rank(self, candidate: CandidateView, context: RankContext) -> Rank:
        """Returns the rank of an endpoint, which is the same for every session."""

    def choose(self, ranked: "RankedCandidates[C]", context: RoutingContext) -> list[C]:
        """Returns all candidates, best first: the primary, then the hedges and failovers."""


class CreatePolicy(Protocol):
    """The type of each policy module's `create`."""

    def __call__(self) -> Policy: ...


class RankedCandidates(Generic[C]):
    """Candidates sorted by rank, which stay sorted while they change one at a time."""

    _MAX_CACHED = 256

    def __init__(self, rank: Callable[[C], Rank]) -> None:
        self._rank = rank
        self._keys: list[Rank] = []
        """For each candidate its rank, with its place at the end."""
        self._candidates: list[C] = []
        self._key_of: dict[str, Rank] = {}
        self._cache: dict[str, object] = {}

    def put(self, candidate: C, place: int) -> None:
        """Adds a candidate, or moves one that has changed. `place`: where the user listed it."""
        name = candidate.connection.name
        key = (*self._rank(candidate), place)
        old = self._key_of.get(name)
        if key == old:
            return
        if old is None:
            self._cache.clear()
        else:
            self._drop(old)
        at = bisect.bisect(self._keys, key)
        self._keys.insert(at, key)
        self._candidates.insert(at, candidate)
        self._key_of[name] = key

    def discard(self, candidate: C) -> None:
        if key := self._key_of.pop(candidate.connection.name, None):
            self._cache.clear()
            self._drop(key)

    def find(self, name: str) -> C | None:
        key = self._key_of.get(name)
        return None if key is None else self._candidates[bisect.bisect_left(self._keys, key)]

    def ordered(self) -> list[C]:
        return self._candidates.copy()

    def ordered_with(self, candidate: C, rank: Rank) -> list[C]:
        """Returns the order that would result if this candidate had that rank."""
        old = self._key_of[candidate.connection.name]
        was = bisect.bisect_left(self._keys, old)
        at = bisect.bisect(self._keys, (*rank, old[-1]))
        ordered = self._candidates.copy()
        ordered.insert(at - (was < at), ordered.pop(was))
        return ordered

    def cached(self, key: str, compute: Callable[[], T]) -> T:
        """Returns the result of `compute`, cached until a candidate is added or removed.

        The result must depend on nothing about a candidate that may change.
        """
        if key not in self._cache:
            if len(self._cache) >= self._MAX_CACHED:
                del self._cache[next(iter(self._cache))]
            self._cache[key] = compute()
        return self._cache[key]  # type: ignore[return-value]  # one key, one kind of value

    def _drop(self, key: Rank) -> None:
        at = bisect.bisect_left(self._keys, key)
        del self._keys[at], self._candidates[at]

    def __iter__(self) -> Iterator[C]:
        return iter(self._candidates)

    def __len__(self) -> int:
        return len(self._candidates)


def load(candidate: CandidateView) -> float:
    """Returns the load with one reply more, relative to the weight."""
    weight = candidate.connection.weight
    return (candidate.in_flight + 1) / weight if weight else math.inf


def by_session(ranked: RankedCandidates[C], session_id: str) -> list[C]:
    """Returns a different order for each session; the first places are shared out by weight.

    Weighted rendezvous hashing (Thaler and Ravishankar, 1998; with the logarithm, shares follow the
    weights exactly): every process finds the same order, and when an endpoint goes, only its
    sessions move, each to the second endpoint of its own order.
    """

    def compute() -> list[C]:
        session = _number(session_id)
        names = ranked.cached("names", lambda: [(_number(c.connection.name), c) for c in ranked])
        by_distance = sorted(names, key=lambda n: _distance(session ^ n[0], n[1].connection.weight))
        return [candidate for _, candidate in by_distance]

    return ranked.cached(f"session {session_id}", compute).copy()


_MIX = 0xD1B54A32D192ED03
"""An odd multiplier without pattern (Steele and Vigna, 2021): each bit affects all higher bits."""
_ALL_BITS = 2**64 - 1


def _number(text: str) -> int:
    digest = hashlib.blake2b(text.encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest)


def _distance(pair: int, weight: float) -> float:
    """Returns an exponentially distributed distance, smaller for more weight; least goes first."""
    mixed = pair * _MIX & _ALL_BITS
    mixed = (mixed ^ mixed >> 32) * _MIX & _ALL_BITS
    return -math.log((mixed + 1) / 2**64) / weight if weight else math.inf
