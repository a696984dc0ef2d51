"""Watches the calls that persons answer: no agent and no worker of ours is in their rooms.

One HTTP process does so, beside the watch of rooms. It notes their end, hangs up on the side that
is left alone, and has an agent answer again where a supervisor has gone without giving back.
"""

import logging
from typing import Literal

from agent.livekit_server import LiveKitError, LiveKitServer
from agent.staff import People
from agent.supervision import give_back
from agent.survival.identity import ROOM_ID
from agent.survival.rescuer import Rescuer
from llm_router.clock import Clock, utc_now
from llm_router.store.calls import CallStore
from llm_router.voice.calls import HANDED_TO, Call

_logger = logging.getLogger("agent.api")

_MOST = 200
"""Calls that are read at a time: those that were not seen for the longest."""

Fate = Literal["goes on", "given back", "over"]


def fate_of(call: Call, people: People) -> Fate:
    """Decides what becomes of a call that a person answers, from who is in its room. Pure."""
    if not people.callers:
        return "over"
    if people.answering:
        return "goes on"
    return "given back" if call.metadata.get(HANDED_TO) == "supervisor" else "over"


class HandedOver:
    """The calls that persons answer."""

    def __init__(
        self, livekit: LiveKitServer, calls: CallStore, rescuer: Rescuer, clock: Clock
    ) -> None:
        self._livekit = livekit
        self._calls = calls
        self._rescuer = rescuer
        self._clock = clock
        self._empty: set[str] = set()

    async def step(self) -> None:
        """Reads their rooms once. Raises StoreError; while LiveKit fails, nothing changes."""
        found = await self._calls.handed_over(_MOST)
        empty: set[str] = set()
        alive: list[str] = []
        for call in found:
            try:
                people = await self._people(call)
                fate = fate_of(call, people)
                # A page that is loaded again is away for a moment; a telephone does not come back.
                is_away = not people.callers and call.kind != "phone" and people.answering
                if is_away and call.id not in self._empty:
                    empty.add(call.id)
                    continue
                await self._carry_out(call, fate)
            except LiveKitError as error:
                _logger.warning(
                    "LiveKit does not say who is in room %s, so its call is left as it is until the"
                    " next check: %s",
                    call.room,
                    error,
                )
                fate = "goes on"
            if fate == "goes on":
                alive.append(call.id)
        self._empty = empty
        await self._calls.seen(alive, utc_now(self._clock))

    async def _people(self, call: Call) -> People:
        room_id = await self._livekit.room_id(call.room)
        if not room_id or call.metadata.get(ROOM_ID, room_id) != room_id:
            return People()
        return await self._livekit.persons(call.room)

    async def _carry_out(self, call: Call, fate: Fate) -> None:
        if fate == "given back":
            await give_back(call, self._livekit, self._calls, self._rescuer, self._clock)
        elif fate == "over":
            if call.metadata.get(ROOM_ID) == await self._livekit.room_id(call.room):
                await self._livekit.close_room(call.room)
            is_transferred = call.metadata.get(HANDED_TO) == "person"
            reason = "transferred" if is_transferred else "caller left"
            await self._calls.end(call.id, reason, utc_now(self._clock))
