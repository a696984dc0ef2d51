"""Scenarios of a speech that is paused or cut off: the history holds what was voiced, once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from livekit import rtc
from livekit.agents import AgentSession, tts
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions
from livekit.agents.voice import io, room_io
from livekit.agents.voice.transcription.synchronizer import TranscriptSynchronizer

from agent.assistant import Assistant
from agent.text_input import LISTENS, TextAnswers
from llm_router.clock import SystemClock
from llm_router.integrations.livekit import RouterLLM
from llm_router.routing.phrases import Phrases
from llm_router.testing import ManualClock, ScriptedProvider, open_scripted_router, say
from llm_router.testing.provider import Step

WALL = SystemClock().wall
"""LiveKit takes times of the machine, even where its own timers jump."""
RATE = 8000
A_WORD = 0.5
"""Seconds of sound for each word."""
STORY = "Once there was a king. He had a garden full of roses and a very old well."
VOICED = "Once there was a king. He"
"""The words of the story's first three seconds."""
QUESTION = "What was it called?"
ANSWER = "It was called Avalon."
Act = Callable[["Stage", ManualClock], Awaitable[None]]


class SteadyTTS(tts.TTS[Any]):
    """Speaks any text as silence of half a second a word."""

    def __init__(self) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=False), sample_rate=RATE, num_channels=1
        )

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return _Silence(tts=self, input_text=text, conn_options=conn_options)


class _Silence(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id="silence", sample_rate=RATE, num_channels=1, mime_type="audio/pcm"
        )
        output_emitter.push(bytes(2 * round(RATE * A_WORD * len(self.input_text.split()))))
        output_emitter.flush()


class Loudspeaker(io.AudioOutput):
    """Plays at the pace of the loop's clock, and pauses when asked to, as a room does."""

    def __init__(self) -> None:
        super().__init__(label="loudspeaker", capabilities=io.AudioOutputCapabilities(pause=True))
        self._loop = asyncio.get_running_loop()
        self._pushed = 0.0
        self._played = 0.0
        self._plays_since: float | None = self._loop.time()
        self._end: asyncio.TimerHandle | None = None
        self._is_whole = False

    @property
    def _position(self) -> float:
        since = self._plays_since
        return self._played + (self._loop.time() - since if since is not None else 0.0)

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if not self._pushed:
            self._played, self._is_whole = 0.0, False
            if self._plays_since is not None:
                self._plays_since = self._loop.time()
            self.on_playback_started(created_at=WALL())
        self._pushed += frame.duration

    def flush(self) -> None:
        super().flush()
        self._is_whole = True
        self._plan()

    def clear_buffer(self) -> None:
        if self._pushed:
            self._finish(interrupted=True)

    def pause(self) -> None:
        super().pause()
        if self._plays_since is not None:
            self._played, self._plays_since = self._position, None
        self._plan()

    def resume(self) -> None:
        super().resume()
        if self._plays_since is None:
            self._plays_since = self._loop.time()
        self._plan()

    def _plan(self) -> None:
        if self._end:
            self._end.cancel()
            self._end = None
        if self._pushed and self._is_whole and self._plays_since is not None:
            rest = max(0.0, self._pushed - self._position)
            self._end = self._loop.call_later(rest, lambda: self._finish(interrupted=False))

    def _finish(self, *, interrupted: bool) -> None:
        played = min(self._position, self._pushed)
        self._pushed = 0.0
        self._plan()
        self.on_playback_finished(playback_position=played, interrupted=interrupted)


