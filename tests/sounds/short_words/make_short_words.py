"""Speaks short words, each alone, in four voices, into the folder of this file; needs flite.

Whisper makes such words up of noise, so that a filter may take true ones for made up.
"""

import subprocess
import tempfile
from pathlib import Path

from tests.sounds.samples import read_sound, write_opus

HERE = Path(__file__).parent
VOICES = ("rms", "slt", "awb", "kal")
TEXTS = ("yes", "no", "you", "thank you", "goodbye", "no no no", "one one four")
_BITS = 32_000


def path(voice: str, text: str) -> Path:
    """Returns the path of a recording."""
    return HERE / f"{voice}_{text.replace(' ', '_')}.opus"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "sound.wav"
        for voice in VOICES:
            for text in TEXTS:
                subprocess.run(["flite", "-voice", voice, "-t", text, "-o", wav], check=True)
                write_opus(path(voice, text), read_sound(wav), _BITS)


if __name__ == "__main__":
    main()
