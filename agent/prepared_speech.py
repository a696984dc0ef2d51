"""Synthesizes words before it is time to say them, so that their sound is there at once."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from livekit import rtc
from livekit.agents import NOT_GIVEN, NotGivenOr

from agent.filler import Synthesize
from agent.speech.tts import TTSEngine, speaks_here

_LONGEST = 120.0
"""Seconds of sound that are held; longer words are synthesized as they are said."""


class PreparedSpeech:
    """The sound of some words, which is made from now on. Close it at the end."""

    def __init__(self, sound: AsyncGenerator[rtc.AudioFrame, None]) -> None:
        self._frames: list[rtc.AudioFrame] = []
        self._task = asyncio.create_task(self._collect(sound), name="prepared speech")

    async def _collect(self, sound: AsyncGenerator[rtc.AudioFrame, None]) -> bool:
        seconds = 0.0
        async with aclosing(sound):
            async for frame in sound:
                self._frames.append(frame)
                seconds += frame.duration
                if seconds > _LONGEST:
                    return False
        return bool(self._frames)

    def sound(self) -> NotGivenOr[AsyncIterator[rtc.AudioFrame]]:
        """Returns the sound for `session.say`; NOT_GIVEN if it is not there in full: the session
        makes its own then, and this one is made no further.
        """
        task = self._task
        if task.done() and not task.cancelled() and not task.exception() and task.result():
            return self._play()
        task.cancel()
        return NOT_GIVEN

    async def _play(self) -> AsyncIterator[rtc.AudioFrame]:
        for frame in self._frames:
            yield frame

    async def aclose(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.exception()  # a voice that fails is tried again as the words are said


def prepare(words: str, voice: TTSEngine | None, synthesize: Synthesize) -> PreparedSpeech | None:
    """Begins to synthesize words that may never be said.

    Returns None without words, and for the voice of a service, which would ask money for them.
    """
    if not words or voice is None or not speaks_here(voice):
        return None

    async def written() -> AsyncIterator[str]:
        yield words

    return PreparedSpeech(synthesize(written()))
