"""Sends an agent out of its room as soon as the call is another agent's.

A call moves on when its agent shows no sign of life. On a busy machine that may be an agent that is
only slow: it must not speak beside the one that was called in its place. Either of two things tells
it so: a later agent in the room, or the epoch of the stored call.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from livekit import rtc

from agent.survival.identity import epoch_in
from llm_router.periodic import log_bug

_logger = logging.getLogger("agent")


def has_agent(room: rtc.Room, matches: Callable[[int, int], bool]) -> bool:
    """Returns whether an agent of the call is there whose epoch `matches` this one's."""
    mine = epoch_in(room.local_participant.identity, room.name)
    others = (epoch_in(who.identity, room.name) for who in room.remote_participants.values())
    return any(other and matches(other, mine) for other in others)


class Fence:
    """Lets one agent leave, once and without a word; `end` then ends its process."""

    def __init__(self, room: rtc.Room, end: Callable[[str], object]) -> None:
        self._room = room
        self._end = end
        self._leaving: asyncio.Task[None] | None = None
        room.on("participant_connected", self.check)

    def check(self, *_: Any) -> None:
        """Leaves if a later agent is in the room. Call it when this one has joined."""
        if self._room.isconnected() and has_agent(self._room, lambda other, mine: other > mine):
            self.leave()

    def leave(self) -> None:
        if self._leaving is None:
            _logger.warning(
                "another agent has the call in room %s: this one leaves", self._room.name
            )
            self._leaving = asyncio.create_task(self._leave(), name="leaving another agent's call")
            self._leaving.add_done_callback(log_bug)

    async def aclose(self) -> None:
        self._room.off("participant_connected", self.check)
        if self._leaving:
            await asyncio.wait({self._leaving})

    async def _leave(self) -> None:
        """Leaves the room before the session closes, which says the rest of a sentence."""
        try:
            await self._room.disconnect()
        finally:
            self._end("another agent answers the call")
