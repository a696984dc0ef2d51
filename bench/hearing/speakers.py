"""The speakers of this bench: recordings of people, and voices that say what callers say."""

import subprocess
import tempfile
import tomllib
import wave
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from agent.speech.models import default_folder, find_voice
from agent.speech.tts import TTSOptions
from agent.tts.embedded import create
from bench.report.command import Progress
from llm_router.errors import ConfigurationError
from tests.sounds.samples import Samples, read_sound

if TYPE_CHECKING:
    from piper import PiperVoice

PEOPLE = "people"
SENTENCES = (
    "Hello, I would like to book an appointment for next Tuesday morning.",
    "What time do you open on Saturday?",
    "My name is Daniel Fisher, and my number is five five five, zero one four two.",
    "Yes.",
    "No, not today.",
    "Thank you, goodbye.",
    "Could I speak to a real person, please?",
    "How much does it cost to repair a bicycle?",
    "I need to cancel my appointment at half past three.",
    "Do you have this jacket in a larger size?",
    "Is there parking near the clinic?",
    "My order number is eight seven three one, it was meant to arrive on Friday.",
)
"""Said by every voice."""
_PEOPLE = Path(__file__).parents[2] / "tests" / "sounds" / "people"
_SEED = 2026


class MissingVoiceError(Exception):
    """A voice is not installed. The message says how to get it."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording of one speaker, and the words said in it."""

    speaker: str
    text: str
    samples: Samples


def people() -> list[Clip]:
    """Reads the recordings of people (tests/sounds/README.md)."""
    recordings = tomllib.loads((_PEOPLE / "people.toml").read_text())
    return [
        Clip(PEOPLE, one["text"], read_sound(_PEOPLE / f"{name}.opus"))
        for name, one in recordings.items()
    ]


def _flite(voice: str) -> Callable[[str], Samples]:
    def speak(text: str) -> Samples:
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            command = ["flite", "-voice", voice, "-t", text, "-o", file.name]
            try:
                subprocess.run(command, check=True, capture_output=True)
            except FileNotFoundError as missing:
                raise MissingVoiceError("flite is not installed: apt install flite") from missing
            return read_sound(Path(file.name))

    return speak


def _espeak(text: str) -> Samples:
    engine = create(TTSOptions())
    spoken = bytearray()

    def take(pcm: bytes) -> bool:
        spoken.extend(pcm)
        return True

    engine.espeak.thread.submit(engine.espeak.say, text, engine.voice, take).result()
    return _at_rate(np.frombuffer(spoken, np.int16), engine.espeak.sample_rate)


@cache
def _piper() -> "PiperVoice":
    """Loads the neural voice that set-up adds. Its chance is seeded: it always sounds the same."""
    try:
        import onnxruntime  # type: ignore[import-untyped]  # noqa: PLC0415  of an extra
        from piper import PiperVoice  # noqa: PLC0415  of an extra

        model = find_voice("", "en", default_folder())
    except (ModuleNotFoundError, ConfigurationError) as missing:
        raise MissingVoiceError(f"there is no neural voice: make setup ({missing})") from missing
    onnxruntime.set_seed(_SEED)
    return PiperVoice.load(model)


def _neural(text: str) -> Samples:
    pieces = [piece.audio_int16_array for piece in _piper().synthesize(text)]
    return _at_rate(np.concatenate(pieces), _piper().config.sample_rate)


def _at_rate(samples: Samples, rate: int) -> Samples:
    headed = BytesIO()
    with wave.open(headed, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(samples.tobytes())
    headed.seek(0)
    return read_sound(headed)


VOICES: Mapping[str, Callable[[str], Samples]] = MappingProxyType(
    {
        "flite rms": _flite("rms"),
        "flite slt": _flite("slt"),
        "flite awb": _flite("awb"),
        "flite kal": _flite("kal16"),
        "piper joe": _neural,
        "espeak-ng": _espeak,
    }
)
"""Voices that are computed, by name; each returns the sound of a text."""
SPEAKERS = (PEOPLE, *VOICES)


def record(speakers: Sequence[str], progress: Progress) -> list[Clip]:
    """Returns the clips of the speakers. Raises MissingVoiceError."""
    clips = people() if PEOPLE in speakers else []
    for name in speakers:
        if name != PEOPLE:
            progress(f"{name} speaks")
            clips += [Clip(name, text, VOICES[name](text)) for text in SENTENCES]
    return clips
