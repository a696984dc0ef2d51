"""Tests fillers: when a late answer is marked, which phrase is said, and how it is cut."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from itertools import pairwise

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import llm

from agent.filler import (
    LATE_MARK,
    FillerRule,
    FillerVoice,
    mark_late,
    waiting_since,
)
from llm_router.clock import checkpoint
from llm_router.routing.phrases import Phrases

RATE = 1000
ANSWER_LEVEL, PHRASE_LEVEL = 1000, 500
PHRASES = Phrases(
    {"en": {"filler.late": ["One.", "Two."], "filler.very_late": ["Still.", "Nearly."]}}
)


# ── Choice of phrases ────────────────────────────────────────────────────────────────────────────


def test_no_phrase_is_said_twice_in_a_row() -> None:
    rule = FillerRule(PHRASES, "en")
    said = [rule.phrase(marks_before=n % 2) for n in range(12)]
    assert all(one != other for one, other in pairwise(said))
    assert said[:2] == ["One.", "Still."]


def test_the_only_phrase_of_a_language_is_not_repeated() -> None:
    rule = FillerRule(Phrases({"en": {"filler.late": ["One."]}}), "en")
    assert [rule.phrase(0) for _ in range(3)] == ["One.", "", ""]


# ── Marks ────────────────────────────────────────────────────────────────────────────────────────


def test_a_wait_begins_when_the_caller_stops_speaking_not_when_the_model_is_asked() -> None:
    assert waiting_since(10.0, asked_at=10.8, late_after=1.2) == 10.0


def test_after_a_typed_question_or_a_tool_the_wait_begins_when_the_model_is_asked() -> None:
    assert waiting_since(10.0, asked_at=25.0, late_after=1.2) == 25.0


def chunk(text: str) -> llm.ChatChunk:
    return llm.ChatChunk(id="1", delta=llm.ChoiceDelta(role="assistant", content=text))


async def marked(
    *pieces: llm.ChatChunk | asyncio.Event, late_in: float, again_after: float = 60.0
) -> AsyncIterator[llm.ChatChunk | str]:
    """Yields the pieces as `mark_late` does; the answer waits at each event among them."""

    async def answer() -> AsyncGenerator[llm.ChatChunk, None]:
        for piece in pieces:
            if isinstance(piece, asyncio.Event):
                await piece.wait()
            else:
                yield piece

    late_at = asyncio.get_running_loop().time() + late_in
    async for out in mark_late(answer(), late_at, again_after):
        yield out


def shown(out: Sequence[llm.ChatChunk | str]) -> list[str]:
    return [o if isinstance(o, str) else (o.delta.content or "" if o.delta else "") for o in out]


async def test_an_answer_in_time_is_not_marked() -> None:
    out = [piece async for piece in marked(chunk("Yes"), chunk(" sir"), late_in=60)]
    assert shown(out) == ["Yes", " sir"]


async def test_a_late_answer_is_marked_until_its_first_word() -> None:
    go = asyncio.Event()
    out: list[llm.ChatChunk | str] = []
    async for piece in marked(chunk(""), go, chunk("Yes"), late_in=0, again_after=0):
        out.append(piece)
        if shown(out).count(LATE_MARK) == 3:
            go.set()
    texts = [text for text in shown(out) if text]
    assert texts[:3] == [LATE_MARK] * 3
    assert texts[-1] == "Yes"


async def test_a_pause_within_the_answer_is_not_marked() -> None:
    pause = asyncio.Event()
    out: list[llm.ChatChunk | str] = []
    async for piece in marked(chunk("Yes"), pause, chunk(" sir"), late_in=60, again_after=0):
        out.append(piece)
        pause.set()
    assert LATE_MARK not in shown(out)


async def test_closing_the_marked_stream_closes_the_answer() -> None:
    closed = asyncio.Event()

    async def answer() -> AsyncGenerator[llm.ChatChunk, None]:
        try:
            await asyncio.get_running_loop().create_future()
            yield chunk("never")
        finally:
            closed.set()

    stream = mark_late(answer(), 0.0, 60.0)
    assert await anext(stream) == LATE_MARK
    await stream.aclose()
    assert closed.is_set()


async def test_marks_are_not_shown() -> None:
    async def text() -> AsyncIterator[str]:
        for piece in (LATE_MARK, "Yes", f"{LATE_MARK} sir"):
            yield piece

    voice = FillerVoice(FillerRule(PHRASES, "en"))
    assert [piece async for piece in voice.shown(text())] == ["Yes", " sir"]


# ── Sound ────────────────────────────────────────────────────────────────────────────────────────


def frame(level: int, seconds: float = 0.1) -> rtc.AudioFrame:
    samples = np.full(int(RATE * seconds), level, np.int16)
    return rtc.AudioFrame(samples.tobytes(), RATE, 1, len(samples))


class Voice:
    """Fake TTS that speaks one frame for each piece of text, and `frames` for a phrase."""

    def __init__(self, frames: int = 2) -> None:
        self.said: list[str] = []
        self.frames = frames

    async def __call__(self, text: AsyncIterable[str]) -> AsyncGenerator[rtc.AudioFrame, None]:
        async for piece in text:
            self.said.append(piece)
            is_phrase = piece in {"One.", "Two.", "Still.", "Nearly."}
            for _ in range(self.frames if is_phrase else 1):
                yield frame(PHRASE_LEVEL if is_phrase else ANSWER_LEVEL)


def levels(frames: Sequence[rtc.AudioFrame]) -> list[int]:
    return [int(np.frombuffer(f.data, np.int16)[0]) for f in frames]


async def spoken(voice: Voice, *pieces: str | asyncio.Event) -> list[rtc.AudioFrame]:
    async def text() -> AsyncIterator[str]:
        for piece in pieces:
            if isinstance(piece, asyncio.Event):
                await piece.wait()
            else:
                yield piece

    return [f async for f in FillerVoice(FillerRule(PHRASES, "en")).speak(text(), voice)]


async def test_an_answer_without_a_mark_is_spoken_unchanged() -> None:
    voice = Voice()
    assert levels(await spoken(voice, "Yes", " sir")) == [ANSWER_LEVEL, ANSWER_LEVEL]
    assert voice.said == ["Yes", " sir"]


async def test_a_phrase_is_played_before_a_late_answer_and_not_after_it() -> None:
    voice, go = Voice(), asyncio.Event()

    async def text() -> AsyncIterator[str]:
        yield LATE_MARK
        await go.wait()
        yield "Yes"

    played: list[rtc.AudioFrame] = []
    async for one in FillerVoice(FillerRule(PHRASES, "en")).speak(text(), voice):
        played.append(one)
        if len(played) == 2:
            go.set()
    assert levels(played)[:2] == [PHRASE_LEVEL] * 2
    assert levels(played)[-1] == ANSWER_LEVEL


async def test_a_phrase_is_cut_with_a_fade_when_the_answer_comes() -> None:
    voice, go = Voice(frames=50), asyncio.Event()

    async def text() -> AsyncIterator[str]:
        yield LATE_MARK
        await go.wait()
        yield "Yes"

    played: list[rtc.AudioFrame] = []
    async for one in FillerVoice(FillerRule(PHRASES, "en")).speak(text(), voice):
        played.append(one)
        go.set()
    assert len(played) < 50
    fade = np.frombuffer(played[-2].data, np.int16)
    assert fade[0] == PHRASE_LEVEL
    assert fade[-1] == 0
    assert levels(played)[-1] == ANSWER_LEVEL


async def test_a_turn_that_ends_without_words_still_ends() -> None:
    assert levels(await spoken(Voice(), LATE_MARK)) in ([], [PHRASE_LEVEL] * 2)


async def test_an_answer_given_up_before_its_first_sound_leaves_no_task_behind() -> None:
    async def text() -> AsyncIterator[str]:
        yield "Yes"

    async def silent(text: AsyncIterable[str]) -> AsyncGenerator[rtc.AudioFrame, None]:
        async for _ in text:
            await asyncio.Event().wait()
            yield frame(ANSWER_LEVEL)

    answer = FillerVoice(FillerRule(PHRASES, "en")).speak(text(), silent)
    before = asyncio.all_tasks()
    first = asyncio.ensure_future(anext(answer))
    for _ in range(20):
        await checkpoint()
    first.cancel()
    await asyncio.wait({first})
    assert asyncio.all_tasks() == before


async def test_a_failing_voice_is_not_hidden() -> None:
    async def broken(text: AsyncIterable[str]) -> AsyncGenerator[rtc.AudioFrame, None]:
        async for _ in text:
            raise ConnectionError("the voice is gone")
            yield frame(0)

    async def text() -> AsyncIterator[str]:
        yield "Yes"

    filler = FillerVoice(FillerRule(PHRASES, "en"))
    with pytest.raises(ConnectionError, match="the voice is gone"):
        assert [f async for f in filler.speak(text(), broken)] == []
