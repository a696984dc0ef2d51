"""Makes the samples that recognisers take: mono, 16 bits, at one rate."""

import numpy as np
from livekit import rtc

from agent.speech.process.models import RATE

__all__ = ["RATE", "to_samples"]


def to_samples(frame: rtc.AudioFrame) -> bytes:
    """Returns the samples of the frame's first channel, at RATE."""
    mono = np.frombuffer(frame.data, np.int16).reshape(-1, frame.num_channels)[:, 0].tobytes()
    if frame.sample_rate == RATE:
        return mono
    resampler = rtc.AudioResampler(frame.sample_rate, RATE)
    return b"".join(
        bytes(part.data) for part in [*resampler.push(bytearray(mono)), *resampler.flush()]
    )
