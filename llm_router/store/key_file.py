"""The file of the master keys: one a line, the newest first. Only its owner may read it.

Every change is a whole new file under the same name, so that a power cut leaves the old or the new.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from cryptography.fernet import Fernet

_HEADER = (
    "# The master key: it opens the API keys in the database, and nothing else does.\n"
    "# Keep a copy somewhere else. To change it: llm-router keys new --help\n"
)


def read_keys(text: str) -> list[str]:
    """Returns the keys in a file's text, without comments and blanks."""
    return [line.strip() for line in text.splitlines() if line.strip() and line[0] != "#"]


def make_file(path: Path) -> bool:
    """Writes a file with a new key; returns False if another process was first.

    It is written under another name and then linked, so that others find it complete. Raises
    OSError.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    is_first = True
    with _drafted(path) as (file, draft):
        file.write(_text([Fernet.generate_key().decode()]))
        file.flush()
        os.fsync(file.fileno())
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            is_first = False  # its key counts
    _sync_folder(path.parent)
    return is_first


def add_key(path: Path) -> int:
    """Puts a new key above the others of an existing file; returns how many there are now.

    Raises OSError, and UnicodeDecodeError for a file that is none of ours.
    """
    keys = [Fernet.generate_key().decode(), *read_keys(path.read_text(encoding="ascii"))]
    _replace(path, keys)
    return len(keys)


def retire_keys(path: Path) -> int:
    """Removes all keys but the first; returns how many were removed. Raises as `add_key` does."""
    keys = read_keys(path.read_text(encoding="ascii"))
    _replace(path, keys[:1])
    return len(keys) - 1


def _replace(path: Path, keys: Sequence[str]) -> None:
    path = path.resolve()
    before = path.stat()
    with _drafted(path) as (file, draft):
        if os.name == "posix":
            os.fchown(file.fileno(), before.st_uid, before.st_gid)  # root may change another's file
        file.write(_text(keys))
        file.flush()
        os.fsync(file.fileno())
        draft.replace(path)
    _sync_folder(path.parent)


@contextmanager
def _drafted(path: Path) -> Iterator[tuple[IO[str], Path]]:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # O_EXCL, 0600
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            yield file, Path(name)
    finally:
        with suppress(FileNotFoundError):
            Path(name).unlink()


def _sync_folder(folder: Path) -> None:
    """Makes the name survive a power cut, too."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _text(keys: Sequence[str]) -> str:
    return _HEADER + "".join(f"{key}\n" for key in keys)
