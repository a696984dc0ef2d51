"""Tests when the whisper STT asks for a decode, and what it sends, with a scripted process."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import numpy as np
import pytest
from livekit.agents import APIConnectionError, APIError, APIStatusError
from livekit.agents.stt import SpeechEvent, SpeechEventType
from livekit.local_inference import VAD_WINDOW_SAMPLES
from numpy.typing import NDArray

from agent.speech.gate import WINDOW_SECONDS
from agent.speech.process.models import Decoded, Word
from agent.speech.samples import RATE
from agent.stt.whisper.spoken_language import SpokenLanguage
from agent.stt.whisper.transcriber import Transcriber
from llm_router.clock import checkpoint
from llm_router.testing import ManualClock

LOUD = 1_000
_START = SpeechEventType.START_OF_SPEECH
_INTERIM = SpeechEventType.INTERIM_TRANSCRIPT
_PREFLIGHT = SpeechEventType.PREFLIGHT_TRANSCRIPT
_FINAL = SpeechEventType.FINAL_TRANSCRIPT
_END = SpeechEventType.END_OF_SPEECH
_USAGE = SpeechEventType.RECOGNITION_USAGE


class Detector:
    """Takes loud windows for speech."""

    def predict(self, window: NDArray[np.int16]) -> float:
        return 0.95 if window.any() else 0.01


class Process:
    """Answers each decode when the test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, float, asyncio.Future[str]]] = []
        self.cancelled = 0
        self.choices: list[tuple[str, Sequence[str]]] = []
        self.language = ""
        """The language that a decode finds."""

    async def transcribe(
        self, samples: NDArray[np.int16], *, urgency: str = "final", **asked: Any
    ) -> Decoded:
        self.choices.append((asked["language"], asked["among"]))
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.asked.append((urgency, len(samples) / RATE, answer))
        try:
            text = await answer
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        words = tuple(
            Word(text=word, start=0.2 * place, end=0.2 * place + 0.2, probability=0.8)
            for place, word in enumerate(text.split())
        )
        return Decoded(words=words, average_log_probability=-0.2, language=self.language)

    @property
    def urgencies(self) -> list[str]:
        return [urgency for urgency, _, _ in self.asked]

    async def answer(self, text: str) -> None:
        """Answers the last decode that was asked for."""
        self.asked[-1][2].set_result(text)
        await _settle()

    async def fail(self, error: APIError) -> None:
        self.asked[-1][2].set_exception(error)
        await _settle()


async def _settle() -> None:
    for _ in range(5):
        await checkpoint()


@pytest.fixture
def process() -> Process:
    return Process()


@pytest.fixture
def events() -> list[SpeechEvent]:
    return []


@pytest.fixture
async def transcriber(process: Process, events: list[SpeechEvent]) -> AsyncIterator[Transcriber]:
    client: Any = process
    detector: Any = Detector()
    transcriber = Transcriber(
        client,
        detector,
        events.append,
        spoken=SpokenLanguage({"en": "en"}),
        timeout=3,
        clock=ManualClock(),
    )
    yield transcriber
    await transcriber.aclose()


async def play(transcriber: Transcriber, seconds: float, loudness: int) -> None:
    window = np.full(VAD_WINDOW_SAMPLES, loudness, np.int16).tobytes()
    for _ in range(round(seconds / WINDOW_SECONDS)):
        await transcriber.push(window)
        await _settle()


async def speak(transcriber: Transcriber, seconds: float) -> None:
    await play(transcriber, seconds, LOUD)


async def pause(transcriber: Transcriber, seconds: float) -> None:
    await play(transcriber, seconds, 0)


def sent(events: list[SpeechEvent]) -> list[tuple[SpeechEventType, str]]:
    return [
        (event.type, event.alternatives[0].text if event.alternatives else "") for event in events
    ]


async def test_words_are_decoded_while_the_caller_speaks_one_decode_at_a_time(
    transcriber: Transcriber, process: Process, events: list[SpeechEvent]
) -> None:
    await speak(transcriber, 3)
    assert process.urgencies == ["interim"]
    await process.answer("what time")
    await speak(transcriber, 1)
    await process.answer("what time do you")
    assert process.urgencies == ["interim", "interim"]
    assert sent(events) == [(_START, ""), (_INTERIM, "what time")]


