"""Takes a message from a caller by telephone: a greeting, a beep, and what they say."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import Agent, AgentSession, ConversationItemAddedEvent, StopResponse, llm

from agent.phone.dictation import Dictation, DictationRules
from agent.phone.keypad import FieldRules
from agent.phone.keys import CallerKeys
from agent.phone.line import wait_for_first_word
from agent.phone.recording import Frames, Recording, RecordingOptions, voice_of
from agent.saying import wait_until_said
from llm_router.clock import Clock, SystemClock, utc_now
from llm_router.errors import StoreError
from llm_router.routing.phrases import Phrases
from llm_router.voice.messages import Message, MessageBox

_logger = logging.getLogger("agent")
_EVERY = 0.2
"""Seconds from one check to the next whether the message is over."""
_SAID_WITHIN = 15.0
"""Seconds that a sentence, or the beep, may take."""
_CHARACTERS = 8.0
"""Characters that a slow voice says in a second."""
_ONE_KEY = FieldRules(minimum=1, maximum=1, terminator="", first_within=3600.0, words_end=False)
_TRIES = 3
_STORED_WITHIN = 2.0
"""Seconds of one try to store the message."""
_VOICED = 1.0
"""Seconds of speech without recognised words that are a message all the same."""
_BEEP_RATE = 24_000
_BEEP_HERTZ = 1_000.0
_BEEP_SECONDS = 0.4
_BEEP_LEVEL = 6_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VoicemailOptions:
    """How messages are taken. `greeting`: empty for the usual phrase."""

    greeting: str = ""
    rules: DictationRules = field(default_factory=DictationRules)
    recordings: RecordingOptions | None = None
    """Where voices are recorded; None: messages are text alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """The facts about a message besides its words. `name` is that of no other message."""

    name: str
    room: str
    assistant: str
    contact: str


def voice_of_caller(session: AgentSession[Any]) -> Frames | None:
    """Returns the sound of the session's caller; None: there is none."""
    try:
        caller = session.room_io.linked_participant
    except RuntimeError:  # a session without a room
        return None
    return voice_of(caller) if caller else None


