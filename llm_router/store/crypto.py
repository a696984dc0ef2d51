"""Secrets at rest: sealed, bound to their place, and opened by whoever holds the master key."""

import json
import logging
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from llm_router.errors import ConfigurationError, SealError

_logger = logging.getLogger("llm_router")

_HEADER = (
    "# The master key: it opens the API keys in the database, and nothing else does.\n"
    "# Keep a copy somewhere else. To change it, put a new line above the old one, restart what\n"
    "# runs, and then: llm-router keys rotate\n"
)
_NO_KEY = (
    "is no master key (32 bytes in URL-safe base64); make one with "
    "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"
)


class Vault:
    """Seals texts with the first of `keys` and opens what any of them has sealed (MultiFernet).

    A value is bound to its place, such as "llm_connections:7:api_key", so that one copied into
    another row is refused. Fernet itself has no associated data; the place is therefore sealed
    beside the text, and compared on opening. `source` says where the keys are, for errors.
    Raises ConfigurationError for keys that are none.
    """

    def __init__(self, keys: Sequence[str], *, source: str = "the master keys") -> None:
        if not keys:
            raise ConfigurationError(f"{source}: there is none; give at least one")
        self._source = source
        self._ciphers = [_cipher(key, place, source) for place, key in enumerate(keys, start=1)]
        self._all = MultiFernet(self._ciphers)

    def seal(self, text: str, *, bound_to: str) -> str:
        return self._all.encrypt(json.dumps({"for": bound_to, "text": text}).encode()).decode()

    def open(self, sealed: str, *, bound_to: str) -> str:
        """Raises SealError for what was changed, moved, or sealed under a key that is not here."""
        try:
            inside = json.loads(self._all.decrypt(sealed.encode()))
            place, text = inside["for"], str(inside["text"])
        except (InvalidToken, ValueError, KeyError, TypeError) as error:
            raise SealError(
                f"{bound_to} cannot be opened: it was changed, or sealed under a key that is not"
                f" among {self._source}; put that key back, or enter the value again"
            ) from error
        if place != bound_to:
            raise SealError(
                f"{bound_to} holds what was sealed for {place}: rows or columns were swapped;"
                " enter the value again"
            )
        return text

    def needs_resealing(self, sealed: str) -> bool:
        """Whether another key than the first has sealed it. Says nothing of who can open it."""
        try:
            self._ciphers[0].decrypt(sealed.encode())
        except (InvalidToken, ValueError):
            return True
        return False

    def reseal(self, sealed: str, *, bound_to: str) -> str:
        """The same value under the first key. Raises SealError as `open` does.

        Rotation may stop anywhere and be run again: while both keys are held, either form opens.
        """
        return self.seal(self.open(sealed, bound_to=bound_to), bound_to=bound_to)

    def __repr__(self) -> str:
        return f"<Vault of {len(self._ciphers)} keys>"


def load_vault(keys: Sequence[str], key_file: Path, *, may_make: bool = True) -> Vault:
    """The vault of `keys`, or, where none is given, of those in `key_file`, one a line.

    Where there is neither, a key is made and written to the file, which its owner alone can read;
    the log says so. Processes that start at once end up with the same key. With `may_make` False,
    right where a database already holds sealed values, a missing file is a ConfigurationError.

    Reads and writes files: call it before the loop runs, or in a thread.
    """
    if keys:
        return Vault(keys)
    try:
        if not key_file.exists():
            if not may_make:
                raise ConfigurationError(
                    f"the master key {key_file} is not there, and the database holds keys sealed"
                    " under it; put the file back from a copy, or name where it is"
                )
            _make_key_file(key_file)
        lines = key_file.read_text(encoding="ascii").splitlines()
        open_to_all = key_file.stat().st_mode & 0o077
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the master key {key_file} cannot be read or made ({error}); let this user write"
            " there, name another file, or give the key itself"
        ) from error
    if open_to_all and os.name == "posix":
        _logger.warning(
            "the master key %s can be read by other users; chmod 600 closes it", key_file
        )
    found = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return Vault(found, source=str(key_file))


def _cipher(key: str, place: int, source: str) -> Fernet:
    try:
        return Fernet(key)
    except ValueError:
        # Not chained, and not quoted: it may be a key with one letter wrong.
        raise ConfigurationError(f"{source}: number {place} {_NO_KEY}") from None


def _make_key_file(path: Path) -> None:
    """Written whole under another name, then linked: whoever comes second finds it complete."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # O_EXCL, 0600
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"{_HEADER}{Fernet.generate_key().decode()}\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process was first: its key is the one
            path.hardlink_to(draft)
            _logger.warning(
                "made a master key for the API keys in the database: %s; keep a copy of this file,"
                " for without it they must be entered again",
                path,
            )
    finally:
        Path(draft).unlink()
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the name, too, is there after a power cut
        finally:
            os.close(folder)
