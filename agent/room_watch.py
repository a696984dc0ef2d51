"""Watches LiveKit's rooms for callers without an agent of whom the database knows nothing.

LiveKit drops a request for an agent that no worker can take, and says nothing: no other watch
learns of a call by telephone then. The receptionist dies with its worker, and its callers are in no
table either. One HTTP process does so, at a low rate: this is the net below the other watches.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from agent.livekit_server import LiveKitError, LiveKitServer
from agent.receptionist.queue import CallMark, reception_name
from agent.staff import is_late
from agent.survival.identity import ROOM_ID
from agent.survival.rescuer import Lost, Rescuer
from llm_router.clock import Clock
from llm_router.periodic import OutageLog, PeriodicTask
from llm_router.store.leases import Lease
from llm_router.voice.calls import Call, CallFilters

_EVERY = 5.0
"""Seconds between readings of LiveKit's rooms."""
_ALONE_FOR = 4.0
"""Seconds for which a caller must have been without an agent: one may be on its way."""
_AGAIN_AFTER = 30.0
"""Seconds from one attempt for a room to the next."""
_MOST = 50
"""Rooms that are read one by one at a time; the others have their turn later."""
_REST = 60.0
"""Seconds after which a LiveKit that has failed is asked again."""
_CALLS = 1000
"""Stored calls that are left to the watch of calls."""


class CallSearch(Protocol):
    async def find(
        self, filters: CallFilters, *, limit: int = 50, offset: int = 0
    ) -> tuple[list[Call], int]: ...


class AloneRooms:
    """Decides for which rooms an agent is called, from those in which callers are alone. Pure."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def step(
        self, alone: Collection[str], now: float, *, unread: Collection[str] = ()
    ) -> list[str]:
        """Returns the rooms whose callers have been alone for long enough.

        `alone`: the rooms in which they are. `unread`: those that were not read this time.
        """
        waiting = {room: self._since[room] for room in unread if room in self._since}
        self._since = waiting | {room: self._since.get(room, now) for room in alone}
        due = [room for room in alone if now - self._since[room] >= _ALONE_FOR]
        for room in due:
            self._since[room] = now + _AGAIN_AFTER - _ALONE_FOR
        return due


def turn(rooms: Collection[str], last: str) -> list[str]:
    """Lists the rooms to read now: those after the `last` one that was read, in a circle."""
    ordered = sorted(rooms)
    following = [room for room in ordered if room > last]
    return [*following, *ordered[: len(ordered) - len(following)]][:_MOST]


class Net:
    """Calls agents and receptionists to the rooms whose callers are alone."""

    def __init__(
        self,
        livekit: LiveKitServer,
        calls: CallSearch,
        rescuer: Rescuer,
        agent_name: str,
        clock: Clock,
    ) -> None:
        self._livekit = livekit
        self._calls = calls
        self._rescuer = rescuer
        self._agent_name = agent_name
        self._clock = clock
        self._alone = AloneRooms()
        self._last = ""

    async def read(self, rooms: Mapping[str, str]) -> None:
        """Reads rooms, of which the metadata is given by name. Raises StoreError, LiveKitError."""
        known, _ = await self._calls.find(CallFilters(state="agent"), limit=_CALLS)
        unknown = rooms.keys() - {call.room for call in known}
        read = turn(unknown, self._last)
        self._last = read[-1] if read else ""
        alone = [room for room in read if await self._livekit.has_only_callers(room)]
        unread = unknown - set(read)
        for room in self._alone.step(alone, self._clock.now(), unread=unread):
            await self._answer(room, rooms[room])

    async def _answer(self, room: str, metadata: str) -> None:
        """Calls who is missing, unless the room is none of ours or its call is over."""
        mark = CallMark.read(metadata, self._agent_name)
        if mark and mark.waiting_since is not None:
            name = reception_name(self._agent_name)
            if (asked := await self._livekit.last_dispatch(room, name)) is not None:
                await self._livekit.ensure_agent(room, name, asked.to_metadata())
            return
        asked = await self._livekit.last_dispatch(room, self._agent_name)
        if asked is None:
            return
        stored, _ = await self._calls.find(CallFilters(room=room), limit=1)
        if stored and stored[0].metadata.get(ROOM_ID) == await self._livekit.room_id(room):
            return  # it has ended, or a person answers, or the watch of calls sees to it
        self._rescuer.rescue(Lost(room=room, dispatch=asked, is_new=True))


class LateListeners:
    """Removes supervisors who listen for longer than they may.

    The process that let them in does so as well, unless it is gone, and LiveKit lets one who was
    removed come back with a token that it has renewed.
    """

    def __init__(self, livekit: LiveKitServer, clock: Clock) -> None:
        self._livekit = livekit
        self._clock = clock
        self._last = ""

    async def read(self, rooms: Mapping[str, str]) -> None:
        """Reads some of the rooms, which are given by name. Raises LiveKitError."""
        for room in turn(rooms.keys(), self._last):
            self._last = room
            for person in await self._livekit.people(room):
                if is_late(person, self._clock.wall()):
                    await self._livekit.remove(room, person.identity)


class RoomReading:
    """Lists LiveKit's rooms, once for all readers; one for whom LiveKit fails reads less often."""

    def __init__(
        self,
        livekit: LiveKitServer,
        readers: Sequence[Callable[[Mapping[str, str]], Awaitable[None]]],
        clock: Clock,
    ) -> None:
        self._livekit = livekit
        self._readers = readers
        self._clock = clock
        self._rests_until = [0.0] * len(readers)
        """The time at which each reader has its next turn."""

    async def step(self) -> None:
        """Reads the rooms once. Raises StoreError."""
        now = self._clock.now()
        if not (due := [index for index, until in enumerate(self._rests_until) if until <= now]):
            return
        try:
            rooms = await self._livekit.rooms()
        except LiveKitError:  # which is logged
            self._rest(due)
            return
        for index in due:
            try:
                await self._readers[index](rooms)
            except LiveKitError:  # as above
                self._rest([index])

    def _rest(self, readers: Sequence[int]) -> None:
        for index in readers:
            self._rests_until[index] = self._clock.now() + _REST


@asynccontextmanager
async def room_watch(
    steps: Sequence[Callable[[], Awaitable[None]]], clock: Clock, lease: Lease
) -> AsyncIterator[None]:
    """Takes the steps during the block while it holds the lease: of several processes one does."""

    async def step() -> None:
        if await lease.acquire():
            for each in steps:
                await each()

    outage = OutageLog(
        "callers without an agent are not found until the database answers again",
        "callers without an agent are found again",
    )
    watching = PeriodicTask(step, clock, _EVERY, name="rooms without an agent", outage=outage)
    watching.start(delay=_EVERY)
    try:
        yield
    finally:
        await watching.aclose()
        await lease.release()
