"""Makes the first admin key; without one, a new installation would be closed, or open to all."""

import logging
import os
import tempfile
from pathlib import Path

from llm_router.errors import ConfigurationError
from llm_router.store.api_keys import ApiKeys

log = logging.getLogger(__name__)


async def ensure_admin(keys: ApiKeys, file: Path) -> None:
    """Makes an admin key unless one is valid, and writes it to `file`.

    The file is readable by its owner alone; the log names the file, never the key. Raises
    ConfigurationError if the file cannot be written; no key is made then.
    """
    if await keys.add_first(lambda text: _save(file, text)):
        log.warning(
            "made an admin key for the management API, since there was none that works: it is in"
            " %s; sign in with it, make keys for others, then delete the file",
            file,
        )


def _save(file: Path, text: str) -> None:
    try:
        _write(file, text)
    except OSError as error:
        raise ConfigurationError(
            f"the first admin key cannot be written to {file} ({error.strerror}); let this user"
            " write there, or set ADMIN_KEY_FILE to another file"
        ) from error


def _write(file: Path, text: str) -> None:
    """Replaces the file as a whole, or leaves it as it was."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # O_EXCL, 0600
    try:
        with os.fdopen(handle, "w", encoding="ascii") as opened:
            opened.write(f"{text}\n")
        Path(draft).replace(file)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
