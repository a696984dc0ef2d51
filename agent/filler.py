"""What is said while the answer is late.

`llm_node` marks in the stream of text that the answer is late; the mark opens the voice's segment
early (`tts_node` would else start with the first word). There the wait is covered with a short
phrase, which is cut as soon as the answer can be heard. The mark is neither said nor shown, and the
phrase is no part of the transcript or the history.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import aclosing

import numpy as np
from livekit import rtc
from livekit.agents import llm

from llm_router.routing.phrases import Phrases

LATE = "\u2060\n"
"""A word joiner, which has no sound and no shape, on a line of its own: LiveKit's markdown filter
holds back a line until it can be sure of it, and the end of the line makes it sure."""
_FADE = 0.05
_AHEAD = 0.2
"""Seconds of sound handed over before they are due; less and a busy machine would stutter."""

Synthesize = Callable[[AsyncIterable[str]], AsyncGenerator[rtc.AudioFrame, None]]


class FillerRule:
    """What to say at the first mark of a turn, and what later; never the same twice in a row."""

    def __init__(self, phrases: Phrases, language: str) -> None:
        self._phrases, self._language = phrases, language
        self._said = {"filler.late": 0, "filler.very_late": 0}
        self._last = ""

    def phrase(self, marks_before: int) -> str:
        """Empty where the phrase file has none that differs from the last."""
        occasion = "filler.very_late" if marks_before else "filler.late"
        for _ in range(2):
            said = self._said[occasion]
            self._said[occasion] += 1
            phrase = self._phrases.pick(occasion, self._language, said)
            if phrase != self._last:
                self._last = phrase
                return phrase
        return ""


def waits_since(fell_silent: float, asked: float, late_after: float) -> float:
    """Since when a caller waits for the answer: since they fell silent; where that is so long ago
    that they typed the question, or a tool has answered since, from when the model was asked.
    """
    return fell_silent if asked - fell_silent < late_after else asked


async def mark_late(
    chunks: AsyncGenerator[llm.ChatChunk, None], late_at: float, again_after: float
) -> AsyncGenerator[llm.ChatChunk | str, None]:
    """The chunks, with a mark at `late_at` (loop time, s) and every `again_after` seconds from then
    on, as long as nothing that answers has come.
    """
    loop = asyncio.get_running_loop()
    upcoming: asyncio.Future[llm.ChatChunk] | None = None
    async with aclosing(chunks):
        try:
            while True:
                upcoming = upcoming or asyncio.ensure_future(anext(chunks))
                done, _ = await asyncio.wait({upcoming}, timeout=max(0.0, late_at - loop.time()))
                if not done:
                    yield LATE
                    late_at = loop.time() + again_after
                    continue
                chunk, upcoming = upcoming.result(), None
                yield chunk
                if chunk.has_response():
                    break
        except StopAsyncIteration:
            return
        finally:
            if upcoming:
                upcoming.cancel()
                await asyncio.wait({upcoming})
        async for chunk in chunks:
            yield chunk


async def without_marks(text: AsyncIterable[str]) -> AsyncIterator[str]:
    async for piece in text:
        if clean := piece.replace(LATE, ""):
            yield clean


class FillerVoice:
    """Covers the waits of one call. Phrases are synthesised once and kept."""

    def __init__(self, rule: FillerRule) -> None:
        self._rule = rule
        self._kept: dict[str, list[rtc.AudioFrame]] = {}

    async def speak(
        self, text: AsyncIterable[str], synthesize: Synthesize
    ) -> AsyncGenerator[rtc.AudioFrame, None]:
        """The sound of `text`, with a phrase wherever a mark says that it is late."""
        marks = asyncio.Queue[None](maxsize=8)
        async with aclosing(synthesize(_without_marks_told(text, marks))) as frames:
            first = asyncio.ensure_future(_next(frames))
            try:
                covered = 0
                while not first.done():
                    mark = asyncio.ensure_future(marks.get())
                    await asyncio.wait({first, mark}, return_when=asyncio.FIRST_COMPLETED)
                    late = mark.done()
                    mark.cancel()
                    if late and not first.done() and (phrase := self._rule.phrase(covered)):
                        covered += 1
                        async for frame in self._paced(
                            await self._sound(phrase, synthesize), first
                        ):
                            yield frame
                sound = await first
            finally:
                first.cancel()
                await asyncio.wait({first})
            while sound is not None:
                yield sound
                sound = await _next(frames)

    async def _sound(self, phrase: str, synthesize: Synthesize) -> list[rtc.AudioFrame]:
        if phrase not in self._kept:
            self._kept[phrase] = [frame async for frame in synthesize(_one(phrase))]
        return self._kept[phrase]

    @staticmethod
    async def _paced(
        phrase: list[rtc.AudioFrame], answer: "asyncio.Future[rtc.AudioFrame | None]"
    ) -> AsyncIterator[rtc.AudioFrame]:
        """The phrase at talking speed, so that it can still be cut when the answer is there."""
        loop = asyncio.get_running_loop()
        due = loop.time() - _AHEAD
        for frame in phrase:
            if answer.done() and answer.result() is not None:
                yield _faded(frame)
                return
            yield frame
            due += frame.duration
            # A turn that ends in a tool call has no sound to wait for: the phrase is said out.
            if not answer.done():
                await asyncio.wait({answer}, timeout=max(0.0, due - loop.time()))


def _faded(frame: rtc.AudioFrame) -> rtc.AudioFrame:
    """The beginning of a frame, let down to nothing: a cut that does not click."""
    channels = frame.num_channels
    length = min(frame.samples_per_channel, int(_FADE * frame.sample_rate))
    samples = np.frombuffer(frame.data, dtype=np.int16).reshape(-1, channels)[:length]
    ramp = np.linspace(1.0, 0.0, length)[:, None]
    return rtc.AudioFrame(
        (samples * ramp).astype(np.int16).tobytes(), frame.sample_rate, channels, length
    )


async def _without_marks_told(
    text: AsyncIterable[str], marks: asyncio.Queue[None]
) -> AsyncIterator[str]:
    async for piece in text:
        if LATE in piece and not marks.full():
            marks.put_nowait(None)
        if clean := piece.replace(LATE, ""):
            yield clean


async def _next(frames: AsyncGenerator[rtc.AudioFrame, None]) -> rtc.AudioFrame | None:
    return await anext(frames, None)


async def _one(text: str) -> AsyncIterator[str]:
    yield text
