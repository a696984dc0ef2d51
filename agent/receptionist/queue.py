"""Decides who waits, at which place, and for how long. Pure: times (s) are given.

LiveKit's list of rooms is the queue: a room's metadata says whether its caller waits, and since
when. So the queue is right after any crash, and the same for every process.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Self

ATTRIBUTES = MappingProxyType({"patchbay.role": "reception"})
"""Attributes of the receptionist, who is an agent to LiveKit."""
PLACE = "patchbay.place"
"""Attribute of the receptionist: the caller's place in the queue, for pages that show it."""
_WAITING = "waiting"


def reception_name(agent_name: str) -> str:
    """Returns the agent name under which LiveKit calls the receptionist."""
    return f"{agent_name}-reception"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallMark:
    """The metadata of a visitor's room."""

    caller: str
    """Hash of the caller's address."""
    site: str = ""
    """Name of the site that they call from; empty: none of others."""
    waiting_since: float | None = None
    """When the caller began to wait (s since 1970); None: an agent is there or on its way."""

    def to_metadata(self, agent_name: str) -> str:
        since = self.waiting_since
        wait = "" if since is None else f" {_WAITING} {since:.3f}"
        site = f"@{self.site}" if self.site else ""
        return f"{agent_name} {self.caller}{site}{wait}"

    @classmethod
    def read(cls, metadata: str, agent_name: str) -> Self | None:
        """Returns the mark of a room, or None if it is none of this agent's calls."""
        mark = f"{agent_name} "
        if not metadata.startswith(mark):
            return None
        visitor, _, rest = metadata.removeprefix(mark).partition(" ")
        caller, _, site = visitor.partition("@")
        word, _, since = rest.partition(" ")
        try:
            waiting_since = float(since) if word == _WAITING else None
        except ValueError:
            waiting_since = None
        return cls(caller=caller, site=site, waiting_since=waiting_since)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """The calls of an agent at one moment."""

    callers: Sequence[str]
    """The caller of each call that has an agent."""
    queue: Sequence[str]
    """The rooms whose callers wait, the longest wait first."""
    waiting: Sequence[str]
    """The callers in these rooms."""
    sites: Sequence[str] = ()
    """The site of each caller, with an agent or in the queue; empty for those of none."""

    @classmethod
    def of(cls, rooms: Mapping[str, str], agent_name: str) -> Self:
        """Reads the lines from LiveKit's rooms: the metadata of each by its name."""
        marks = {room: CallMark.read(text, agent_name) for room, text in rooms.items()}
        calls = [mark.caller for mark in marks.values() if mark and mark.waiting_since is None]
        waits = sorted(
            (mark.waiting_since, room, mark.caller)
            for room, mark in marks.items()
            if mark and mark.waiting_since is not None
        )
        return cls(
            callers=calls,
            queue=[room for _, room, _ in waits],
            waiting=[caller for *_, caller in waits],
            sites=[mark.site for mark in marks.values() if mark],
        )

    def position(self, room: str) -> int:
        """Returns the place of a room in the queue, from 1; 0 if it does not wait."""
        return self.queue.index(room) + 1 if room in self.queue else 0


class Step(StrEnum):
    """A step that is due for a caller who waits; also the phrase that goes with it."""

    BUSY = "reception.busy"
    PLACE = "reception.place"
    OFFER = "reception.offer"
    CONNECT = "reception.connect"
    GIVE_UP = "reception.sorry"


class Wait:
    """The wait of one caller: when to say their place, to connect them, and to give up.

    A caller who may leave a message, with `offers`, learns it at first and before the wait ends.

    The first of the queue takes a place that has become free. The second one takes it too if it is
    still free some seconds later, and so on: whatever has happened to the first one then, the queue
    goes on.
    """

    _REPEAT = 20.0
    _BETWEEN = 6.0
    """Seconds at least from one sentence to the next."""
    _TURN = 5.0
    """Seconds that each caller ahead has to take a free place."""
    _RETRY = 16.0
    """Seconds from one attempt to connect to the next; LiveKit drops those that no worker takes."""

    _LAST_OFFER = 45.0
    """Seconds before the end of the wait."""

    def __init__(self, longest: float, now: float, *, offers: bool = False) -> None:
        self._ends = now + longest
        self._offers = offers
        self._offers_again = offers and longest >= 2 * self._LAST_OFFER
        self._said_at: float | None = None
        self._said_place = 0
        self._free_since: float | None = None
        self._tried_at: float | None = None

    def due(self, position: int, *, is_free: bool, now: float) -> Sequence[Step]:
        """Returns the steps that are due, each once. `is_free`: whether an agent could come."""
        if now >= self._ends:
            return [Step.GIVE_UP]
        self._free_since = (self._free_since or now) if is_free else None
        if self._may_connect(position, now):
            self._tried_at = self._said_at = now
            return [Step.CONNECT]
        if self._said_at is None:
            self._said_at, self._said_place = now, position
            return [Step.BUSY, Step.PLACE, Step.OFFER] if self._offers else [Step.BUSY, Step.PLACE]
        if self._offers_again and now >= self._ends - self._LAST_OFFER:
            self._offers_again, self._said_at = False, now
            return [Step.OFFER]
        quiet = now - self._said_at
        has_moved = position != self._said_place and quiet >= self._BETWEEN
        if quiet >= self._REPEAT or has_moved:
            self._said_at, self._said_place = now, position
            return [Step.PLACE]
        return []

    def _may_connect(self, position: int, now: float) -> bool:
        if self._free_since is None or not position:
            return False
        has_turn = now - self._free_since >= (position - 1) * self._TURN
        return has_turn and (self._tried_at is None or now - self._tried_at >= self._RETRY)
