"""A turn ends by its sound and its words: a sentence that goes on waits."""

import asyncio
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit import rtc
from livekit.agents import LanguageCode
from livekit.agents.stt import SpeechData, SpeechEvent, SpeechEventType
from livekit.agents.voice.turn import (
    TurnDetectionEvent,
    _StreamingTurnDetector,
    _StreamingTurnDetectorStream,
)

from agent.end_of_turn.detector import EarlyWords, EndOfTurn, EndOfTurnStream
from agent.end_of_turn.rule import Delays, is_unfinished, silence_needed
from llm_router.testing.clock import ManualClock

DELAYS = Delays(least=0.2, most=0.9)
THRESHOLD = 0.36
ASKED_AFTER = 0.224
"""Seconds of silence after which LiveKit asks."""


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "Can you transfer me to"),
        ("en", "Can you transfer me to."),
        ("en-GB", "I would like to book an."),
        ("en", "On Monday, or"),
        ("en", "Hello, I would like to..."),
        ("en", "My name is Daniel,"),
        ("en", "Um."),
        ("de", "Ich brauche einen Termin für"),
        ("fr", "Je voudrais parler à"),
        ("es", "Quiero hablar con"),
        ("ja", "明日は、"),
    ],
)
def test_a_sentence_that_cannot_end_here_is_unfinished(language: str, words: str) -> None:
    assert is_unfinished(words, language)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "What time do you open on Saturday?"),
        ("en", "Yes"),
        ("en", "What is that?"),
        ("en", "That would be for me."),
        ("en", "I need to cancel it"),
        ("en", "Where are you from?"),
        ("en", "Who did you talk to?"),
        ("en", "What is it for"),
        ("en", "That's what I want."),
        ("en", "Yes, I would."),
        ("en", "Not really."),
        ("en", 'He asked: "What is the?"'),
        ("it", "Sono io."),
        ("es", "Soy yo."),
        ("pt", "Sou eu."),
        ("de", "Das bin ich."),
        ("de", "Ich rufe später an."),
        ("sv", "Jag vill prata med en"),
        ("en", ""),
    ],
)
def test_a_sentence_that_may_end_here_is_not_unfinished(language: str, words: str) -> None:
    assert not is_unfinished(words, language)


@given(
    probability=st.floats(0, 1),
    surer=st.floats(0, 1),
    words=st.none() | st.text(max_size=40),
)
def test_the_silence_needed_is_within_its_bounds_and_falls_as_the_sound_is_surer(
    probability: float, surer: float, words: str | None
) -> None:
    low, high = sorted((probability, surer))
    less_sure = silence_needed(low, THRESHOLD, words, "en", DELAYS)
    more_sure = silence_needed(high, THRESHOLD, words, "en", DELAYS)
    assert DELAYS.least <= more_sure <= less_sure <= DELAYS.most + 1e-9


def test_a_sure_sound_ends_a_turn_at_once_unless_its_words_go_on() -> None:
    assert silence_needed(0.5, THRESHOLD, "I want to", "en", DELAYS) == DELAYS.most
    assert silence_needed(0.5, THRESHOLD, "I want it", "en", DELAYS) == DELAYS.least
    assert silence_needed(0.5, THRESHOLD, None, "en", DELAYS) == DELAYS.least


# ── In a call ────────────────────────────────────────────────────────────────────────────────────


class Sound:
    """A detector that goes by the sound, and answers each question after 40 ms."""

    model = "sound"
    provider = "test"
    is_fallback = False
    prediction_timeout = 1.0

    def __init__(self, probability: float) -> None:
        self.probability = probability
        self.dropped = 0
        self.closed = False

    def predict(self) -> asyncio.Future[TurnDetectionEvent]:
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        event = TurnDetectionEvent("eot_prediction", self.probability, 0.0)

        def set_answer() -> None:
            if not answer.done():
                answer.set_result(event)

        loop.call_later(0.04, set_answer)
        return answer

    def cancel_inference(self, *, timed_out: bool = False) -> None:
        self.dropped += 1

    async def unlikely_threshold(self, language: LanguageCode | None) -> float | None:
        return THRESHOLD

    async def backchannel_threshold(self, language: LanguageCode | None) -> float | None:
        return None

    async def supports_language(self, language: LanguageCode | None) -> bool:
        return True

    def flush(self, reason: str | None = None) -> None: ...

    def push_audio(self, frame: rtc.AudioFrame) -> None: ...

    def end_input(self) -> None: ...

    async def aclose(self) -> None:
        self.closed = True


