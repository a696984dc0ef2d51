"""Speaks every sentence of sentences.toml into a WAV file beside it; needs flite."""

import subprocess
import tomllib
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    sentences = tomllib.loads((HERE / "sentences.toml").read_text())
    for name, sentence in sentences.items():
        wav = HERE / f"{name}.wav"
        subprocess.run(["flite", "-voice", "rms", "-t", sentence["text"], "-o", wav], check=True)
        print(f"{wav.name}: {sentence['text']}")


if __name__ == "__main__":
    main()
