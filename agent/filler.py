"""Says a short filler phrase while an answer is late.

`llm_node` puts a mark into the stream of text when the answer is late. The mark starts the TTS
segment early: without it, `tts_node` would start with the first word. There `FillerVoice` plays a
short phrase, which is cut as soon as the answer has sound. The mark is neither spoken nor shown,
and the phrase is part of neither the transcript nor the history. Nor is any word of the answer
until its own sound comes: one that is interrupted before has said nothing.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import llm

from llm_router.routing.phrases import Phrases

LATE_MARK = "\u2060\n"
"""Mark of a late answer: a word joiner, which has no sound and no shape, on a line of its own.

LiveKit's markdown filter holds back a line until its end, so the mark ends its line.
"""
_FADE = 0.05
"""Seconds in which a phrase that is cut fades out."""
_LEAD = 0.2
"""Seconds of sound passed on before they are due; with less, a busy machine would stutter."""
_MAX_MARKS = 8
"""Marks that may wait while a phrase is spoken; more add nothing."""

Synthesize = Callable[[AsyncIterable[str]], AsyncGenerator[rtc.AudioFrame, None]]


class FillerRule:
    """Chooses the phrase for each mark of a turn; never the same phrase twice in a row."""

    def __init__(self, phrases: Phrases, language: str) -> None:
        self._phrases = phrases
        self.language = language
        self._uses = {"filler.late": 0, "filler.very_late": 0}
        self._last = ""

    def phrase(self, marks_before: int) -> str:
        """Returns the next phrase, or "" where the phrase file has none that differs from the last.

        `marks_before` counts the turn's earlier marks that got a phrase.
        """
        occasion = "filler.very_late" if marks_before else "filler.late"
        for _ in range(2):
            uses = self._uses[occasion]
            self._uses[occasion] += 1
            phrase = self._phrases.pick(occasion, self.language, uses)
            if phrase != self._last:
                self._last = phrase
                return phrase
        return ""


def waiting_since(stopped_at: float, asked_at: float, late_after: float) -> float:
    """Returns the time (loop time, s) from which the caller has been waiting for the answer.

    That is `stopped_at`, when the caller stopped speaking. If that was `late_after` seconds or more
    before the model was asked, the question was typed or a tool has answered since: then the wait
    began at `asked_at`.
    """
    return stopped_at if asked_at - stopped_at < late_after else asked_at


async def mark_late(
    chunks: AsyncGenerator[llm.ChatChunk, None], late_at: float, again_after: float
) -> AsyncGenerator[llm.ChatChunk | str, None]:
    """Yields the chunks, with marks among them until the first chunk that holds an answer.

    The first mark comes at `late_at` (loop time, s), the next ones `again_after` seconds apart.
    Closing this generator closes `chunks`.
    """
    loop = asyncio.get_running_loop()
    upcoming: asyncio.Future[llm.ChatChunk] | None = None
    async with aclosing(chunks):
        try:
            while True:
                upcoming = upcoming or asyncio.ensure_future(anext(chunks))
                done, _ = await asyncio.wait({upcoming}, timeout=max(0.0, late_at - loop.time()))
                if not done:
                    yield LATE_MARK
                    late_at = loop.time() + again_after
                    continue
                chunk = upcoming.result()
                upcoming = None
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


class FillerVoice:
    """Speaks the answers of one call, with a filler phrase wherever one is late.

    Each phrase is synthesized once and its sound is used again.
    """

    def __init__(self, rule: FillerRule) -> None:
        self._rule = rule
        self._sounds: dict[str, list[rtc.AudioFrame]] = {}
        self._has_sound = asyncio.Event()
        self._has_sound.set()

    async def shown(self, text: AsyncIterable[str]) -> AsyncIterator[str]:
        """Yields the text without its marks; the words after one wait for the answer's sound.

        LiveKit would take the sound of a phrase for theirs. An answer without a voice has no sound
        to wait for.
        """
        is_late = False
        async for piece in text:
            is_late = is_late or LATE_MARK in piece
            if clean := piece.replace(LATE_MARK, ""):
                if is_late:
                    await self._has_sound.wait()
                yield clean

    async def speak(
        self, text: AsyncIterable[str], synthesize: Synthesize
    ) -> AsyncGenerator[rtc.AudioFrame, None]:
        """Yields the sound of `text`, with a phrase wherever a mark says that it is late."""
        marks = asyncio.Queue[None](maxsize=_MAX_MARKS)
        has_sound = self._has_sound = asyncio.Event()
        async with aclosing(synthesize(_collect_marks(text, marks))) as frames:
            first = asyncio.ensure_future(_next(frames))
            try:
                fillers = 0
                while not first.done():
                    late = await _next_mark(marks, first)
                    if late and not first.done() and (phrase := self._rule.phrase(fillers)):
                        fillers += 1
                        async for frame in self._paced(
                            await self._sound(phrase, synthesize), first
                        ):
                            yield frame
                sound = await first
            finally:
                has_sound.set()
                first.cancel()
                await asyncio.wait({first})
            while sound is not None:
                yield sound
                sound = await _next(frames)

    async def _sound(self, phrase: str, synthesize: Synthesize) -> list[rtc.AudioFrame]:
        if phrase not in self._sounds:
            self._sounds[phrase] = [frame async for frame in synthesize(_one(phrase))]
        return self._sounds[phrase]

    @staticmethod
    async def _paced(
        phrase: list[rtc.AudioFrame], answer: "asyncio.Future[rtc.AudioFrame | None]"
    ) -> AsyncIterator[rtc.AudioFrame]:
        """Yields the phrase at the speed of speech, so that it can be cut when the answer comes."""
        loop = asyncio.get_running_loop()
        due = loop.time() - _LEAD
        for frame in phrase:
            if answer.done() and answer.result() is not None:
                yield _faded(frame)
                return
            yield frame
            due += frame.duration
            # A turn that ends in a tool call has no sound to wait for: the phrase is said in full.
            if not answer.done():
                await asyncio.wait({answer}, timeout=max(0.0, due - loop.time()))


def _faded(frame: rtc.AudioFrame) -> rtc.AudioFrame:
    """Returns the beginning of a frame, faded to silence: a cut that does not click."""
    channels = frame.num_channels
    length = min(frame.samples_per_channel, int(_FADE * frame.sample_rate))
    samples = np.frombuffer(frame.data, dtype=np.int16).reshape(-1, channels)[:length]
    ramp = np.linspace(1.0, 0.0, length)[:, None]
    return rtc.AudioFrame(
        (samples * ramp).astype(np.int16).tobytes(), frame.sample_rate, channels, length
    )


async def _next_mark(
    marks: asyncio.Queue[None], first: "asyncio.Future[rtc.AudioFrame | None]"
) -> bool:
    """Waits for a mark or for the first sound, and returns whether there was a mark."""
    mark = asyncio.ensure_future(marks.get())
    either: set[asyncio.Future[Any]] = {first, mark}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return mark.done()
    finally:
        mark.cancel()
        await asyncio.wait({mark})


async def _collect_marks(
    text: AsyncIterable[str], marks: asyncio.Queue[None]
) -> AsyncIterator[str]:
    """Yields the text without its marks, and puts each mark into the queue unless it is full."""
    async for piece in text:
        if LATE_MARK in piece and not marks.full():
            marks.put_nowait(None)
        if clean := piece.replace(LATE_MARK, ""):
            yield clean


async def _next(frames: AsyncGenerator[rtc.AudioFrame, None]) -> rtc.AudioFrame | None:
    return await anext(frames, None)


async def _one(text: str) -> AsyncIterator[str]:
    yield text
