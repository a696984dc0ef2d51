"""Receives what a caller types, as much of it as the call's limits allow."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from livekit import rtc
from livekit.agents import AgentSession
from livekit.agents.types import TOPIC_CHAT
from livekit.agents.voice import room_io

from agent.budget import Refusal
from agent.guard import CallGuard

_logger = logging.getLogger("agent")

_MAX_OPEN = 4
"""Messages that may be under way at a time."""
_READ_WITHIN = 10.0
"""Seconds in which a message must have come."""
_LONGEST = 20_000
"""Characters that are read of a message, if the call sets no limit."""

Answer = Callable[[AgentSession[None], room_io.TextInputEvent], Awaitable[None]]


class TypedMessages:
    """Reads the typed messages of the caller whom the agent listens to, and has them answered.

    It takes the place of LiveKit's own reader, which reads a message to its end however long it
    is. Messages of other participants are closed unread, and so are more than four at a time.
    """

    def __init__(
        self,
        session: AgentSession[None],
        room: rtc.Room,
        guard: CallGuard,
        answer: Answer,
        longest: int = 0,
    ) -> None:
        self._session = session
        self._room = room
        self._guard = guard
        self._answer = answer
        self._longest = longest or _LONGEST
        self._tasks: set[asyncio.Task[None]] = set()

    def receive(self) -> None:
        """Receives the messages of the room from now on."""
        self._room.register_text_stream_handler(TOPIC_CHAT, self._on_stream)

    async def aclose(self) -> None:
        self._room.unregister_text_stream_handler(TOPIC_CHAT)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _on_stream(self, reader: rtc.TextStreamReader, sender: str) -> None:
        caller = self._session.room_io.linked_participant
        is_other = caller is not None and caller.identity != sender
        if is_other or len(self._tasks) >= _MAX_OPEN:
            reader.close()
            if not is_other:
                self._guard.refuse(Refusal.RATE)
            return
        task = asyncio.create_task(self._receive(reader, sender))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _receive(self, reader: rtc.TextStreamReader, sender: str) -> None:
        try:
            async with asyncio.timeout(_READ_WITHIN):
                text = await self._read(reader)
                # A message may come before the agent has learnt that its writer is in the room.
                await self._session.room_io.wait_for_ready()
        except (TimeoutError, rtc.StreamError):
            return
        caller = self._session.room_io.linked_participant
        if caller is None or caller.identity != sender:
            return
        if not text.strip() or not self._guard.admits(len(text)):
            return
        event = room_io.TextInputEvent(text=text, info=reader.info, participant=caller)
        try:
            await self._answer(self._session, event)
        except RuntimeError as error:
            _logger.warning("a typed message was not answered: %s", error)

    async def _read(self, reader: rtc.TextStreamReader) -> str:
        """Reads a message, and of one that is too long only so much that this shows."""
        pieces: list[str] = []
        length = 0
        try:
            async for piece in reader:
                pieces.append(piece[: self._longest + 1 - length])
                length += len(pieces[-1])
                if length > self._longest:
                    break
        finally:
            reader.close()
        return "".join(pieces)
