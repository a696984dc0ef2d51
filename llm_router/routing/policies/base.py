"""What the router asks of a policy, and the order that is kept between two turns.

A policy is a module in this folder with `create() -> Policy`. It is pure: no clock, no chance of
its own, nothing remembered. It says two things. `rank` is where an endpoint stands, whoever asks:
the pool keeps `RankedCandidates` sorted by it and touches only those that have changed, so that a
turn costs the same with a thousand endpoints as with ten. `choose` is what one turn makes of it.
"""

import bisect
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from llm_router.connections.record import Connection

Rank = tuple[float, ...]
"""Lower goes first; of two the same, the one the user listed first."""


class CandidateView(Protocol):
    """One endpoint as a policy sees it. Only those that may be asked are shown to it."""

    @property
    def connection(self) -> Connection: ...

    @property
    def in_flight(self) -> int:
        """Replies it is busy with."""

    def predicted(self, size: int) -> float | None:
        """Seconds to its first clause, with what is in flight; None: nothing was measured yet."""


C = TypeVar("C", bound=CandidateView)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RankContext:
    """What many turns have in common: the size class of the prompt (see `latency.size_class`) and
    the seconds to the first clause that are wanted.
    """

    size: int
    target: float


@dataclass(frozen=True, slots=True)
class RoutingContext:
    """One turn: whose session, who answered it last (a connection's name or empty), how many turns
    there were, and a number in [0, 1) for what is left to chance.
    """

    aim: RankContext
    session_id: str = ""
    last: str = ""
    number: int = 0
    chance: float = 0.0


class Policy(Protocol):
    def rank(self, candidate: CandidateView, aim: RankContext) -> Rank:
        """Where it stands, whoever asks."""

    def choose(self, standing: "RankedCandidates[C]", turn: RoutingContext) -> list[C]:
        """All of them, best first: the first is the primary, the rest hedges and failovers."""


class CreatePolicy(Protocol):
    """The type of each policy module's `create`."""

    def __call__(self) -> Policy: ...


class RankedCandidates(Generic[C]):
    """Candidates sorted by rank, and kept so while they change one at a time."""

    _MOST_NOTES = 256

    def __init__(self, rank: Callable[[C], Rank]) -> None:
        self._rank = rank
        self._keys: list[Rank] = []  # its rank, and last its place
        self._candidates: list[C] = []
        self._key_of: dict[str, Rank] = {}
        self._notes: dict[str, object] = {}

    def put(self, candidate: C, place: int) -> None:
        """Take it in, or note that it has changed. `place` is where the user listed it."""
        name, key = candidate.connection.name, (*self._rank(candidate), place)
        old = self._key_of.get(name)
        if key == old:
            return
        if old is None:
            self._notes.clear()
        else:
            self._drop(old)
        at = bisect.bisect(self._keys, key)
        self._keys.insert(at, key)
        self._candidates.insert(at, candidate)
        self._key_of[name] = key

    def discard(self, candidate: C) -> None:
        if key := self._key_of.pop(candidate.connection.name, None):
            self._notes.clear()
            self._drop(key)

    def find(self, name: str) -> C | None:
        key = self._key_of.get(name)
        return None if key is None else self._candidates[bisect.bisect_left(self._keys, key)]

    def ordered(self) -> list[C]:
        return self._candidates.copy()

    def ordered_with(self, candidate: C, rank: Rank) -> list[C]:
        """The order if this one ranked so."""
        old = self._key_of[candidate.connection.name]
        was, at = bisect.bisect_left(self._keys, old), bisect.bisect(self._keys, (*rank, old[-1]))
        ordered = self._candidates.copy()
        ordered.insert(at - (was < at), ordered.pop(was))
        return ordered

    def once(self, key: str, work_out: Callable[[], T]) -> T:
        """What `work_out` gives, noted until somebody comes or goes: it must heed nothing of a
        candidate that changes.
        """
        if key not in self._notes:
            if len(self._notes) >= self._MOST_NOTES:
                del self._notes[next(iter(self._notes))]
            self._notes[key] = work_out()
        return self._notes[key]  # type: ignore[return-value]  # one key, one kind of value

    def _drop(self, key: Rank) -> None:
        at = bisect.bisect_left(self._keys, key)
        del self._keys[at], self._candidates[at]

    def __iter__(self) -> Iterator[C]:
        return iter(self._candidates)

    def __len__(self) -> int:
        return len(self._candidates)


def standing(policy: Policy, candidates: Iterable[C], aim: RankContext) -> RankedCandidates[C]:
    """Candidates, as the user listed them, put in order."""
    sorted_: RankedCandidates[C] = RankedCandidates(lambda candidate: policy.rank(candidate, aim))
    for place, candidate in enumerate(candidates):
        sorted_.put(candidate, place)
    return sorted_


def load(candidate: CandidateView) -> float:
    """How busy it would be with one reply more, for its weight."""
    weight = candidate.connection.weight
    return (candidate.in_flight + 1) / weight if weight else math.inf


def by_session(standing: RankedCandidates[C], session_id: str) -> list[C]:
    """An order of its own for each session; over many sessions, those in front share by weight.

    Weighted rendezvous hashing (Thaler and Ravishankar, 1998; with the logarithm shares follow the
    weights exactly): every process finds the same order, and when one goes, its sessions alone
    move, each to the second of its own order.
    """

    def work_out() -> list[C]:
        session = _number(session_id)
        names = standing.once("names", lambda: [(_number(c.connection.name), c) for c in standing])
        by_distance = sorted(names, key=lambda n: _distance(session ^ n[0], n[1].connection.weight))
        return [candidate for _, candidate in by_distance]

    return standing.once(f"session {session_id}", work_out).copy()


_MIX, _ALL_BITS = 0xD1B54A32D192ED03, 2**64 - 1
"""An odd multiplier without pattern (Steele and Vigna, 2021): each bit stirs all those above it."""


def _number(text: str) -> int:
    digest = hashlib.blake2b(text.encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest)


def _distance(pair: int, weight: float) -> float:
    """Exponentially distributed, the less the more weight: the least of all is the first."""
    mixed = pair * _MIX & _ALL_BITS
    mixed = (mixed ^ mixed >> 32) * _MIX & _ALL_BITS
    return -math.log((mixed + 1) / 2**64) / weight if weight else math.inf
