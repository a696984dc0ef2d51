"""A caller leaves a message: what is said, what is stored, and when."""

import asyncio
import wave
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import rtc
from livekit.agents import AgentSession, ConversationItemAddedEvent, StopResponse, llm
from livekit.agents.voice import io

from agent.budget import CallLimits
from agent.guard import CallGuard
from agent.phone.keys import CallerKeys
from agent.phone.recording import RATE, RecordingOptions
from agent.phone.voicemail import Envelope, Voicemail, VoicemailOptions, words_of_caller
from llm_router.clock import SystemClock
from llm_router.errors import StoreError
from llm_router.routing.phrases import Phrases
from llm_router.testing import ManualClock
from llm_router.voice.messages import Message
from tests.contracts.voiced import ClickTTS, Mouth

PHRASES = Phrases({
    "en": {
        "voicemail.greeting": ["Please leave a message."],
        "voicemail.failed": ["It could not be stored."],
        "reception.noted": ["It is noted."],
        "goodbye": ["Goodbye."],
        "away": ["I was gone."],
    }
})  # fmt: skip
ENVELOPE = Envelope(name="voicemail-RM_1", room="phone-x", assistant="shop", contact="+15550123")
CALLER = SimpleNamespace(identity="sip", kind=rtc.ParticipantKind.PARTICIPANT_KIND_SIP)


