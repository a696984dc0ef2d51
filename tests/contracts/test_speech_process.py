"""A speech process, with a scripted voice and recogniser, as engines use it."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import numpy as np
import pytest
from livekit.agents import APIConnectionError, APIStatusError
from numpy.typing import NDArray

from agent.speech.process.client import SpeechClient
from agent.speech.process.models.scripted import SECONDS_PER_WORD

RECOGNISER = "scripted:hears what are your opening hours"
VOICE = "scripted:voice"


def audio(words: int) -> NDArray[np.int16]:
    return np.zeros(int(words * SECONDS_PER_WORD * 16_000), np.int16)


@pytest.fixture
async def recogniser() -> AsyncIterator[SpeechClient]:
    client = SpeechClient(RECOGNISER)
    yield client
    await client.aclose()


async def test_words_come_with_their_times(recogniser: SpeechClient) -> None:
    decoded = await recogniser.transcribe(audio(2), urgency="interim")
    assert [(word.text, word.start, word.end) for word in decoded.words] == [
        ("what", 0.0, 0.5),
        ("are", 0.5, 1.0),
    ]
    assert decoded.no_speech == 0.0


async def test_words_before_the_audio_reach_the_recogniser(recogniser: SpeechClient) -> None:
    decoded = await recogniser.transcribe(audio(1), before="what are")
    assert [word.text for word in decoded.words] == ["your"]


async def test_more_audio_than_30_s_is_refused(recogniser: SpeechClient) -> None:
    with pytest.raises(APIStatusError, match="too large") as refused:
        await recogniser.transcribe(np.zeros(31 * 16_000, np.int16))
    assert refused.value.status_code == 413


async def test_sound_comes_in_pieces() -> None:
    client = SpeechClient(VOICE)
    async with aclosing(client.speak("We open at nine.", speed=2.0)) as sound:
        pieces = [piece async for piece in sound]
    await client.aclose()
    assert sum(map(len, pieces)) == 4 * 0.05 * 16_000 * 2


async def test_a_model_that_does_not_load_is_named_in_one_sentence() -> None:
    client = SpeechClient("scripted:nonsense")
    with pytest.raises(APIConnectionError, match="'nonsense' is neither"):
        await client.start()
    await client.aclose()