class Pause:
    """A pause of the caller, which begins at time 0 of the clock."""

    def __init__(self, probability: float) -> None:
        self.clock = ManualClock()
        self.words = EarlyWords(self.clock)
        self.sound = Sound(probability)
        self.stream = EndOfTurnStream(self.sound, self.words, DELAYS, self.clock)

    def hear(self, text: str, *, kind: SpeechEventType) -> None:
        data = SpeechData(language=LanguageCode("en"), text=text)
        self.words.note(SpeechEvent(type=kind, alternatives=[data]))

    async def ended_at(self, *words: tuple[float, str], early: bool = True) -> float:
        """Returns when the turn is over; `words`: those of the pause, with their times."""
        kind = SpeechEventType.PREFLIGHT_TRANSCRIPT if early else SpeechEventType.INTERIM_TRANSCRIPT
        loop = asyncio.get_running_loop()
        for at, text in words:
            loop.call_later(at, partial(self.hear, text, kind=kind))
        await self.clock.sleep(ASKED_AFTER)
        event = await self.stream.predict()
        assert event.end_of_turn_probability == 1
        ended = self.clock.now()
        await self.stream.aclose()
        return ended


def ended_at(probability: float, *words: tuple[float, str], early: bool = True) -> float:
    pause = Pause(probability)
    return pause.clock.run(pause.ended_at(*words, early=early))


def test_a_turn_that_sounds_over_ends_when_the_detector_has_answered() -> None:
    assert ended_at(0.5, (0.2, "What time is it?")) == pytest.approx(0.264, abs=0.01)


def test_a_turn_of_which_the_sound_is_half_sure_ends_half_way() -> None:
    assert ended_at(THRESHOLD / 2, (0.2, "What time is it?")) == pytest.approx(0.55, abs=0.01)


def test_a_turn_whose_words_go_on_gets_the_longest_silence() -> None:
    assert ended_at(0.5, (0.2, "I would like to")) == pytest.approx(0.9, abs=0.01)


def test_words_that_come_late_are_waited_for_where_the_recogniser_sends_them_in_pauses() -> None:
    pause = Pause(0.5)
    pause.hear("The turn before.", kind=SpeechEventType.PREFLIGHT_TRANSCRIPT)
    late = pause.ended_at((0.7, "What time is it?"))
    assert pause.clock.run(late) == pytest.approx(0.7, abs=0.01)


def test_words_that_never_come_cost_the_longest_silence_and_no_more() -> None:
    pause = Pause(0.5)
    pause.hear("The turn before.", kind=SpeechEventType.PREFLIGHT_TRANSCRIPT)
    assert pause.clock.run(pause.ended_at()) == pytest.approx(0.9, abs=0.01)


def test_without_words_in_pauses_the_sound_decides() -> None:
    ended = ended_at(0.5, (0.1, "I would like to"), early=False)
    assert ended == pytest.approx(0.264, abs=0.01)


def test_words_of_an_earlier_pause_do_not_count() -> None:
    pause = Pause(0.5)

    async def two_pauses() -> float:
        pause.hear("I would like to speak", kind=SpeechEventType.PREFLIGHT_TRANSCRIPT)
        await pause.clock.sleep(0.1)
        began = pause.clock.now()
        return await pause.ended_at((0.2, "I would like to speak to")) - began

    assert pause.clock.run(two_pauses()) == pytest.approx(0.9, abs=0.01)


def test_a_caller_who_goes_on_ends_the_question() -> None:
    pause = Pause(0.1)

    async def goes_on() -> float:
        await pause.clock.sleep(ASKED_AFTER)
        question = pause.stream.predict()
        await pause.clock.sleep(0.1)
        pause.stream.cancel_inference()
        await pause.stream.aclose()
        return (await question).end_of_turn_probability

    assert pause.clock.run(goes_on()) == 0
    assert pause.sound.dropped
    assert pause.sound.closed


async def test_it_is_one_of_livekits_detectors() -> None:
    detector = EndOfTurn(DELAYS)
    stream = detector.stream()
    assert isinstance(detector, _StreamingTurnDetector)
    assert isinstance(stream, _StreamingTurnDetectorStream)
    assert stream.prediction_timeout > DELAYS.most
    await stream.aclose()
