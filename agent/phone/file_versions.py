"""Changes the telephone's file, and keeps what it was before beside it.

A reader meanwhile finds the old text or the new one, never a part of either.
"""

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from llm_router.connections.rules import check_version
from llm_router.errors import ConfigurationError, NotFoundError
from llm_router.voice.phone.setup_file import MAX_SIZE

MOST_VERSIONS = 50
"""Earlier texts that stay; older ones are removed."""
_NAME = re.compile(r"[0-9]{8}T[0-9]{12}Z")
_FORMAT = "%Y%m%dT%H%M%S%fZ"


@dataclass(frozen=True, slots=True)
class Text:
    """The file as it is now. `version` changes with the text; that of no file is 0."""

    text: str
    version: int
    is_writable: bool


class FileVersions:
    """A file of text with its earlier versions, which are in a folder beside it.

    They have the file's rights: it may be closed to others. A link is followed once, and stays.
    Raises ConfigurationError for a file that cannot be read or written, with a cure.
    """

    def __init__(self, file: Path) -> None:
        self._file = file.resolve()
        self._folder = self._file.with_name(f"{self._file.name}.versions")

    def read(self) -> Text:
        folder = self._file.parent
        return Text(*self._now(), is_writable=os.access(folder, os.W_OK) and not self._is_mounted())

    def write(self, text: str, version: int, at: datetime) -> Text:
        """Replaces the text. Raises StaleError if it is no longer that of `version`."""
        try:
            self._folder.mkdir(exist_ok=True)
            with self._locked():
                before, current = self._now()
                check_version("file", self._file.name, current, version)
                if before:
                    name = at.astimezone(UTC).strftime(_FORMAT)
                    _write_new(self._folder / name, before, self._mode())
                self._replace(text)
                for old in self.names()[MOST_VERSIONS:]:
                    (self._folder / old).unlink(missing_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"{self._file}: cannot be written ({error.strerror}); change it where it comes"
                " from, or give the HTTP process a folder that it may write to (PHONE_FILE)"
            ) from None
        return self.read()

    def names(self) -> list[str]:
        """Returns the names of the earlier versions, the latest first."""
        try:
            found = [each.name for each in self._folder.iterdir()]
        except OSError:
            return []
        return sorted(filter(_NAME.fullmatch, found), reverse=True)

    def earlier(self, name: str) -> str:
        """Returns the text of an earlier version. Raises NotFoundError."""
        if _NAME.fullmatch(name):
            with (
                suppress(OSError),
                (self._folder / name).open(encoding="utf-8", newline="") as file,
            ):
                return file.read()
        raise NotFoundError(f"there is no version {name[:64]!r} of {self._file.name}")

    def _now(self) -> tuple[str, int]:
        try:
            with self._file.open(encoding="utf-8-sig", newline="") as opened:
                text = opened.read(MAX_SIZE)
        except FileNotFoundError:
            return "", 0
        except UnicodeDecodeError:
            raise ConfigurationError(f"{self._file}: is not UTF-8; save it as UTF-8") from None
        except OSError as error:
            raise ConfigurationError(
                f"{self._file}: cannot be read ({error.strerror}); correct the file's rights"
            ) from None
        return text, version_of(text)

    def _is_mounted(self) -> bool:
        """Returns whether the file itself is mounted, as in a container: none takes its place."""
        with suppress(OSError):
            return self._file.is_mount()
        return False

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Waits until no other process writes."""
        with (self._folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _mode(self) -> int:
        with suppress(OSError):
            return self._file.stat().st_mode & 0o777
        return 0o644

    def _replace(self, text: str) -> None:
        new = self._file.with_name(f".{self._file.name}.{uuid4().hex}")
        try:
            _write_new(new, text, self._mode())
            new.replace(self._file)
        except BaseException:
            new.unlink(missing_ok=True)
            raise


def _write_new(path: Path, text: str, mode: int) -> None:
    """Writes a file that is not there yet, and is never open to more than `mode` says."""
    made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(made, "w", encoding="utf-8", newline="") as new:
        os.fchmod(made, mode)  # what the process takes from all new files is not taken here
        new.write(text)
        new.flush()
        os.fsync(made)


def version_of(text: str) -> int:
    """Returns the version of a file with this text."""
    # JavaScript's numbers are exact to 53 bits.
    return int(hashlib.sha256(text.encode()).hexdigest()[:12], 16) or 1


def time_of(name: str) -> datetime:
    """Returns the time until which a version was the present one."""
    return datetime.strptime(name, _FORMAT).replace(tzinfo=UTC)
