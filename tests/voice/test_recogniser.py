"""The listener hears what the voice says, and what it says too often or not at all."""

import numpy as np
import pytest
from livekit import rtc

from agent import tts
from agent.speech.tts import TTSOptions
from tests.voice.caller import RATE, Heard
from tests.voice.recogniser import mistakes, spoken_words, words_in, words_of
from tests.voice.replies import REPLY


async def said(text: str) -> list[Heard]:
    voice = tts.load("embedded", TTSOptions())
    resampler = rtc.AudioResampler(voice.sample_rate, RATE)
    async with voice.stream() as stream:
        stream.push_text(text)
        stream.end_input()
        frames = [part async for audio in stream for part in resampler.push(audio.frame)]
    await voice.aclose()
    frames += resampler.flush()
    return [Heard(0.0, 0.0, np.frombuffer(frame.data, np.int16)) for frame in frames]


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
async def test_every_word_that_the_voice_says_is_heard(text: str) -> None:
    assert words_in(await said(text)) == spoken_words(text)


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
async def test_of_a_known_text_every_word_is_heard_whatever_it_is(text: str) -> None:
    assert words_of(KNOWN, await said(text)) == spoken_words(text)


@pytest.mark.parametrize(
    ("heard", "count"),
    [
        ("one two three", 0),
        ("one three", 1),
        ("one two two three", 1),
        ("one four three", 1),
        ("", 3),
    ],
)
async def test_mistakes_are_words_missing_too_many_or_taken_for_another(
    heard: str, count: int
) -> None:
    assert mistakes(heard.split(), ["one", "two", "three"]) == count
