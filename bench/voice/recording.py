"""A call recorded as its caller heard it: left what they said, right the agent."""

import asyncio
import wave
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.voice.calls import SENTENCES, Exchange, Spoken
from bench.voice.variants import Variant
from tests.voice.caller import RATE, Samples, read_wav

_FRAME_MS = 10
_LATE = 0.05
"""Seconds by which a frame may come later or earlier than its place before it moves there."""
QUIETEST = -70.0  # dB of full scale

Frame = tuple[float, Samples]
"""Samples at RATE, and when the first of them was to be heard (s)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """`samples`: 16 bit at RATE, a row for each moment from `start` (s), left and right."""

    start: float
    samples: Samples
    spoken: Sequence[Spoken]

    def save(self, file: Path) -> None:
        with wave.open(str(file), "wb") as out:
            out.setnchannels(2)
            out.setsampwidth(2)
            out.setframerate(RATE)
            out.writeframes(self.samples.tobytes())

    def loudness(self, since: float, until: float) -> NDArray[np.float64]:
        """Of both sides in every 10 ms, a row each, in dB of full scale."""
        step = RATE * _FRAME_MS // 1000
        first, last = (round((at - self.start) * RATE) for at in (since, until))
        part = self.samples[max(0, first) : last].astype(np.float64) / 2**15
        windows = part[: len(part) // step * step].reshape(-1, step, 2)
        power: NDArray[np.float64] = (windows**2).mean(axis=1)
        decibels: NDArray[np.float64] = 10 * np.log10(np.maximum(power, 10 ** (QUIETEST / 10)))
        return decibels


def lay(frames: Iterable[Frame], start: float, length: int) -> Samples:
    """The frames in their places on a track that begins at `start` and has `length` samples.

    One follows on the other, for they come unevenly; where more is missing than that, there is
    silence.
    """
    track = np.zeros(length, np.int16)
    place = 0
    for at, samples in frames:
        due = round((at - start) * RATE)
        if abs(due - place) > _LATE * RATE:
            place = due
        if place >= 0:
            room = track[place : place + len(samples)]
            room[:] = samples[: len(room)]
        place += len(samples)
    return track


async def record(at: Exchange, variant: Variant, turns: int) -> Recording:
    """A call of a few turns; its first and last moments are silent."""
    loop = asyncio.get_running_loop()
    await at.be_well()
    async with at.call(variant) as line:
        start = loop.time()
        spoken = [await line.turn(SENTENCES[n % len(SENTENCES)]) for n in range(turns)]
        length = round((loop.time() - start) * RATE)
        frames = [(h.at, h.samples) for h in line.caller.heard if h.at > start]
    said = [(one.began, read_wav(one.sentence.file)) for one in spoken]
    sides = [lay(side, start, length) for side in (said, frames)]
    return Recording(start=start, samples=np.stack(sides, axis=1), spoken=spoken)
