"""Carries a supervisor's instructions to the agent of a call, past everybody else in the room.

LiveKit delivers them to the agent alone. A participant may send the agent data as well, and one who
is hidden without a name, as a server does. So each instruction is signed, with a key that no
participant has, for one room and a short time.
"""

import asyncio
import hmac
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable

import jwt
from livekit import rtc

from llm_router.clock import Clock
from llm_router.periodic import log_bug
from llm_router.voice.supervision import MAX_WHISPER

_logger = logging.getLogger("agent")

TOPIC = "patchbay.whisper"
_MAX_LENGTH = 8 * MAX_WHISPER
"""Bytes of a signed instruction that are read at all."""
_LASTS = 30
"""Seconds for which it may be on its way; the clocks of two machines differ a little."""
_KNOWN = 64
"""Instructions that are remembered, so that none counts twice."""
_PURPOSE = b"patchbay instruction to an agent"


class Whispers:
    """Signs and reads instructions, with a key that is derived from LiveKit's secret."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), _PURPOSE, "sha256")
        self._known: deque[str] = deque(maxlen=_KNOWN)

    def sign(self, room: str, text: str, now: float) -> bytes:
        """Returns an instruction as it is sent; `now` is in seconds since 1970."""
        claims = {"room": room, "text": text, "exp": int(now) + _LASTS, "jti": secrets.token_hex(8)}
        return jwt.encode(claims, self._key, algorithm="HS256").encode()

    def read(self, room: str, data: bytes, now: float) -> str | None:
        """Returns the instruction, once; None if it is none of ours, of another room or too old."""
        if len(data) > _MAX_LENGTH:
            return None
        options = {"require": ["room", "text", "exp", "jti"], "verify_exp": False}
        try:
            claims = jwt.decode(data, self._key, algorithms=["HS256"], options=options)  # type: ignore[arg-type]  # a plain dict is what it takes
        except (jwt.InvalidTokenError, ValueError):
            return None
        if claims["room"] != room or not now < claims["exp"] <= now + 2 * _LASTS:
            return None
        if claims["jti"] in self._known:
            return None
        self._known.append(claims["jti"])
        return str(claims["text"])[:MAX_WHISPER]


class WhisperReceiver:
    """Receives the instructions for the agent of a room, from `follow` to `aclose`."""

    def __init__(
        self, whispers: Whispers, take: Callable[[str], Awaitable[None]], clock: Clock
    ) -> None:
        self._whispers = whispers
        self._take = take
        self._clock = clock
        self._room: rtc.Room | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def follow(self, room: rtc.Room) -> None:
        self._room = room
        room.on("data_received", self._on_data)

    async def aclose(self) -> None:
        if self._room:
            self._room.off("data_received", self._on_data)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _on_data(self, packet: rtc.DataPacket) -> None:
        if packet.topic != TOPIC or packet.participant is not None or self._room is None:
            return
        text = self._whispers.read(self._room.name, packet.data, self._clock.wall())
        if text is None:
            _logger.warning(
                "ignored an instruction to the agent of room %s: it is forged, too old or sent"
                " twice; if it was none of yours, check who has LIVEKIT_API_SECRET",
                self._room.name,
            )
            return
        task = asyncio.create_task(self._tell(text), name="whisper")
        task.add_done_callback(log_bug)
        task.add_done_callback(self._tasks.discard)
        self._tasks.add(task)

    async def _tell(self, text: str) -> None:
        await self._take(text)
