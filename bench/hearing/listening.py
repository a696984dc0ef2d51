"""Plays clips to a recogniser as a call does, and collects its words and their times."""

import asyncio
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from livekit import rtc
from livekit.agents.stt import RecognizeStream, SpeechEvent, SpeechEventType

from agent.speech.stt import STTEngine
from bench.hearing.channels import Arrival
from tests.sounds.samples import RATE, Samples

_FRAME = RATE // 50
_FRAME_SECONDS = 0.02
FLUSH_AFTER = 0.35
"""Seconds of silence after which the turn is over: VAD_MIN_SILENCE and what a detector takes."""
_PATIENCE = 3.0
"""Seconds for which the final words are awaited after the flush."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """A clip in real time. `early`, `final`: seconds from its last sound until the first transcript
    that had the final words, and until the final one; infinity: never.
    """

    text: str
    early: float
    final: float


async def transcribe(engine: STTEngine, samples: Samples) -> str:
    """Returns the words of a clip, pushed as fast as the engine takes it."""
    async with engine.stream() as stream:
        for frame in _frames(samples):
            stream.push_frame(frame)
        stream.end_input()
        final = SpeechEventType.FINAL_TRANSCRIPT
        texts = [event.alternatives[0].text async for event in stream if event.type is final]
    return " ".join(texts)


async def transcribe_in_real_time(engine: STTEngine, clip: Arrival) -> Timing:
    """Plays a clip as a microphone does, flushes FLUSH_AFTER seconds after its last sound, as the
    session does at the end of a turn, and times the transcripts.
    """
    loop = asyncio.get_running_loop()
    events: list[tuple[float, SpeechEvent]] = []
    ended = asyncio.Event()
    async with engine.stream() as stream:
        started = loop.time()
        last_sound = started + clip.ends

        async def read() -> None:
            async for event in stream:
                events.append((loop.time(), event))
                if event.type is SpeechEventType.END_OF_SPEECH and loop.time() > last_sound:
                    ended.set()

        reading = asyncio.create_task(read())
        try:
            await _play(stream, clip, started)
            async with asyncio.timeout(_PATIENCE):
                await ended.wait()
        except TimeoutError:
            pass  # no words: that is a result
        finally:
            reading.cancel()
            await asyncio.wait([reading])
    return find_times(events, last_sound)


async def _play(stream: RecognizeStream, clip: Arrival, started: float) -> None:
    """Pushes every frame at the moment at which it has been spoken, and the flush in its place."""
    loop = asyncio.get_running_loop()
    due = 0.0
    flushed = False
    for frame in _frames(clip.samples):
        due += _FRAME_SECONDS
        await asyncio.sleep(started + due - loop.time())
        stream.push_frame(frame)
        if not flushed and due >= clip.ends + FLUSH_AFTER:
            stream.flush()
            flushed = True


def find_times(events: Sequence[tuple[float, SpeechEvent]], last_sound: float) -> Timing:
    """Finds the times of a clip's transcripts, from each event and its moment (s)."""
    final = [(at, one) for at, one in events if one.type is SpeechEventType.FINAL_TRANSCRIPT]
    text = " ".join(one.alternatives[0].text for _, one in final)
    if not final:
        return Timing(text=text, early=math.inf, final=math.inf)
    early = final[-1][0]
    for at, event in reversed(events):
        if event.type is SpeechEventType.PREFLIGHT_TRANSCRIPT:
            if event.alternatives[0].text != text:
                break
            early = min(early, at)
    return Timing(text=text, early=early - last_sound, final=final[-1][0] - last_sound)


def _frames(samples: Samples) -> Iterator[rtc.AudioFrame]:
    for start in range(0, len(samples) - _FRAME + 1, _FRAME):
        yield rtc.AudioFrame(samples[start : start + _FRAME].tobytes(), RATE, 1, _FRAME)