class Page(io.TextOutput):
    """Shows the agent's words."""

    def __init__(self) -> None:
        super().__init__(label="page", next_in_chain=None)
        self.text = ""

    async def capture_text(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        """Does nothing: the words are one text."""


class Stage:
    """A call whose caller makes noises and types, and what is left of it."""

    def __init__(self, session: AgentSession[None], model: ScriptedProvider) -> None:
        self.session = session
        self.model = model
        self.page = Page()
        self.answers = TextAnswers()

    def noise_begins(self) -> None:
        activity = self.session._activity
        assert activity
        activity.on_start_of_speech(None, WALL())
        activity._interrupt_by_audio_activity()

    def noise_ends(self) -> None:
        activity = self.session._activity
        assert activity
        activity.on_end_of_speech(None)

    async def type(self, text: str, *, listens: bool) -> None:
        info = rtc.TextStreamInfo(
            stream_id="typed",
            mime_type="text/plain",
            topic="lk.chat",
            timestamp=0,
            size=len(text),
            attributes={LISTENS: str(listens).lower()},
            attachments=[],
        )
        event = room_io.TextInputEvent(text=text, info=info, participant=None)
        await self.answers.answer(self.session, event)

    @property
    def agent_said(self) -> Sequence[str]:
        items = self.session.history.messages()
        return [item.text_content or "" for item in items if item.role == "assistant"]

    @property
    def asked(self) -> Sequence[str]:
        """The conversation in the last request to the model, without the instructions."""
        return [str(message["content"]) for message in self.model.requests[-1].messages[1:]]


def played(
    act: Act,
    *,
    answer: Sequence[Step] = tuple(say(ANSWER)),
    filler: str = "",
    greeting: str = STORY,
) -> Stage:
    """Lets the agent tell the story as its greeting while `act` goes on; returns what is left.

    A `filler` is said when an answer is a second late.
    """
    clock = ManualClock()

    async def run() -> Stage:
        model = ScriptedProvider([[*answer]], clock=clock)
        agent = Assistant(
            instructions="Be brief.",
            phrases=Phrases({"en": {"filler.late": (filler,)}} if filler else {}),
            language="en",
            filler_after=1.0 if filler else 60.0,
            greeting=greeting,
        )
        async with (
            open_scripted_router({"model": model}, clock) as router,
            AgentSession[None](
                llm=RouterLLM(router), tts=SteadyTTS(), vad=None, aec_warmup_duration=0
            ) as session,
        ):
            stage = Stage(session, model)
            together = TranscriptSynchronizer(
                next_in_chain_audio=Loudspeaker(), next_in_chain_text=stage.page
            )
            session.output.audio = together.audio_output
            session.output.transcription = together.text_output
            await session.start(agent)
            await act(stage, clock)
            await clock.sleep(60.0)
            await together.aclose()
            return stage

    return clock.run(run())


def test_a_speech_that_goes_on_after_a_noise_is_in_the_history_whole_and_once() -> None:
    async def cough(stage: Stage, clock: ManualClock) -> None:
        await clock.sleep(3.0)
        stage.noise_begins()
        await clock.sleep(0.6)
        assert stage.session.agent_state == "listening"
        stage.noise_ends()

    stage = played(cough)
    assert stage.agent_said == [STORY]
    assert stage.page.text == STORY


def test_a_speech_that_goes_on_after_two_noises_is_in_the_history_whole_and_once() -> None:
    async def cough_twice(stage: Stage, clock: ManualClock) -> None:
        for _ in range(2):
            await clock.sleep(3.0)
            stage.noise_begins()
            await clock.sleep(0.6)
            stage.noise_ends()
            await clock.sleep(2.5)

    assert played(cough_twice).agent_said == [STORY]


@pytest.mark.parametrize("listens", [True, False])
def test_text_that_is_typed_during_a_speech_leaves_what_was_voiced(*, listens: bool) -> None:
    async def write(stage: Stage, clock: ManualClock) -> None:
        await clock.sleep(3.0)
        await stage.type(QUESTION, listens=listens)

    stage = played(write)
    assert stage.agent_said == [VOICED, ANSWER]
    assert stage.asked == [VOICED, QUESTION]


def test_text_that_is_typed_while_a_noise_pauses_the_speech_leaves_what_was_voiced() -> None:
    async def cough_and_write(stage: Stage, clock: ManualClock) -> None:
        await clock.sleep(3.0)
        stage.noise_begins()
        await clock.sleep(0.6)
        stage.noise_ends()
        await stage.type(QUESTION, listens=True)

    stage = played(cough_and_write)
    said, answer = stage.agent_said
    assert said in {VOICED, f"{VOICED} had"}  # the word that the pause has cut
    assert answer == ANSWER
    assert stage.page.text == f"{said}{ANSWER}"


@pytest.mark.parametrize(
    ("cut_after", "said"),
    [(2.0, []), (3.5, []), (10.0, [VOICED]), (30.0, [STORY])],
    ids=["filler", "filler, while words have come", "answer", "never"],
)
def test_no_word_of_an_answer_counts_as_said_while_a_filler_is_voiced(
    cut_after: float, said: Sequence[str]
) -> None:
    """The sentence has its first word after 1.5 s, and its last, and so its sound, after 4 s."""

    async def cut(stage: Stage, clock: ManualClock) -> None:
        stage.session.generate_reply(user_input="Tell me a story.")
        await clock.sleep(cut_after)
        await stage.session.interrupt()

    filler = "One moment please, I am looking for a nice one."
    story = say(STORY, first=1.5, gap=0.6)
    assert played(cut, answer=story, filler=filler, greeting="").agent_said == said