class Box:
    """Takes messages, after failing some times."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.taken: list[Message] = []

    async def take(self, message: Message) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreError("the database is away")
        self.taken.append(message)


class SlowBox(Box):
    """Takes a second for each message."""

    def __init__(self) -> None:
        super().__init__()
        self.has_begun = asyncio.Event()

    async def take(self, message: Message) -> None:
        self.has_begun.set()
        await SystemClock().sleep(1)
        await super().take(message)


class Voice:
    """A voice without end: a second of sound at a time."""

    async def __aiter__(self) -> AsyncIterator[rtc.AudioFrameEvent]:
        while True:
            yield rtc.AudioFrameEvent(rtc.AudioFrame(bytes(2 * RATE), RATE, 1, RATE))
            await SystemClock().sleep(1)

    async def aclose(self) -> None: ...


class LongMouth(Mouth):
    """Plays its first words for a minute, and all others at once."""

    def __init__(self) -> None:
        super().__init__()
        self.is_first = True

    def flush(self) -> None:
        if not (self.is_first and self._played):
            super().flush()
            return
        io.AudioOutput.flush(self)
        self.is_first = False
        played, self._played = self._played, 0.0
        asyncio.get_running_loop().call_later(
            60, lambda: self.on_playback_finished(playback_position=played, interrupted=False)
        )


class PhoneCall:
    """A call that a voicemail answers."""

    def __init__(self, session: AgentSession[None], agent: Voicemail, room: Any, box: Box) -> None:
        self.session = session
        self.agent = agent
        self.room = room
        self.box = box

    @property
    def said(self) -> list[str]:
        assert isinstance(self.session.tts, ClickTTS)
        return self.session.tts.said

    def words(self, text: str, *, is_final: bool = True) -> None:
        event = SimpleNamespace(transcript=text, is_final=is_final)
        self.session.emit("user_input_transcribed", cast("Any", event))

    def press(self, key: str) -> None:
        self.room.emit("sip_dtmf_received", SimpleNamespace(participant=CALLER, digit=key))

    async def until_beep(self) -> None:
        while self.agent._dictation is None:
            await SystemClock().sleep(0.1)

    async def ended(self) -> None:
        closed = asyncio.Event()
        self.session.on("close", lambda _: closed.set())
        await closed.wait()


@asynccontextmanager
async def answered(
    box: Box,
    options: VoicemailOptions | None = None,
    earlier: str = "",
    mouth: Mouth | None = None,
) -> AsyncIterator[PhoneCall]:
    async with AgentSession[None](tts=ClickTTS(), vad=None) as session:
        room = rtc.EventEmitter[str]()
        keys = CallerKeys(session, CallGuard(CallLimits(), PHRASES, "en"))
        keys.follow(cast("rtc.Room", room))
        agent = Voicemail(
            options or VoicemailOptions(),
            ENVELOPE,
            box,
            keys,
            phrases=PHRASES,
            language="en",
            earlier=earlier,
            voice=lambda _: Voice(),
        )
        session.output.audio = mouth or Mouth()
        await session.start(agent)
        try:
            yield PhoneCall(session, agent, room, box)
        finally:
            await agent.aclose()
            await keys.aclose()


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    ManualClock().run(scene())


def test_a_message_is_stored_once_the_caller_is_silent_and_then_confirmed() -> None:
    async def scene() -> None:
        async with answered(Box()) as call:
            await call.until_beep()
            call.words("Please call", is_final=False)
            call.words("Please call me back.")
            call.words("It is about the tea.")
            await call.ended()
            [message] = call.box.taken
            assert message.text == "Please call me back. It is about the tea."
            assert (message.contact, message.assistant) == ("+15550123", "shop")
            assert (message.id, message.room) == ("voicemail-RM_1", "phone-x")
            assert call.said == ["Please leave a message.", "It is noted."]

    play(scene)


def test_a_long_greeting_is_said_to_its_end_before_the_message_begins() -> None:
    async def scene() -> None:
        began = asyncio.get_running_loop().time()
        long = VoicemailOptions(greeting="Good day. " * 90)
        async with answered(Box(), long, mouth=LongMouth()) as call:
            await call.until_beep()
            assert asyncio.get_running_loop().time() - began >= 60

    play(scene)


def test_the_hash_key_ends_a_message_and_no_other_key_does() -> None:
    async def scene() -> None:
        async with answered(Box()) as call:
            await call.until_beep()
            call.words("Call me.")
            began = asyncio.get_running_loop().time()
            call.press("5")
            await SystemClock().sleep(1)
            assert call.box.taken == []
            call.press("#")
            await call.ended()
            assert asyncio.get_running_loop().time() - began < 3
            assert [message.text for message in call.box.taken] == ["Call me."]

    play(scene)


def test_keys_that_come_before_the_tone_end_no_message_and_many_digits_do_not_either() -> None:
    async def scene() -> None:
        async with answered(Box()) as call:
            for key in "##" + "5" * 80:
                call.press(key)
            await call.until_beep()
            for key in "7" * 80:
                call.press(key)
            await SystemClock().sleep(2)
            call.words("Call me.")
            assert call.box.taken == []
            call.press("#")
            await call.ended()
            assert [message.text for message in call.box.taken] == ["Call me."]

    play(scene)


def test_a_caller_who_hangs_up_in_mid_sentence_has_left_their_words() -> None:
    async def scene() -> None:
        async with answered(Box()) as call:
            await call.until_beep()
            call.words("This is Ada.")
            call.words("My number", is_final=False)
        assert [message.text for message in call.box.taken] == ["This is Ada. My number"]

    play(scene)


def test_a_caller_who_hangs_up_while_their_message_is_stored_has_left_it() -> None:
    async def scene() -> None:
        box = SlowBox()
        async with answered(box) as call:
            await call.until_beep()
            call.words("Call me.")
            call.press("#")
            await box.has_begun.wait()
        assert [message.text for message in box.taken] == ["Call me."]

    play(scene)


def test_a_caller_who_says_nothing_leaves_no_message() -> None:
    async def scene() -> None:
        async with answered(Box()) as call:
            await call.ended()
            assert call.box.taken == []
            assert call.said[-1] == "Goodbye."

    play(scene)


def test_a_caller_who_hangs_up_before_the_tone_leaves_no_message() -> None:
    async def scene() -> None:
        async with answered(Box()) as call:
            call.words("Hello?")
        assert call.box.taken == []

    play(scene)


@pytest.mark.parametrize(
    ("failures", "last"), [(2, "It is noted."), (9, "It could not be stored.")]
)
def test_no_message_is_promised_that_is_not_stored(failures: int, last: str) -> None:
    async def scene() -> None:
        async with answered(Box(failures)) as call:
            await call.until_beep()
            call.words("Call me.")
            await call.ended()
            assert call.said[-1] == last
            assert bool(call.box.taken) == (last == "It is noted.")

    play(scene)


def test_another_agent_of_the_call_goes_on_with_the_message() -> None:
    async def scene() -> None:
        async with answered(Box(), earlier="This is Ada.") as call:
            await call.until_beep()
            call.words("Call me.")
            await call.ended()
            assert call.said[0] == "I was gone."
            assert call.box.taken[0].text == "This is Ada. Call me."

    play(scene)


@pytest.mark.parametrize("words", ["Call me.", ""])
async def test_the_voice_is_recorded_and_stays_with_a_message_alone(
    tmp_path: Path, words: str
) -> None:
    options = VoicemailOptions(recordings=RecordingOptions(folder=tmp_path))
    file = tmp_path / "voicemail-RM_1.wav"
    async with answered(Box(), options) as call:
        while not await asyncio.to_thread(file.exists):
            """The folder is asked in another thread."""
        if words:
            call.words(words)
        call.press("#")
        await call.ended()
    assert await asyncio.to_thread(file.exists) == bool(words)
    if words:
        with wave.open(str(file)) as sound:
            assert sound.getnframes() >= RATE


def test_the_words_of_a_message_are_part_of_the_stored_call() -> None:
    async def scene() -> None:
        async with answered(Box()) as call:
            items: list[ConversationItemAddedEvent] = []
            call.session.on("conversation_item_added", items.append)
            said = llm.ChatMessage(role="user", content=["Call me."])
            with pytest.raises(StopResponse):
                await call.agent.on_user_turn_completed(llm.ChatContext.empty(), said)
            assert items[-1].item is said
            assert words_of_caller(llm.ChatContext([said])) == "Call me."

    play(scene)