async def test_a_short_turn_after_slow_decodes_is_decoded_once(
    process: Process, events: list[SpeechEvent]
) -> None:
    clock = ManualClock()
    client: Any = process
    detector: Any = Detector()
    slow = Transcriber(
        client,
        detector,
        events.append,
        spoken=SpokenLanguage({"en": "en"}),
        timeout=3,
        clock=clock,
    )
    for text in ("yes", "what time do you open"):
        await speak(slow, 0.5 if text == "yes" else 2)
        await pause(slow, 0.1)
        clock.advance(0.4)
        await process.answer(text)
        await slow.finish()
    assert process.urgencies == ["final", "final"]
    await slow.aclose()


async def test_a_pause_has_its_words_before_the_turn_is_over(
    transcriber: Transcriber, process: Process, events: list[SpeechEvent]
) -> None:
    await speak(transcriber, 0.5)
    await pause(transcriber, 0.1)
    assert process.urgencies == ["final"]
    await process.answer("yes please")
    assert sent(events)[-1] == (_PREFLIGHT, "yes please")
    await pause(transcriber, 0.3)
    await transcriber.finish()
    assert process.urgencies == ["final"]
    assert sent(events)[1:] == [
        (_PREFLIGHT, "yes please"),
        (_FINAL, "yes please"),
        (_END, ""),
        (_USAGE, ""),
    ]


async def test_the_words_of_a_pause_are_decoded_from_its_first_moment_and_sent_once_it_is_one(
    transcriber: Transcriber, process: Process, events: list[SpeechEvent]
) -> None:
    await speak(transcriber, 0.5)
    await pause(transcriber, WINDOW_SECONDS)
    assert process.urgencies == ["final"]
    await process.answer("yes please")
    assert sent(events) == [(_START, "")]
    await pause(transcriber, 0.1)
    assert process.urgencies == ["final"]
    assert sent(events)[1:] == [(_PREFLIGHT, "yes please")]


async def test_the_end_of_a_turn_waits_for_a_decode_that_has_all_words(
    transcriber: Transcriber, process: Process, events: list[SpeechEvent]
) -> None:
    await speak(transcriber, 0.5)
    await pause(transcriber, 0.1)
    finishing = asyncio.create_task(transcriber.finish())
    await _settle()
    assert not finishing.done()
    await process.answer("yes please")
    await finishing
    assert process.urgencies == ["final"]
    assert sent(events)[1:] == [(_FINAL, "yes please"), (_END, ""), (_USAGE, "")]


async def test_a_decode_that_lacks_the_last_words_is_ended_for_another(
    transcriber: Transcriber, process: Process, events: list[SpeechEvent]
) -> None:
    await speak(transcriber, 2)
    finishing = asyncio.create_task(transcriber.finish())
    await _settle()
    assert process.urgencies == ["interim", "final"]
    assert process.cancelled == 1
    await process.answer("what time do you open")
    await finishing
    assert sent(events)[1] == (_FINAL, "what time do you open")


async def test_a_caller_who_goes_on_after_a_pause_makes_its_words_interim(
    transcriber: Transcriber, process: Process, events: list[SpeechEvent]
) -> None:
    await speak(transcriber, 0.5)
    await pause(transcriber, 0.1)
    await speak(transcriber, 0.2)
    await process.answer("well")
    await pause(transcriber, 0.1)
    await process.answer("well then")
    assert sent(events) == [(_START, ""), (_PREFLIGHT, "well then")]


async def test_words_that_the_busy_process_refuses_are_left_out(
    transcriber: Transcriber, process: Process, events: list[SpeechEvent]
) -> None:
    await speak(transcriber, 1)
    await process.fail(APIStatusError("busy", status_code=503))
    await speak(transcriber, 0.3)
    await pause(transcriber, 0.1)
    await process.answer("what time")
    await transcriber.finish()
    assert sent(events)[-3] == (_FINAL, "what time")


