"""Loads the telephone's file, which PHONE_FILE names."""

import logging
from collections.abc import Mapping
from pathlib import Path

from llm_router.errors import ConfigurationError
from llm_router.voice.phone.setup import PhoneSetup
from llm_router.voice.phone.setup_file import MAX_SIZE, read_phone

_logger = logging.getLogger("agent")


class UnreadableError(ConfigurationError):
    """Raised for a file that the system does not let us read: it may, without any change of it."""


def load_phone(file: Path, environ: Mapping[str, str]) -> PhoneSetup:
    """Reads the file; without one, no number is answered. Raises ConfigurationError."""
    try:
        with file.open(encoding="utf-8-sig") as opened:
            text = opened.read(MAX_SIZE + 1)  # an endless one is refused as too long
    except FileNotFoundError:
        return PhoneSetup()
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file}: is not UTF-8; save it as UTF-8") from None
    except OSError as error:
        raise UnreadableError(
            f"{file}: cannot be read ({error.strerror}); correct PHONE_FILE or the file's rights"
        ) from None
    return read_phone(text, str(file), environ)


class PhoneFile:
    """The telephone's file, which is read again once it has changed."""

    def __init__(self, file: Path, environ: Mapping[str, str]) -> None:
        self._file = file
        self._environ = environ
        self._setup = PhoneSetup()
        self._fault = ""
        self._stamp: tuple[int, ...] | None = None

    @property
    def name(self) -> str:
        return str(self._file)

    def read(self) -> PhoneSetup:
        """Returns the set-up as it is now; one that was spoilt ends no call, and is logged."""
        before = self._fault
        self._refresh()
        if self._fault and self._fault != before:
            _logger.error("calls by telephone are answered as before: %s", self._fault)
        return self._setup

    def read_now(self) -> PhoneSetup:
        """Returns the set-up as it is now. Raises ConfigurationError for one that is spoilt."""
        self._refresh()
        if self._fault:
            raise ConfigurationError(self._fault)
        return self._setup

    def _refresh(self) -> None:
        """Reads the file if it has changed, or could not be read before."""
        try:
            facts = self._file.stat()
            stamp = facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size
        except OSError:
            stamp = 0, 0, 0
        if stamp == self._stamp:
            return
        self._stamp, self._fault = stamp, ""
        try:
            self._setup = load_phone(self._file, self._environ)
        except ConfigurationError as error:
            self._fault = str(error)
            if isinstance(error, UnreadableError):
                self._stamp = None
