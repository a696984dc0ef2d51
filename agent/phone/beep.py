"""Finds steady tones in sound: the beep of an answering machine, and those of a fax. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RATE = 8_000
"""Samples a second of the sound that is given."""
_WINDOW = RATE // 25
"""Samples that are examined at a time: 40 ms."""
_BINS = 1_024
_LOWEST, _HIGHEST = 350.0, 2_600.0  # Hz
_QUIETEST = 150.0
"""Root mean square of the samples below which there is no tone, of 32,768: 47 dB below full."""
_PURITY = 0.85
"""Part of the energy that a tone has within `_WIDTH` of its peak; a vowel has harmonics."""
_WIDTH = 60.0  # Hz
_DRIFT = 25.0
"""Hz by which a tone may move from one window to the next; a voice, even singing, moves more."""
_SHORTEST = 4
"""Windows in a row that have the tone: 160 ms."""
_LONGEST = 100
"""More of them (4 s) are the tone of a dead line."""


_FAX_CALLS, _FAX_ANSWERS = 1_100.0, 2_100.0
"""Hz of the tones of a fax (T.30): that of one which calls is on for 0.5 s, and off for 3."""
_FAX_WIDTH = 40.0  # Hz
_FAX_CALL_SECONDS = (0.4, 0.65)
_FAX_ANSWERS_AFTER = 50
"""Windows (2 s) after which a fax's answer is known, which lasts for 2.6 to 4 s."""


@dataclass(frozen=True, slots=True)
class Tone:
    """A steady tone that has ended, or the answer of a fax that still sounds."""

    pitch: float
    """Hz."""
    seconds: float
    has_ended: bool = True

    @property
    def is_beep(self) -> bool:
        longest = (_LONGEST + 0.5) * _WINDOW / RATE
        return self.has_ended and self.seconds <= longest and not self.is_fax_that_answers

    @property
    def is_fax_that_calls(self) -> bool:
        shortest, longest = _FAX_CALL_SECONDS
        is_pitch = abs(self.pitch - _FAX_CALLS) <= _FAX_WIDTH
        return self.has_ended and is_pitch and shortest <= self.seconds <= longest

    @property
    def is_fax_that_answers(self) -> bool:
        is_long = self.seconds >= _FAX_ANSWERS_AFTER * _WINDOW / RATE
        return is_long and abs(self.pitch - _FAX_ANSWERS) <= _FAX_WIDTH


class ToneDetector:
    """Is given sound as it comes, and says which tones it has."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, dtype=np.int16)
        self._window = np.hanning(_WINDOW)
        self._frequencies = np.fft.rfftfreq(_BINS, 1 / RATE)
        self._pitch = 0.0
        self._windows = 0

    def push(self, samples: NDArray[np.int16]) -> Sequence[Tone]:
        """Takes sound at `RATE`; returns the tones that have ended in it, and the answer of a fax
        as soon as it is known.
        """
        sound = np.concatenate([self._rest, samples])
        whole = len(sound) // _WINDOW * _WINDOW
        self._rest = sound[whole:]
        found = [self._examine(part) for part in sound[:whole].reshape(-1, _WINDOW)]
        return [tone for tone in found if tone]

    def _examine(self, part: NDArray[np.int16]) -> Tone | None:
        pitch = self._tone(part.astype(np.float64))
        if pitch and (not self._windows or abs(pitch - self._pitch) <= _DRIFT):
            self._windows += 1
            self._pitch = pitch
            is_long = self._windows == _FAX_ANSWERS_AFTER
            running = Tone(pitch, self._windows * _WINDOW / RATE, has_ended=False)
            return running if is_long and running.is_fax_that_answers else None
        ended = Tone(self._pitch, self._windows * _WINDOW / RATE)
        is_tone = not pitch and self._windows >= _SHORTEST
        self._windows = 1 if pitch else 0
        self._pitch = pitch
        return ended if is_tone else None

    def _tone(self, part: NDArray[np.float64]) -> float:
        """Returns the frequency of the one tone in the sound, in Hz; 0: there is none."""
        if np.sqrt(np.mean(part**2)) < _QUIETEST:
            return 0.0
        power = np.abs(np.fft.rfft(part * self._window, _BINS)) ** 2
        peak = float(self._frequencies[int(np.argmax(power))])
        if not _LOWEST <= peak <= _HIGHEST:
            return 0.0
        near = np.abs(self._frequencies - peak) <= _WIDTH
        return peak if power[near].sum() >= _PURITY * power.sum() else 0.0
