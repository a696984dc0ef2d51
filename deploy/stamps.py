"""Records which steps were finished with which inputs, so that they are not repeated.

A stamp is written last, so an interrupted step has none and does not count as finished.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


def digest(*parts: str | bytes) -> str:
    """Returns one hash of all parts; moving a byte from one part to the next changes it."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big"))
        total.update(data)
    return total.hexdigest()


def digest_files(folder: Path, files: Iterable[Path]) -> str:
    """Returns one hash of the files' names below `folder` and their contents, in any order."""
    parts: list[str | bytes] = []
    for file in sorted(files):
        parts += [file.relative_to(folder).as_posix(), file.read_bytes()]
    return digest(*parts)


def is_fresh(stamp: Path, inputs: str) -> bool:
    """Returns whether the step was finished with exactly these inputs."""
    try:
        return stamp.read_text(encoding="utf-8") == inputs
    except OSError:
        return False


def write(stamp: Path, inputs: str) -> None:
    """Marks the step as finished."""
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(inputs, encoding="utf-8")


@contextmanager
def staged(destination: Path) -> Iterator[Path]:
    """Yields an empty folder that becomes `destination` in one move after the body.

    It is removed instead if the body raises. An older `destination` is replaced; one that another
    process finished meanwhile stays.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    staging = destination.with_name(f".{destination.name}.{secrets.token_hex(4)}")
    staging.mkdir()
    older = _number(destination)
    try:
        yield staging
        if _number(destination) == older:
            remove(destination)
        try:
            staging.rename(destination)
        except OSError:
            if not destination.is_dir():
                raise
    finally:
        remove(staging)


def _number(folder: Path) -> int:
    """Returns what tells a folder from a later one at its place; 0: there is none."""
    try:
        return folder.stat().st_ino
    except OSError:
        return 0


def remove(folder: Path) -> None:
    """Deletes a folder that may contain read-only files, as Go's module cache does."""
    for parent, _, _ in os.walk(folder):
        Path(parent).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