class Voicemail(Agent):
    """The agent of a call whose caller leaves a message. Close it at the end of the call.

    The message is stored when it is over, and also when the caller hangs up in its middle.
    `earlier` are words that an agent before has taken; `voice` returns the caller's sound.
    """

    def __init__(
        self,
        options: VoicemailOptions,
        envelope: Envelope,
        box: MessageBox,
        keys: CallerKeys,
        *,
        phrases: Phrases,
        language: str,
        earlier: str = "",
        voice: Callable[[AgentSession[Any]], Frames | None] = voice_of_caller,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(instructions="", llm=None)
        self._options = options
        self._envelope = envelope
        self._box = box
        self._keys = keys
        self._phrases = phrases
        self._language = language
        self._earlier = earlier
        self._voice = voice
        self._clock = clock or SystemClock()
        self._dictation: Dictation | None = None
        self._recording: Recording | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_ended_by_key = False
        self._storing: asyncio.Task[bool | None] | None = None

    async def on_enter(self) -> None:
        self.session.on("user_input_transcribed", self._on_words)
        self.session.on("user_state_changed", self._on_voice)
        self._task = asyncio.create_task(self._serve(self.session), name="voicemail")

    async def on_user_turn_completed(
        self,
        turn_ctx: llm.ChatContext,  # noqa: ARG002  LiveKit passes it
        new_message: llm.ChatMessage,
    ) -> None:
        """Answers nothing; the words become part of the stored call."""
        self.session.emit("conversation_item_added", ConversationItemAddedEvent(item=new_message))
        raise StopResponse

    async def aclose(self) -> None:
        """Ends the recording and stores the message, if that is not done."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._store()

    async def _serve(self, session: AgentSession[Any]) -> None:
        pressing = asyncio.create_task(self._follow_keys(), name="keys of a message")
        try:
            await self._take_message(session)
        finally:
            pressing.cancel()
            await asyncio.wait([pressing])

    async def _take_message(self, session: AgentSession[Any]) -> None:
        if not await wait_for_first_word(session):
            return
        again = self._phrases.pick("away", self._language, 0) if self._earlier else ""
        usual = self._options.greeting or self._phrases.pick(
            "voicemail.greeting", self._language, 0
        )
        first = again or usual
        greeting = session.say(first, allow_interruptions=False)
        await wait_until_said(greeting, _SAID_WITHIN + len(first) / _CHARACTERS)
        beep = session.say("", audio=_beep(), allow_interruptions=False, add_to_chat_ctx=False)
        await wait_until_said(beep, _SAID_WITHIN)
        self._begin(session)
        await self._until_over()
        is_stored = await self._store()
        occasion = {True: "reception.noted", False: "voicemail.failed", None: "goodbye"}[is_stored]
        words = self._phrases.pick(occasion, self._language, 0)
        last = session.say(words, allow_interruptions=False, add_to_chat_ctx=False)
        await wait_until_said(last, _SAID_WITHIN)
        session.shutdown(drain=False)

    def _begin(self, session: AgentSession[Any]) -> None:
        now = self._clock.now()
        self._dictation = Dictation(self._options.rules, now, self._earlier)
        if session.user_state == "speaking":
            self._dictation.voice(now, is_speaking=True)
        if self._options.recordings and (voice := self._voice(session)):
            self._recording = Recording(self._options.recordings, self._envelope.name, self._clock)
            self._recording.start(voice)

    async def _until_over(self) -> None:
        """Waits until the caller has said all, or presses the hash key."""
        while self._dictation and not self._dictation.is_over(self._clock.now()):
            if self._is_ended_by_key:
                return
            await self._clock.sleep(_EVERY)

    async def _follow_keys(self) -> None:
        """Takes all keys: only the hash key means something, and only after the tone."""
        while True:
            entry = await self._keys.read(_ONE_KEY, lambda: None)
            if entry.keys == "#" and self._dictation:
                self._is_ended_by_key = True

    def _on_words(self, event: Any) -> None:
        if self._dictation:
            self._dictation.words(event.transcript, self._clock.now(), is_final=event.is_final)

    def _on_voice(self, event: Any) -> None:
        if self._dictation:
            is_speaking = event.new_state == "speaking"
            self._dictation.voice(self._clock.now(), is_speaking=is_speaking)

    async def _store(self) -> bool | None:
        """Stores the message once, and returns whether it is stored; None: there is none.

        Where it is cancelled, the message is stored all the same, and the next call waits for that.
        """
        dictation, self._dictation = self._dictation, None
        if dictation:
            self._storing = asyncio.create_task(self._keep(dictation), name="store a message")
        return await asyncio.shield(self._storing) if self._storing else None

    async def _keep(self, dictation: Dictation) -> bool | None:
        text = dictation.text
        is_message = bool(text) or dictation.voiced(self._clock.now()) >= _VOICED
        if self._recording:
            await self._recording.aclose(keep=is_message)
        return await self._take(text) if is_message else None

    async def _take(self, text: str) -> bool:
        envelope = self._envelope
        message = Message(
            id=envelope.name,
            room=envelope.room,
            assistant=envelope.assistant,
            contact=envelope.contact,
            text=text,
            created_at=utc_now(self._clock),
        )
        reason = ""
        for _ in range(_TRIES):
            try:
                async with asyncio.timeout(_STORED_WITHIN):
                    await self._box.take(message)
            except (StoreError, TimeoutError) as error:
                reason = str(error) or "it gave no answer in time"
            else:
                return True
        _logger.error("the message of a caller in room %s is not stored: %s", envelope.room, reason)
        return False


def words_of_caller(context: llm.ChatContext) -> str:
    """Returns what the caller has said in a conversation."""
    return " ".join(
        item.text_content or ""
        for item in context.items
        if isinstance(item, llm.ChatMessage) and item.role == "user"
    )


async def _beep() -> AsyncIterator[rtc.AudioFrame]:
    times = np.arange(int(_BEEP_RATE * _BEEP_SECONDS)) / _BEEP_RATE
    samples = _BEEP_LEVEL * np.sin(2 * np.pi * _BEEP_HERTZ * times)
    data = samples.astype(np.int16).tobytes()
    yield rtc.AudioFrame(data, _BEEP_RATE, 1, len(times))
