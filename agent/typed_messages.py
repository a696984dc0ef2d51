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
        self, session: AgentSession[None], guard: CallGuard, answer: Answer, longest: int = 0
    ) -> None:
        self._session = session
        self._guard = guard
        self._answer = answer
        self._longest = longest or _LONGEST
        self._tasks: set[asyncio.Task[None]] = set()

    def receive_from(self, room: rtc.Room) -> None:
        """Receives the messages of a room from now on."""
        self._room = room
        room.register_text_stream_handler(TOPIC_CHAT, self._on_stream)

    async def aclose(self) -> None:
        self._room.unregister_text_stream_handler(TOPIC_CHAT)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _on_stream(self, reader: rtc.TextStreamReader, sender: str) -> None:
        caller = self._caller(sender)
        if caller is None or len(self._tasks) >= _MAX_OPEN:
            reader.close()
            if caller:
                self._guard.refuse(Refusal.RATE)
            return
        task = asyncio.create_task(self._receive(reader, caller))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _caller(self, sender: str) -> rtc.RemoteParticipant | None:
        """Returns the sender if the agent listens to them, or if it does not know yet to whom."""
        try:
            linked = self._session.room_io.linked_participant
        except RuntimeError:  # the session is being started
            linked = None
        if linked and linked.identity != sender:
            return None
        return linked or self._room.remote_participants.get(sender)

    async def _receive(self, reader: rtc.TextStreamReader, caller: rtc.RemoteParticipant) -> None:
        try:
            async with asyncio.timeout(_READ_WITHIN):
                text = await self._read(reader)
        except (TimeoutError, rtc.StreamError):
            return
        if not text.strip() or not self._guard.admits(len(text)):
            return
        event = room_io.TextInputEvent(text=text, info=reader.info, participant=caller)
        try:
            await self._answer(self._session, event)
        except RuntimeError as error:  # the session is being closed
            _logger.debug("a typed message is not answered: %s", type(error).__name__)

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
