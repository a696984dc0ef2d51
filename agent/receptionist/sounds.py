"""The receptionist's sentences as sound, spoken once by the agent's voice, and its hold sound."""

import asyncio
import logging
from collections.abc import Callable, Iterable

import numpy as np
from livekit import rtc
from livekit.agents import APIConnectOptions

from agent.speech.tts import TTSEngine

_logger = logging.getLogger("agent")

RATE = 24_000
_WITHIN = 15.0
"""Seconds for one sentence."""
_NOTES = (392.0, 523.25, 440.0, 349.23)
_NOTE = 1.5
"""Seconds from one note of the hold sound to the next."""
_HOLD_LEVEL = 900.0
"""Amplitude of the hold sound, of 32767: far below a voice."""


class Sounds:
    """Sounds by their texts. Several threads may read it."""

    def __init__(self) -> None:
        self._sounds: dict[str, bytes] = {}

    def get(self, text: str) -> bytes:
        """Returns the samples of a sentence (16 bits, mono, RATE), or none before it is spoken."""
        return self._sounds.get(text, b"")

    async def speak(self, texts: Iterable[str], load: Callable[[], TTSEngine]) -> None:
        """Has an engine speak the texts one after the other, and closes it.

        If one cannot be spoken, it and those after it are left out, which is logged.
        """
        engine = load()
        try:
            for text in texts:
                self._sounds[text] = await spoken(engine, text)
            _logger.info("the receptionist has its %d sentences", len(self._sounds))
        except Exception as error:  # noqa: BLE001  a plugin may raise anything, and no call needs this
            _logger.warning("the receptionist has no voice: %s", str(error) or type(error).__name__)
        finally:
            await engine.aclose()


async def spoken(engine: TTSEngine, text: str) -> bytes:
    """Speaks a text; returns its samples (16 bits, mono, RATE). Raises what the engine raises."""
    async with asyncio.timeout(_WITHIN):
        options = APIConnectOptions(max_retry=1, timeout=_WITHIN / 2)
        async with engine.stream(conn_options=options) as stream:
            stream.push_text(text)
            stream.end_input()
            frames = [audio.frame async for audio in stream]
    if frames and frames[0].sample_rate != RATE:
        resampler = rtc.AudioResampler(frames[0].sample_rate, RATE)
        frames = [new for old in frames for new in resampler.push(old)] + resampler.flush()
    return b"".join(bytes(frame.data) for frame in frames)


def hold_sound() -> bytes:
    """Makes some seconds of soft bell notes, which begin and end in silence."""
    length = round(_NOTE * RATE)
    times = np.arange(length) / RATE
    shape = np.minimum(times / 0.02, 1.0) * np.exp(-times / 0.35)
    shape[-length // 20 :] *= np.linspace(1.0, 0.0, len(shape[-length // 20 :]))
    notes = [np.sin(2 * np.pi * pitch * times) * shape for pitch in _NOTES]
    return (np.concatenate(notes) * _HOLD_LEVEL).astype(np.int16).tobytes()
