"""The recogniser finds the words of the voice, with those repeated, swapped or left out."""

import numpy as np
import pytest
from livekit import rtc

from agent import tts
from agent.speech.tts import TTSOptions
from tests.voice.caller import RATE, SoundFrame
from tests.voice.recogniser import (
    count_mistakes,
    recognise_known_words,
    recognise_words,
    spoken_words,
)
from tests.voice.replies import REPLY


async def speak(text: str) -> list[SoundFrame]:
    voice = tts.load("embedded", TTSOptions())
    resampler = rtc.AudioResampler(voice.sample_rate, RATE)
    async with voice.stream() as stream:
        stream.push_text(text)
        stream.end_input()
        frames = [part async for audio in stream for part in resampler.push(audio.frame)]
    await voice.aclose()
    frames += resampler.flush()
    return [SoundFrame(0.0, 0.0, np.frombuffer(frame.data, np.int16)) for frame in frames]


@pytest.mark.parametrize(
    "text",
    [
        REPLY,
        REPLY.replace("garden", "garden garden"),
        REPLY.replace("garden ", ""),
        REPLY.replace("garden music", "music garden"),
        f"{REPLY} {REPLY}",
    ],
    ids=["as it is", "a word twice", "a word left out", "two words swapped", "all of it twice"],
)
async def test_every_word_of_the_vocabulary_is_recognised(text: str) -> None:
    assert recognise_words(await speak(text)) == spoken_words(text)


KNOWN = "Students get ten percent off all repairs when they show their card."


@pytest.mark.parametrize(
    "text",
    [
        KNOWN,
        KNOWN.replace("repairs", "repairs repairs"),
        KNOWN.replace("off all", "off all off all"),
        KNOWN.replace("repairs ", ""),
        f"{KNOWN} {KNOWN}",
    ],
    ids=["as it is", "a word twice", "two words twice", "a word left out", "all of it twice"],
)
async def test_every_word_of_a_known_text_is_recognised(text: str) -> None:
    assert recognise_known_words(KNOWN, await speak(text)) == spoken_words(text)


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
