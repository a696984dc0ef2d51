"""Takes a message from a caller who would rather not wait; it is stored before it is promised."""

import asyncio
import hashlib
import logging
from collections.abc import Callable
from types import MappingProxyType

from livekit import rtc
from pydantic import BaseModel, Field, ValidationError

from llm_router.clock import Clock, utc_now
from llm_router.errors import StoreError
from llm_router.voice.messages import MAX_MESSAGE, MAX_NAME, Message, MessageBox
from llm_router.voice.redaction import redact

METHOD = "patchbay.message"
"""Remote procedure of the receptionist, which returns once the message is stored."""
TAKES_MESSAGES = MappingProxyType({"patchbay.takes_messages": "true"})
"""Attribute of a receptionist that takes a message."""
WRONG, BUSY, FAILED = 1600, 1601, 1602
"""Codes of the procedure's errors: not a message, not now, and not stored."""
_MOST_TRIES = 10
_STORED_WITHIN = 6.0
"""Seconds in which a message must be stored; else the caller learns that it is not."""
_logger = logging.getLogger("agent")
_AGENT = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT


class Letter(BaseModel):
    """A caller's message, and how they can be reached."""

    text: str = Field(min_length=1, max_length=MAX_MESSAGE, pattern=r"\S")
    contact: str = Field(default="", max_length=MAX_NAME)


class Letters:
    """Takes one message from the caller of a room. `on_taken` is called once it is stored."""

    def __init__(
        self,
        room: rtc.Room,
        box: MessageBox,
        assistant: str,
        clock: Clock,
        on_taken: Callable[[], None],
    ) -> None:
        self._room = room
        self._box = box
        self._assistant = assistant
        self._clock = clock
        self._on_taken = on_taken
        self._is_busy = False
        self._tries = 0
        self.are_taken = False

    async def open(self) -> None:
        """Takes a message from now on, and shows so."""
        self._room.local_participant.register_rpc_method(METHOD, self._take)
        await self._room.local_participant.set_attributes({**TAKES_MESSAGES})

    def close(self) -> None:
        """Takes none any more, as an agent is there or the call ends."""
        if self._room.isconnected():
            self._room.local_participant.unregister_rpc_method(METHOD)

    async def _take(self, data: rtc.RpcInvocationData) -> str:
        caller = self._room.remote_participants.get(data.caller_identity)
        # A call may come before the news that its caller is in the room.
        if caller is not None and caller.kind == _AGENT:
            raise rtc.RpcError(WRONG, "only the caller leaves a message")
        if self._is_busy or self.are_taken or self._tries >= _MOST_TRIES:
            raise rtc.RpcError(BUSY, "one message a call")
        self._tries += 1
        try:
            letter = Letter.model_validate_json(data.payload)
        except ValidationError:
            reason = (
                f'send {{"text": ..., "contact": ...}}, of {MAX_MESSAGE} and {MAX_NAME} letters'
            )
            raise rtc.RpcError(WRONG, reason) from None
        self._is_busy = True
        try:
            async with asyncio.timeout(_STORED_WITHIN):
                await self._box.take(await self._message(letter))
        except (StoreError, TimeoutError) as error:
            _logger.warning(
                "a caller's message was not stored: %s", str(error) or "no answer in time"
            )
            raise rtc.RpcError(FAILED, "the message is not stored; send it again") from None
        finally:
            self._is_busy = False
        self.are_taken = True
        self._on_taken()
        return ""

    async def _message(self, letter: Letter) -> Message:
        words = redact(letter.model_dump_json())  # a card's number could be guessed from a digest
        digest = hashlib.sha256(words.encode()).hexdigest()[:16]
        return Message(
            # The same one for each try, also with the next receptionist: what was stored after all
            # is not stored twice, and edited words are. It has LiveKit's id of the room, whose name
            # may have been that of an earlier call.
            id=f"queue-{await self._room.sid}-{digest}",
            room=self._room.name,
            assistant=self._assistant,
            contact=letter.contact,
            text=letter.text,
            created_at=utc_now(self._clock),
        )