async def test_a_refused_early_answer_is_asked_for_again_at_the_end(
    transcriber: Transcriber, process: Process, events: list[SpeechEvent]
) -> None:
    await speak(transcriber, 0.5)
    await pause(transcriber, 0.1)
    await process.fail(APIStatusError("busy", status_code=503))
    finishing = asyncio.create_task(transcriber.finish())
    await _settle()
    await process.answer("yes")
    await finishing
    assert sent(events)[1] == (_FINAL, "yes")


@pytest.mark.parametrize("until", [speak, pause])
async def test_a_process_that_dies_is_an_error_in_the_next_moment(
    transcriber: Transcriber, process: Process, until: Callable[..., Any]
) -> None:
    await speak(transcriber, 1)
    await process.fail(APIConnectionError("the speech process is away"))
    with pytest.raises(APIConnectionError):
        await until(transcriber, 0.1)


async def test_a_process_that_dies_at_the_end_of_a_turn_is_an_error(
    transcriber: Transcriber, process: Process
) -> None:
    await speak(transcriber, 0.3)
    finishing = asyncio.create_task(transcriber.finish())
    await _settle()
    await process.fail(APIConnectionError("the speech process is away"))
    with pytest.raises(APIConnectionError):
        await finishing


async def test_noise_that_has_no_words_is_no_transcript(
    transcriber: Transcriber, process: Process, events: list[SpeechEvent]
) -> None:
    await speak(transcriber, 0.5)
    await pause(transcriber, 0.1)
    await process.answer("")
    await transcriber.finish()
    assert sent(events) == [(_START, ""), (_END, ""), (_USAGE, "")]


async def test_ten_minutes_without_a_pause_are_decoded_11_seconds_at_a_time(
    process: Process, events: list[SpeechEvent]
) -> None:
    clock = ManualClock()
    client: Any = process
    detector: Any = Detector()
    transcriber = Transcriber(
        client,
        detector,
        events.append,
        spoken=SpokenLanguage({"en": "en"}),
        timeout=3,
        clock=clock,
    )
    speaking = asyncio.create_task(speak(transcriber, 600))
    while not speaking.done():
        await checkpoint()
        if process.asked and not process.asked[-1][2].done():
            clock.advance(0.3)
            await process.answer(" ".join(f"word{len(process.asked)}{n}" for n in range(20)))
    await speaking
    assert max(seconds for _, seconds, _ in process.asked) < 11.5
    assert len(process.asked) < 600  # at most one for each second
    interim = [text for kind, text in sent(events) if kind is _INTERIM]
    assert len(interim) > 600 / 11.5 - 1
    assert len(interim[-1].split()) > 600
    await transcriber.aclose()


async def test_closing_ends_the_decode_in_flight(
    transcriber: Transcriber, process: Process
) -> None:
    await speak(transcriber, 1)
    await transcriber.aclose()
    assert process.cancelled == 1


async def test_each_utterance_is_in_the_language_that_its_decode_finds(
    process: Process, events: list[SpeechEvent]
) -> None:
    client: Any = process
    detector: Any = Detector()
    spoken = SpokenLanguage({"en": "en-GB", "no": "nb"})
    both = Transcriber(
        client, detector, events.append, spoken=spoken, timeout=3, clock=ManualClock()
    )
    for text, found in (("takk for det", "no"), ("mm", ""), ("thank you", "en")):
        await speak(both, 0.5)
        await pause(both, 0.1)
        process.language = found
        await process.answer(text)
        await both.finish()
    await both.aclose()
    finals = [event for event in events if event.type is _FINAL]
    assert [event.alternatives[0].language for event in finals] == ["nb", "", "en-GB"]
    # An utterance whose language is not clear is decoded in that of the one before.
    assert process.choices == [("en", ("en", "no")), ("no", ("en", "no")), ("no", ("en", "no"))]


async def test_a_call_of_one_language_has_no_choice(
    transcriber: Transcriber, process: Process
) -> None:
    await speak(transcriber, 0.5)
    await pause(transcriber, 0.1)
    await process.answer("yes")
    await transcriber.finish()
    assert process.choices == [("en", ())]
