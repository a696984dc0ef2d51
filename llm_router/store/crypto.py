"""Derives a key for each purpose from the master keys, and encrypts secrets at rest with them.

No key serves two purposes: what is sealed in one table opens in no other, and neither a sign-in nor
the state that a client carries is worth anything elsewhere. They are derived by HKDF (RFC 5869).
"""

import base64
import json
import logging
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from llm_router.errors import ConfigurationError, SealError
from llm_router.store.key_file import make_file, read_keys

_logger = logging.getLogger("llm_router")

_INVALID_KEY = (
    "is not a master key (32 bytes in URL-safe base64); make one with "
    "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"
)


Purpose = Literal["sign-ins", "MCP's questions", "MCP's codes", "secrets of sites"]
"""Purposes of derived keys besides sealing, which has a key for each table."""


class Vault:
    """Seals (encrypts) texts with the first of `keys` and opens them with any (MultiFernet).

    A value is bound to its place, such as "llm_connections:7:api_key", so that a value copied into
    another row is refused: each table has a derived key of its own, and as Fernet has no associated
    data, the place is sealed together with the text and compared on opening. Values that older
    versions sealed with a master key itself open as well. `source` names the origin of the keys in
    errors. Raises ConfigurationError for invalid keys.
    """

    def __init__(self, keys: Sequence[str], *, source: str = "the master keys") -> None:
        if not keys:
            raise ConfigurationError(f"{source}: there is none; give at least one")
        self._source = source
        self._of_older_versions = [
            _cipher(key, number, source) for number, key in enumerate(keys, start=1)
        ]
        self._masters = tuple(base64.urlsafe_b64decode(key) for key in keys)

    def derive(self, purpose: Purpose) -> tuple[bytes, ...]:
        """Returns a key of 32 bytes for the purpose from each master key, the newest first.

        Make new values with the first, and accept those of any: so they survive a rotation.
        """
        return tuple(_derive(master, purpose) for master in self._masters)

    def seal(self, text: str, *, bound_to: str) -> str:
        inside = json.dumps({"for": bound_to, "text": text}).encode()
        return self._ciphers(bound_to)[0].encrypt(inside).decode()

    def open(self, sealed: str, *, bound_to: str) -> str:
        """Decrypts a value; raises SealError if it was changed or moved, or its key is missing."""
        try:
            opener = MultiFernet([*self._ciphers(bound_to), *self._of_older_versions])
            inside = json.loads(opener.decrypt(sealed.encode()))
            place = inside["for"]
            text = str(inside["text"])
        except (InvalidToken, ValueError, KeyError, TypeError) as error:
            raise SealError(
                f"{bound_to} cannot be opened: it was changed, or sealed under a key that is not"
                f" among {self._source}; if these were changed, restart this process, which reads"
                " them only when it starts; else put that key back, or enter the value again"
            ) from error
        if place != bound_to:
            raise SealError(
                f"{bound_to} holds a value sealed for {place}: rows or columns were swapped;"
                " enter the value again"
            )
        return text

    def needs_resealing(self, sealed: str, *, bound_to: str) -> bool:
        """Returns whether the value was not sealed with the first key, whether or not it opens."""
        try:
            self._ciphers(bound_to)[0].decrypt(sealed.encode())
        except (InvalidToken, ValueError):
            return True
        return False

    def reseal(self, sealed: str, *, bound_to: str) -> str:
        """Seals the same value with the first key. Raises SealError as `open` does.

        A rotation may stop anywhere and be run again: with both keys, either form opens.
        """
        return self.seal(self.open(sealed, bound_to=bound_to), bound_to=bound_to)

    def _ciphers(self, bound_to: str) -> list[Fernet]:
        """Returns the ciphers for the table of a place, the newest first."""
        purpose = f"seal {bound_to.partition(':')[0]}"
        derived = (_derive(master, purpose) for master in self._masters)
        return [Fernet(base64.urlsafe_b64encode(key)) for key in derived]

    def __repr__(self) -> str:
        return f"<Vault of {len(self._masters)} keys>"


@cache  # a few purposes of a few keys
def _derive(master: bytes, purpose: str) -> bytes:
    info = f"patchbay {purpose}".encode()
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(master)


def load_vault(keys: Sequence[str], key_file: Path, *, may_create: bool = True) -> Vault:
    """Makes a vault of `keys`, or without any, of the keys in `key_file`, one a line.

    If there is neither, a key is made and written to the file, readable only by its owner, and the
    log says so. Processes that start at the same time get the same key. With `may_create` False,
    for a database that already has sealed values, a missing file is a ConfigurationError.

    Blocks on file access: call it before the loop runs, or in a thread.
    """
    if keys:
        return Vault(keys)
    try:
        if not key_file.exists():
            if not may_create:
                raise ConfigurationError(
                    f"the master key {key_file} is not there, and the database holds keys sealed"
                    " under it; put the file back from a copy, or name where it is"
                )
            if make_file(key_file):
                _logger.warning(
                    "made a master key for the API keys in the database: %s; keep a copy of this"
                    " file, for without it they must be entered again",
                    key_file,
                )
        text = key_file.read_text(encoding="ascii")
        is_shared = key_file.stat().st_mode & 0o077
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the master key {key_file} cannot be read or made ({error}); let this user write"
            " there, name another file, or give the key itself"
        ) from error
    if is_shared and os.name == "posix":
        _logger.warning(
            "the master key %s can be read by other users; chmod 600 closes it", key_file
        )
    return Vault(read_keys(text), source=str(key_file))


def _cipher(key: str, number: int, source: str) -> Fernet:
    try:
        return Fernet(key)
    except ValueError:
        # Neither chained nor quoted: it may be a key with a typing error.
        raise ConfigurationError(f"{source}: number {number} {_INVALID_KEY}") from None
