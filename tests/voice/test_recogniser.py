"""The recogniser finds the words of the voice, with those repeated, swapped or left out."""

from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio
from livekit import rtc

from agent import tts
from agent.speech.tts import TTSEngine, TTSOptions
from tests.voice.caller import RATE, SoundFrame
from tests.voice.recogniser import (
    count_mistakes,
    recognise_words,
    spoken_words,
)
from tests.voice.replies import REPLY


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["embedded", "piper"])
async def voice(request: pytest.FixtureRequest) -> AsyncIterator[TTSEngine]:
    engine = tts.load(request.param, TTSOptions(timeout=60), fallback=False)
    yield engine
    await engine.aclose()


async def speak(text: str, voice: TTSEngine) -> list[SoundFrame]:
    resampler = rtc.AudioResampler(voice.sample_rate, RATE)
    async with voice.stream() as stream:
        stream.push_text(text)
        stream.end_input()
        frames = [part async for audio in stream for part in resampler.push(audio.frame)]
    frames += resampler.flush()
    return [SoundFrame(0.0, 0.0, np.frombuffer(frame.data, np.int16)) for frame in frames]


KNOWN = "Students get ten percent off all repairs when they show their card."
SPOKEN = [
    (REPLY, REPLY),
    (REPLY, REPLY.replace("garden", "garden garden")),
    (REPLY, REPLY.replace("garden ", "")),
    (REPLY, REPLY.replace("garden music", "music garden")),
    (REPLY, f"{REPLY} {REPLY}"),
    (KNOWN, KNOWN),
    (KNOWN, KNOWN.replace("repairs", "repairs repairs")),
    (KNOWN, KNOWN.replace("off all", "off all off all")),
    (KNOWN, KNOWN.replace("repairs ", "")),
    (KNOWN, f"{KNOWN} {KNOWN}"),
]


@pytest.mark.parametrize(("known", "said"), SPOKEN, ids=[said for _, said in SPOKEN])
async def test_every_word_is_recognised_as_often_as_it_is_spoken(
    voice: TTSEngine, known: str, said: str
) -> None:
    assert recognise_words(known, await speak(said, voice)) == spoken_words(said)


async def test_words_are_recognised_in_a_recording_that_breaks_off_within_a_later_one(
    voice: TTSEngine,
) -> None:
    frames = await speak("Welcome to the tea shop. Press one for our opening hours.", voice)
    sound = np.concatenate([frame.samples for frame in frames])
    for end in np.arange(1.6, 2.8, 0.04):
        broken = SoundFrame(0.0, 0.0, sound[: int(end * RATE)])
        words = recognise_words("Welcome to the tea shop.", [broken])
        assert words[:3] == ["welcome", "to", "the"]


async def test_a_word_that_does_not_belong_to_the_text_is_a_mistake(voice: TTSEngine) -> None:
    sound = await speak(REPLY.replace("football", "basket"), voice)
    assert count_mistakes(recognise_words(REPLY, sound), spoken_words(REPLY)) == 1


@pytest.mark.parametrize(
    ("recognised", "count"),
    [
        ("one two three", 0),
        ("one three", 1),
        ("one two two three", 1),
        ("one four three", 1),
        ("", 3),
    ],
)
async def test_mistakes_are_missing_added_or_confused_words(recognised: str, count: int) -> None:
    assert count_mistakes(recognised.split(), ["one", "two", "three"]) == count
