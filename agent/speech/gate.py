"""Finds the stretches of audio that may hold words, from probabilities alone."""

from collections.abc import Iterator
from typing import Literal

from livekit.local_inference import VAD_WINDOW_SAMPLES

from agent.speech.samples import RATE

WINDOW_SECONDS = VAD_WINDOW_SAMPLES / RATE
_WINDOW_BYTES = VAD_WINDOW_SAMPLES * 2

Step = Literal["closed", "opens", "speech", "pause", "rests", "silence", "resumes", "over"]


class Windows:
    """Cuts mono 16-bit samples at RATE into windows, as they come in."""

    def __init__(self) -> None:
        self._partial = b""

    def cut(self, pcm: bytes) -> Iterator[bytes]:
        """Yields the windows that are whole now; what is left begins the next one."""
        self._partial += pcm
        while len(self._partial) >= _WINDOW_BYTES:
            window = self._partial[:_WINDOW_BYTES]
            self._partial = self._partial[_WINDOW_BYTES:]
            yield window


class SpeechGate:
    """Finds where speech begins, pauses and ends, from one probability per window of 32 ms.

    Silence takes as long to decode as speech and adds no words, so the gate lets through only what
    may hold words.
    """

    OPENS = 0.5
    """Probability of speech from which a closed or resting gate opens."""
    CLOSES = 0.35
    """Probability of speech below which a window counts as silence while the gate is open.

    It is lower than `OPENS` so that a soft syllable does not end a word.
    """
    TAIL = 0.2
    """Seconds of silence that still pass, for the last consonant; then the words are settled."""
    TIMEOUT = 1.5
    """Seconds of silence that end an utterance, unless a flush has ended it before."""

    def __init__(self, pause: float = 0.12) -> None:
        """`pause`: seconds of silence after which the words so far are worth an early answer."""
        self._pause = pause
        self.is_open = False
        self.is_resting = False
        self._paused = False
        self.silence = 0.0
        """Seconds since the last speech, while the gate is open."""

    def step(self, probability: float) -> Step:
        """Classifies the next window by its probability of speech.

        Call `close` after `over`, and when an utterance ends for another reason.
        """
        if not self.is_open:
            self.is_open = probability >= self.OPENS
            return "opens" if self.is_open else "closed"
        if probability >= (self.OPENS if self.is_resting else self.CLOSES):
            resumes = self.is_resting
            self.is_resting = False
            self._paused = False
            self.silence = 0.0
            return "resumes" if resumes else "speech"
        self.silence += WINDOW_SECONDS
        return self._silent_step()

    def _silent_step(self) -> Step:
        if self.silence >= self.TIMEOUT:
            return "over"
        if self.silence > self.TAIL:
            rests = not self.is_resting
            self.is_resting = True
            return "rests" if rests else "silence"
        if self.silence < self._pause or self._paused:
            return "speech"
        self._paused = True
        return "pause"

    def close(self) -> None:
        """Ends the utterance: the next window of speech opens the gate again."""
        self.is_open = False
        self.is_resting = False
        self._paused = False
        self.silence = 0.0
