"""Speaks every sentence of sentences.toml with every voice, into a file each.

Needs flite, espeak-ng and the Piper voice of set-up:

    python -m tests.voice.sentences.make_sentences
"""

import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from agent.speech.models import default_folder, find_voice
from tests.sounds.samples import level, read_sound, to_samples, write_opus

HERE = Path(__file__).parent
_BITS = 24_000
"""Bits per second."""
_LEVEL = 3000.0
"""Root mean square of the speech, as of the voice rms."""


def _flite(voice: str) -> Callable[[str, Path], None]:
    def speak(text: str, wav: Path) -> None:
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", wav], check=True)

    return speak


def _espeak(text: str, wav: Path) -> None:
    subprocess.run(["espeak-ng", "-v", "en-us", "-w", wav, text], check=True)


def _piper(text: str, wav: Path) -> None:
    model = find_voice("", "en", default_folder())
    command = [sys.executable, "-m", "piper", "-m", str(model), "-f", str(wav), "--", text]
    subprocess.run(command, check=True)


VOICES: dict[str, Callable[[str, Path], None]] = {
    "awb": _flite("awb"),
    "kal": _flite("kal"),
    "slt": _flite("slt"),
    "espeak": _espeak,
    "joe": _piper,
}


def main() -> None:
    sentences = tomllib.loads((HERE / "sentences.toml").read_text())
    for name, sentence in sentences.items():
        _flite("rms")(sentence["text"], HERE / f"{name}.wav")
        for voice, speak in VOICES.items():
            _make(voice, speak, name, sentence["text"])
        print(f"{name}: {sentence['text']}")


def _make(voice: str, speak: Callable[[str, Path], None], name: str, text: str) -> None:
    """Writes the sentence as Opus, as loud as the others."""
    (HERE / voice).mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile(suffix=".wav") as wav:
        speak(text, Path(wav.name))
        samples = read_sound(Path(wav.name)).astype(np.float64)
    samples *= _LEVEL / level(to_samples(samples))
    write_opus(HERE / voice / f"{name}.opus", to_samples(samples), _BITS)


if __name__ == "__main__":
    main()
