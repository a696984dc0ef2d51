"""The line of a cold transfer: the caller's own telephone, which is asked to call the person."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from livekit import rtc

from agent.phone.transfer.cold import Report
from agent.phone.transfer.room import CallRoom
from agent.phone.transfer.verdict import RING_FOR
from agent.survival.departures import Departures, is_gone


class CallerLine:
    """The telephone of a caller (an identity) in a call's room; `uri`: the person's address."""

    def __init__(self, room: CallRoom, caller: str, uri: str) -> None:
        self._room = room
        self._caller = caller
        self._uri = uri

    @asynccontextmanager
    async def on_hold(self) -> AsyncIterator[None]:
        async with self._room.on_hold(self._caller):
            yield

    async def caller_left(self) -> None:
        left = asyncio.Event()

        def on_left(person: rtc.RemoteParticipant) -> None:
            if person.identity == self._caller:
                left.set()

        def on_close(_: object) -> None:
            left.set()

        departures = Departures(self._room.rtc, on_left)
        self._room.session.on("close", on_close)
        try:
            if not is_gone(self._room.rtc, self._caller):
                await left.wait()
        finally:
            self._room.session.off("close", on_close)
            departures.close()

    async def refer(self) -> Report:
        return await self._room.refer(self._caller, self._uri, RING_FOR)
