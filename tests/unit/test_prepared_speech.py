"""Words whose sound is made before it is time to say them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from livekit import rtc
from livekit.agents import NOT_GIVEN

from agent.prepared_speech import PreparedSpeech, prepare
from llm_router.clock import checkpoint

FRAME = rtc.AudioFrame(bytes(960), 24_000, 1, 480)


async def sound(frames: int, *, fails: bool = False) -> AsyncGenerator[rtc.AudioFrame, None]:
    for _ in range(frames):
        yield FRAME
    if fails:
        raise RuntimeError


async def forever() -> AsyncGenerator[rtc.AudioFrame, None]:
    yield FRAME
    await asyncio.Event().wait()


async def settled(speech: PreparedSpeech) -> None:
    await asyncio.wait({speech._task}, timeout=5)


async def test_the_sound_is_there_once_it_is_whole() -> None:
    speech = PreparedSpeech(sound(3))
    await settled(speech)
    played = speech.sound()
    assert isinstance(played, AsyncIterator)
    assert [frame async for frame in played] == [FRAME] * 3
    await speech.aclose()


async def test_a_voice_that_fails_or_is_silent_leaves_the_words_to_the_session() -> None:
    for made in (sound(2, fails=True), sound(0), sound(6_500)):
        speech = PreparedSpeech(made)
        await settled(speech)
        assert speech.sound() is NOT_GIVEN
        await speech.aclose()


async def test_what_is_under_way_is_ended_with_the_call() -> None:
    speech = PreparedSpeech(forever())
    await checkpoint()
    await speech.aclose()
    assert speech.sound() is NOT_GIVEN


async def test_what_is_not_whole_in_time_is_made_no_further_as_the_session_makes_it() -> None:
    made = forever()
    speech = PreparedSpeech(made)
    await checkpoint()
    assert speech.sound() is NOT_GIVEN
    await settled(speech)
    assert await anext(made, None) is None  # closed
    await speech.aclose()


async def test_a_voice_is_closed_where_the_words_are_too_long() -> None:
    made = sound(7_000)
    speech = PreparedSpeech(made)
    await settled(speech)
    assert await anext(made, None) is None
    await speech.aclose()


@pytest.mark.parametrize(
    ("words", "voice", "is_prepared"),
    [
        ("Hello.", SimpleNamespace(speaks_here=True), True),
        ("Hello.", SimpleNamespace(speaks_here=False), False),
        ("Hello.", SimpleNamespace(), False),
        ("Hello.", None, False),
        ("", SimpleNamespace(speaks_here=True), False),
    ],
)
async def test_only_a_voice_of_this_machine_is_asked_for_words_that_may_not_be_said(
    words: str, voice: Any, *, is_prepared: bool
) -> None:
    asked: list[str] = []

    async def synthesize(text: AsyncIterable[str]) -> AsyncGenerator[rtc.AudioFrame, None]:
        async for each in text:
            asked.append(each)
            yield FRAME

    speech = prepare(words, voice, synthesize)
    assert (speech is not None) is is_prepared
    if speech:
        await settled(speech)
        await speech.aclose()
    assert asked == ([words] if is_prepared else [])
