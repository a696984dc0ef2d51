"""Makes what a voice model gives fit for a call: one level, pauses like a person's, no clicks."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
"""Mono sound; full scale is 1."""

LEVEL = -20.0
"""Level at which every voice speaks: dBFS, RMS of the windows with speech."""
COUNTING = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10."
"""A text of every language, by which the level of a voice is measured."""
_KNEE = 0.7
_CEILING = 0.98
"""Peaks above the knee are rounded off, and none passes the ceiling."""
_SILENCE = 0.004
"""Amplitude, at `LEVEL`, below which a voice is silent at the ends of what it says."""
_BEFORE, _AFTER = 0.01, 0.04
"""Seconds left of that silence: a consonant begins and ends softly."""
_FADE = 0.005

_CLAUSE_PAUSE = 0.15
_SENTENCE_PAUSE = 0.35
_CLAUSE_ENDS = frozenset(",;:，、；：")


def pause_after(text: str) -> float:
    """Returns the pause (s) after a text, or after phonemes with their punctuation.

    A text without punctuation is the end of a reply or a line.
    """
    text = text.rstrip()
    return _CLAUSE_PAUSE if text and text[-1] in _CLAUSE_ENDS else _SENTENCE_PAUSE


def gain_for(samples: Samples, rate: int) -> float:
    """Returns the factor that brings speech to `LEVEL`; 1 for silence."""
    level = speech_level(samples, rate)
    return float(10 ** ((LEVEL - level) / 20)) if level > -np.inf else 1.0


def speech_level(samples: Samples, rate: int) -> float:
    """Measures speech in dBFS: the RMS of the windows of 20 ms that are not pauses.

    A pause is a window 20 dB below the mean, like the relative gate of ITU-R BS.1770.
    """
    window = rate // 50
    count = len(samples) // window
    powers = (samples[: count * window].reshape(count, window) ** 2).mean(axis=1)
    loud = powers[powers > powers.mean() / 100] if count else powers
    return float(10 * np.log10(loud.mean())) if len(loud) else -np.inf


def limit(samples: Samples) -> Samples:
    """Rounds off peaks. It has no memory, so that no word is made quieter by another."""
    size = np.abs(samples)
    room = _CEILING - _KNEE
    rounded = _KNEE + room * np.tanh((size - _KNEE) / room)
    return np.where(size <= _KNEE, samples, np.copysign(rounded, samples)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Shape:
    """Shapes the sound of one voice."""

    rate: int
    gain: float

    def shape(self, pieces: Iterable[Samples], pause: float) -> Iterator[bytes]:
        """Yields what the voice says as 16-bit samples, followed by a pause of so many seconds.

        The silence before and after it is dropped, so that the pause is the same for every voice.
        Silence inside is held back until the voice goes on, and so are the last 5 ms, which fade if
        nothing follows. A piece is taken only when the one before it was used up.
        """
        before, after, fade = (int(s * self.rate) for s in (_BEFORE, _AFTER, _FADE))
        held: Samples = np.zeros(0, np.float32)
        speaks = False
        for piece in pieces:
            held = np.concatenate((held, limit(piece * self.gain)))
            loud = np.flatnonzero(np.abs(held) > _SILENCE)
            if not len(loud):
                held = held if speaks else held[-before:]
                continue
            start = 0
            if not speaks:
                start = max(int(loud[0]) - before, 0)
                held[start : start + fade] *= np.linspace(0, 1, len(held[start : start + fade]))
                speaks = True
            end = max(int(loud[-1]) + 1 - fade, start)
            yield as_pcm(held[start:end])
            held = held[end:]
        rest = held[: fade + after] if speaks else held[:0]
        tail = rest * np.linspace(1, 0, len(rest), dtype=np.float32)
        yield as_pcm(np.concatenate((tail, np.zeros(int(pause * self.rate), np.float32))))


def as_pcm(samples: Samples) -> bytes:
    return (samples * 32767).astype("<i2").tobytes()
