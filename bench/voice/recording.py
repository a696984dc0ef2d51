"""A call, recorded at the caller: left the caller, right the agent."""

import asyncio
import wave
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.voice.calls import Exchange, Spoken
from bench.voice.variants import Variant
from tests.voice.caller import RATE, Samples

_FRAME_MS = 10
_LATE = 0.05
"""Seconds by which a frame may be early or late and still follow the one before it."""
QUIETEST = -70.0  # dB of full scale

Frame = tuple[float, Samples]
"""The moment of the first sample (s), and samples at RATE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """`samples`: 16 bit at RATE from `start` (s), in rows of left and right."""

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
        """Returns the loudness of both sides, a row for every 10 ms, in dB of full scale."""
        step = RATE * _FRAME_MS // 1000
        first, last = (round((at - self.start) * RATE) for at in (since, until))
        part = self.samples[max(0, first) : last].astype(np.float64) / 2**15
        windows = part[: len(part) // step * step].reshape(-1, step, 2)
        power: NDArray[np.float64] = (windows**2).mean(axis=1)
        decibels: NDArray[np.float64] = 10 * np.log10(np.maximum(power, 10 ** (QUIETEST / 10)))
        return decibels


def lay_track(frames: Iterable[Frame], start: float, length: int) -> Samples:
    """Returns the frames as a track that begins at `start` and has `length` samples.

    Frames arrive unevenly, so each follows the one before it; larger gaps are silence.
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


async def record(exchange: Exchange, variant: Variant, turns: int) -> Recording:
    """Records a call of a few turns; its first and last moments are silent."""
    loop = asyncio.get_running_loop()
    await exchange.make_healthy()
    async with exchange.call(variant) as call:
        start = loop.time()
        spoken = [await call.turn(number) for number in range(turns)]
        length = round((loop.time() - start) * RATE)
        frames = [(one.at, one.samples) for one in call.caller.frames if one.at > start]
    said = [(one.began, one.samples) for one in spoken]
    sides = [lay_track(side, start, length) for side in (said, frames)]
    return Recording(start=start, samples=np.stack(sides, axis=1), spoken=spoken)
