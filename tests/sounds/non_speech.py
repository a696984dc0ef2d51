"""Twenty clips without a word to transcribe: silence, noise, tones, music, breath, rooms.

Fifteen are computed; five are the recordings that livekit-agents plays as background sound, read
from its package. Every clip is the same every time.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from livekit.agents import resources
from numpy.typing import NDArray

from tests.sounds.channels import band_pass, coloured_noise
from tests.sounds.samples import RATE, Samples, read_sound, silence, to_samples

SECONDS = 4.0
_LENGTH = round(SECONDS * RATE)
_RECORDINGS = Path(resources.__file__).parent
_RECORDED_FROM = 5.0
"""Seconds into a recording at which a clip begins."""

Floats = NDArray[np.float64]


def _times() -> Floats:
    return np.arange(_LENGTH) / RATE


def _tones(*frequencies: float, amplitude: float = 3000.0) -> Floats:
    tones = sum(np.sin(2 * np.pi * frequency * _times()) for frequency in frequencies)
    return amplitude * np.asarray(tones, np.float64)


def _on_and_off(on: float, off: float) -> Floats:
    return (_times() % (on + off) < on).astype(np.float64)


def _breath() -> Samples:
    """Returns breath on a microphone: noise that swells and fades every 1.3 s."""
    swell = np.maximum(0.0, np.sin(2 * np.pi * _times() / 1.3)) ** 2
    return to_samples(band_pass(coloured_noise(SECONDS, 0.5), 300, 3000) * swell * 2)


def _wind() -> Samples:
    gusts = 1 + np.sin(2 * np.pi * 0.4 * _times()) * np.sin(2 * np.pi * 0.13 * _times())
    return to_samples(coloured_noise(SECONDS, 2.0, 2000) * gusts)


def _bursts(every: float, decay: float, low: float, high: float, rms: float) -> Samples:
    """Returns short sounds that fade out: coughs, knocks, clicks."""
    fading = np.exp(-(_times() % every) / decay)
    return to_samples(band_pass(coloured_noise(SECONDS, 0.0, rms), low, high) * fading)


def _melody() -> Samples:
    """Returns plucked notes of a scale over a chord: music on hold."""
    scale = (262, 294, 330, 392, 440, 523, 440, 392)
    note = 0.25
    pitches = np.array(scale)[(_times() / note).astype(int) % len(scale)]
    plucked = np.sin(2 * np.pi * np.cumsum(pitches) / RATE) * np.exp(-(_times() % note) / 0.15)
    return to_samples(4000 * plucked + _tones(131, 165, 196, amplitude=600))


def _siren() -> Samples:
    pitch = 900 + 400 * np.sin(2 * np.pi * 0.5 * _times())
    return to_samples(4000 * np.sin(2 * np.pi * np.cumsum(pitch) / RATE))


def _keys() -> Samples:
    """Returns the tones of the keys 1 to 9 of a telephone."""
    rows, columns = (697, 770, 852), (1209, 1336, 1477)
    key = (_times() / 0.4).astype(int) % 9
    low, high = np.array(rows)[key // 3], np.array(columns)[key % 3]
    tones = np.sin(2 * np.pi * low * _times()) + np.sin(2 * np.pi * high * _times())
    return to_samples(3000 * tones * _on_and_off(0.2, 0.2))


def _recorded(name: str) -> Samples:
    begin = round(_RECORDED_FROM * RATE)
    return np.resize(read_sound(_RECORDINGS / f"{name}.ogg")[begin:], _LENGTH)


NON_SPEECH: Mapping[str, Callable[[], Samples]] = MappingProxyType(
    {
        "silence": lambda: silence(SECONDS),
        "quiet noise": lambda: coloured_noise(SECONDS, 0.0, 30),
        "white noise": lambda: coloured_noise(SECONDS, 0.0, 2000),
        "pink noise": lambda: coloured_noise(SECONDS, 1.0, 2000),
        "traffic": lambda: coloured_noise(SECONDS, 2.0, 3000),
        "wind": _wind,
        "mains hum": lambda: to_samples(_tones(50, 150, 250, amplitude=800)),
        "breath": _breath,
        "coughs": lambda: _bursts(1.4, 0.12, 200, 2500, 9000),
        "knocks": lambda: _bursts(0.5, 0.03, 80, 600, 30000),
        "dial tone": lambda: to_samples(_tones(350, 440)),
        "ringing": lambda: to_samples(_tones(440, 480) * _on_and_off(1.0, 1.0)),
        "telephone keys": _keys,
        "siren": _siren,
        "music, computed": _melody,
        "music on hold": lambda: _recorded("hold_music"),
        "typing": lambda: _recorded("keyboard-typing"),
        "an office": lambda: _recorded("office-ambience"),
        "a city": lambda: _recorded("city-ambience"),
        "a crowd": lambda: _recorded("crowded-room"),
    }
)
"""Makers of clips, by name; each clip is SECONDS long."""
