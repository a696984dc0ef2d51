"""Remember that a step was done, and with which inputs, so that it is not done again.

A stamp is written last. A step that was interrupted has none, so it never looks finished.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


def digest(*parts: str | bytes) -> str:
    """Return one hash of all parts; moving a byte from one part to the next changes it."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big"))
        total.update(data)
    return total.hexdigest()


def digest_files(folder: Path, files: Iterable[Path]) -> str:
    """Return one hash of the files' names below `folder` and their contents, in any order."""
    parts: list[str | bytes] = []
    for file in sorted(files):
        parts += [file.relative_to(folder).as_posix(), file.read_bytes()]
    return digest(*parts)


def is_fresh(stamp: Path, inputs: str) -> bool:
    """Tell whether the step was finished with exactly these inputs."""
    try:
        return stamp.read_text(encoding="utf-8") == inputs
    except OSError:
        return False


def write(stamp: Path, inputs: str) -> None:
    """Mark the step finished."""
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(inputs, encoding="utf-8")


@contextmanager
def staged(destination: Path) -> Iterator[Path]:
    """Give an empty folder that becomes `destination` in one move, or vanishes if the body raises.

    An older `destination` is replaced; one that another process finished meanwhile is kept.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    staging = destination.with_name(f".{destination.name}.{secrets.token_hex(4)}")
    staging.mkdir()
    try:
        yield staging
        remove(destination)
        try:
            staging.rename(destination)
        except OSError:
            if not destination.is_dir():
                raise
    finally:
        remove(staging)


def remove(folder: Path) -> None:
    """Delete a folder that may hold read-only files, as Go's module cache does."""
    for parent, _, _ in os.walk(folder):
        Path(parent).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
