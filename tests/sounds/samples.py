"""Reads and writes recordings as 16 kHz mono 16-bit samples."""

from pathlib import Path
from typing import IO

import av
import numpy as np
from numpy.typing import NDArray

RATE = 16_000
Samples = NDArray[np.int16]
"""Mono samples at RATE."""


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE), np.int16)


def to_samples(values: NDArray[np.float64] | Samples) -> Samples:
    """Rounds values in the scale of 16-bit samples, and cuts off what is louder."""
    return np.clip(np.rint(values), -(2**15), 2**15 - 1).astype(np.int16)


def level(samples: Samples) -> float:
    """Returns the root mean square of the 20 ms pieces within 30 dB of the loudest one: the level
    of the speech without its pauses. It is 0 for silence.
    """
    step = RATE // 50
    pieces = samples[: len(samples) // step * step].astype(np.float64).reshape(-1, step)
    power = (pieces**2).mean(axis=1)
    if not power.any():
        return 0.0
    return float(np.sqrt(power[power >= power.max() / 1000].mean()))


def read_sound(file: Path | IO[bytes]) -> Samples:
    """Reads a recording in any format that FFmpeg knows."""
    resampler = av.AudioResampler("s16", "mono", RATE)
    with av.open(file, "r") as container:
        decoded = [*container.decode(audio=0), None]  # None: what the resampler holds back
        pieces = [part.to_ndarray()[0] for frame in decoded for part in resampler.resample(frame)]
    return np.concatenate(pieces).astype(np.int16)


def write_opus(file: Path | IO[bytes], samples: Samples, bits: int) -> None:
    """Writes Opus in an Ogg container, with so many bits per second."""
    with av.open(file, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=RATE, layout="mono", bit_rate=bits)
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], "s16", "mono")
        frame.sample_rate = RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
