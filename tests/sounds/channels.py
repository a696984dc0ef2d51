"""Passes clean speech through what lies between a caller and the recogniser: a telephone, a codec
of a browser, other people's voices, noise. Every function gives the same samples every time.
"""

import io
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tests.sounds.samples import RATE, Samples, level, read_sound, to_samples, write_opus

Floats = NDArray[np.float64]

_TAPS = 401
_TELEPHONE_BAND = (300.0, 3400.0)
_SEED = 2026


def telephone(samples: Samples, law: Literal["mu", "a"] = "mu") -> Samples:
    """Passes speech through a telephone line: 300 to 3,400 Hz, 8 kHz, 8 bits a sample (G.711)."""
    low, high = _TELEPHONE_BAND
    band = _filter(samples.astype(np.float64), _low_pass(high) - _low_pass(low))
    coded = code_g711(to_samples(band[::2]), law)
    stuffed = np.zeros(len(samples))
    stuffed[::2] = 2.0 * coded
    return to_samples(_filter(stuffed, _low_pass(RATE / 4)))


def code_g711(samples: Samples, law: Literal["mu", "a"]) -> Samples:
    """Returns the samples as they are after coding and decoding with 8 bits each."""
    levels = _MU_LEVELS if law == "mu" else _A_LEVELS
    middles = (levels[1:].astype(np.float64) + levels[:-1]) / 2
    return levels[np.searchsorted(middles, samples)]


def opus(samples: Samples, bits: int = 20_000) -> Samples:
    """Passes speech through Opus, as browsers send it, with so many bits per second."""
    coded = io.BytesIO()
    write_opus(coded, samples, bits)
    coded.seek(0)
    decoded = read_sound(coded)[: len(samples)]
    return np.pad(decoded, (0, len(samples) - len(decoded)))


def add_noise(samples: Samples, noise: Samples, decibels: float) -> Samples:
    """Adds noise, over and over, that is so many decibels below the speech."""
    loudness = level(samples) / level(noise) / 10 ** (decibels / 20)
    return to_samples(samples + loudness * np.resize(noise, len(samples)).astype(np.float64))


def babble(voices: Sequence[Samples]) -> Samples:
    """Returns several voices at once, equally loud and as long as the longest: a full room."""
    length = max(map(len, voices))
    mixed = sum(np.resize(voice, length) * (1000.0 / level(voice)) for voice in voices)
    return to_samples(np.asarray(mixed, np.float64))


def coloured_noise(seconds: float, slope: float, rms: float = 1000.0, seed: int = _SEED) -> Samples:
    """Returns noise whose power falls with the frequency to the power of `slope`: 0 is white, 1
    pink, 2 brown.
    """
    length = round(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(length))
    frequency = np.maximum(np.fft.rfftfreq(length, 1 / RATE), 20.0)
    noise = np.fft.irfft(spectrum / frequency ** (slope / 2), length)
    return to_samples(noise * (rms / np.sqrt((noise**2).mean())))


def band_pass(samples: Samples, low: float, high: float) -> Samples:
    """Keeps the frequencies from `low` to `high` (Hz)."""
    return to_samples(_filter(samples.astype(np.float64), _low_pass(high) - _low_pass(low)))


def _low_pass(frequency: float) -> Floats:
    """Returns the taps of a low-pass filter: a sinc in a Blackman window."""
    places = np.arange(_TAPS) - _TAPS // 2
    taps = 2 * frequency / RATE * np.sinc(2 * frequency / RATE * places)
    return np.asarray(taps * np.blackman(_TAPS), np.float64)


def _filter(values: Floats, taps: Floats) -> Floats:
    return np.convolve(values, taps)[_TAPS // 2 :][: len(values)]


def _decoded_mu() -> Samples:
    """Returns all values of μ-law, in order (ITU-T G.711, table 2)."""
    code = np.arange(128)
    positive = (((code & 0xF) << 3) + 0x84 << (code >> 4)) - 0x84
    return np.unique([*-positive, *positive]).astype(np.int16)


def _decoded_a() -> Samples:
    """Returns all values of A-law, in order (ITU-T G.711, table 1)."""
    code = np.arange(128)
    segment = code >> 4
    step = ((code & 0xF) << 4) + np.where(segment == 0, 8, 0x108)
    positive = step << np.maximum(segment - 1, 0)
    return np.unique([*-positive, *positive]).astype(np.int16)


_MU_LEVELS = _decoded_mu()
_A_LEVELS = _decoded_a()
