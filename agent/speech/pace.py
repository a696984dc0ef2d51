"""Measures when a voice is audible, by which LiveKit lets the words of a text keep pace with it.

LiveKit's own measure, of spectra, takes 33 ms of a processor for each second of sound, as the sound
is made: where a voice is faster than its listener, a call's event loop stands still meanwhile.
"""

import numpy as np
from livekit import rtc
from livekit.agents.tokenize.basic import hyphenate_word
from livekit.agents.utils.aio import Chan
from livekit.agents.voice.transcription import synchronizer
from livekit.agents.voice.transcription._speaking_rate import SpeakingRateEvent

_EVERY = 0.1
"""Seconds of sound for each measurement."""
_AUDIBLE = 160.0
"""RMS of 16-bit samples from which a voice counts as audible; LiveKit takes the same."""


def measure_pace_by_loudness() -> None:
    """Makes LiveKit measure each voice of this process by `Loudness`. Call it before any call."""
    hyphenate_word("syllables")  # builds its table: no caller waits for that
    synchronizer.SpeakingRateDetector = Loudness  # type: ignore[attr-defined, assignment]  # it takes no other


class Loudness:
    """Stands for LiveKit's detector: a voice speaks evenly while it is audible."""

    def stream(self) -> "LoudnessStream":
        return LoudnessStream()


class LoudnessStream:
    """Takes the sound of one voice, and yields for each piece of it the share that was audible."""

    def __init__(self) -> None:
        self._events = Chan[SpeakingRateEvent]()
        self._pushed = self._measured = self._audible = 0.0

    def push_frame(self, frame: rtc.AudioFrame) -> None:
        """Takes a frame of 16-bit samples; after the end it is left out."""
        samples = np.frombuffer(frame.data, np.int16).astype(np.float32)
        self._pushed += frame.duration
        if samples.size and np.sqrt(samples @ samples / samples.size) >= _AUDIBLE:
            self._audible += frame.duration
        if self._pushed - self._measured >= _EVERY:
            self._measure()

    def end_input(self) -> None:
        if self._pushed > self._measured:
            self._measure()
        self._events.close()

    async def aclose(self) -> None:
        self._events.close()

    def __aiter__(self) -> "LoudnessStream":
        return self

    async def __anext__(self) -> SpeakingRateEvent:
        return await self._events.__anext__()

    def _measure(self) -> None:
        share = self._audible / (self._pushed - self._measured)
        self._measured, self._audible = self._pushed, 0.0
        if not self._events.closed:
            event = SpeakingRateEvent(
                timestamp=self._pushed, speaking=share > 0, speaking_rate=share
            )
            self._events.send_nowait(event)
