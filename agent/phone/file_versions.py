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
from tempfile import NamedTemporaryFile

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

    Raises ConfigurationError for a file that cannot be read or written, with a cure.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._folder = file.with_name(f"{file.name}.versions")

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
                    (self._folder / name).write_text(before, encoding="utf-8")
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
            with suppress(OSError):
                return (self._folder / name).read_text(encoding="utf-8")
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
        # JavaScript's numbers are exact to 53 bits.
        return text, int(hashlib.sha256(text.encode()).hexdigest()[:12], 16) or 1

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

    def _replace(self, text: str) -> None:
        folder, mode = self._file.parent, 0o644
        with suppress(OSError):
            mode = self._file.stat().st_mode & 0o777
        with NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8", newline="") as new:
            try:
                new.write(text)
                new.flush()
                os.fsync(new.fileno())
                Path(new.name).chmod(mode)
                Path(new.name).replace(self._file)
            except BaseException:
                Path(new.name).unlink(missing_ok=True)
                raise


def time_of(name: str) -> datetime:
    """Returns the time until which a version was the present one."""
    return datetime.strptime(name, _FORMAT).replace(tzinfo=UTC)
