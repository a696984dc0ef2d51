"""A participant of a call's room, who sees what LiveKit says of the telephone and presses keys."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from livekit import rtc

_SIP = rtc.ParticipantKind.PARTICIPANT_KIND_SIP
_CODES = {"*": 10, "#": 11}


@dataclass
class Listener:
    """A room as it is now, and the keys that telephones have pressed in it."""

    room: rtc.Room
    digits: str = ""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def telephones(self) -> list[rtc.RemoteParticipant]:
        return [one for one in self.room.remote_participants.values() if one.kind == _SIP]

    async def wait_for_digits(self, number: int, within: float = 20.0) -> str:
        """Waits until so many keys were pressed, and returns them."""
        try:
            async with asyncio.timeout(within):
                while len(self.digits) < number:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"only {self.digits!r} came") from None
        return self.digits

    async def wait_for_agent(self, epoch: int, within: float = 30.0) -> None:
        """Waits until the agent of an epoch is in the room."""
        try:
            async with asyncio.timeout(within):
                while f"agent-{self.room.name}-{epoch}" not in self.room.remote_participants:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"only {[*self.room.remote_participants]} came") from None

    async def press(self, digits: str) -> None:
        """Sends keys to all telephones of the room."""
        for digit in digits:
            code = _CODES[digit] if digit in _CODES else int(digit)
            await self.room.local_participant.publish_dtmf(code=code, digit=digit)

    def take(self, key: rtc.SipDTMF) -> None:
        self.digits += key.digit
        self._changed.set()

    def notice(self, *_: object) -> None:
        self._changed.set()


@asynccontextmanager
async def listening(url: str, token: str) -> AsyncIterator[Listener]:
    """Joins a room during the block."""
    room = rtc.Room()
    listener = Listener(room)
    room.on("sip_dtmf_received", listener.take)
    room.on("participant_connected", listener.notice)
    await room.connect(url, token)
    try:
        yield listener
    finally:
        await room.disconnect()
