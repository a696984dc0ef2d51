"""Finds the assistant of a call: stored in the database, or written in the file of assistants.

A stored assistant stands before one of the same name in the file. A process knows those that there
were at its start; at the start of each call it reads the assistant again, so that a change holds
from the next call. A database that is away delays no call by more than a moment.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llm_router.connections.access import WORKER
from llm_router.errors import ConfigurationError, StoreError
from llm_router.store.assistants import Assistants, Opened
from llm_router.store.crypto import load_vault
from llm_router.store.database import Database
from llm_router.stored_router import StoreOptions
from llm_router.voice.assistant import DEFAULT, AssistantRecord
from llm_router.voice.assistant_file import read_assistants

_logger = logging.getLogger("agent")

_READ_WITHIN = 5.0
"""Seconds that a database may take before the process is ready, as for its connections."""
_READ_AGAIN_WITHIN = 0.3
"""Seconds of a call's start that the database may take; the caller's client subscribes meanwhile.
"""


@dataclass(frozen=True, slots=True)
class KnownAssistants:
    """Assistants that a process knows before its call, by name."""

    in_file: Mapping[str, AssistantRecord] = field(default_factory=dict)
    stored: Mapping[str, AssistantRecord] = field(default_factory=dict)

    @property
    def all(self) -> Mapping[str, AssistantRecord]:
        return {**self.in_file, **self.stored}

    def find(self, name: str) -> AssistantRecord:
        """Returns the assistant of that name; where there is none, the default one, and logs it."""
        wanted = name or DEFAULT
        known = self.all
        if wanted != DEFAULT and wanted not in known:
            _logger.warning(
                "there is no assistant %r; the default one takes the call. `llm-router assistants"
                " list` names those that there are",
                wanted,
            )
        return known.get(wanted) or known.get(DEFAULT) or AssistantRecord(name=DEFAULT)


async def load_known(
    options: StoreOptions, file: Path | None, environ: Mapping[str, str]
) -> KnownAssistants:
    """Reads all assistants. Raises ConfigurationError for a file that cannot be understood."""
    in_file = read_file(file, environ) if file else {}
    opened = await _read_stored(options, None, _READ_WITHIN)
    return KnownAssistants(in_file, opened.records if opened else {})


async def refresh(known: KnownAssistants, options: StoreOptions, name: str) -> KnownAssistants:
    """Reads the assistant of a call again; waits 0.3 s at most for the database."""
    names = {name or DEFAULT, DEFAULT}
    opened = await _read_stored(options, sorted(names), _READ_AGAIN_WITHIN)
    if opened is None:
        return known
    # One that cannot be read any more stays as it was.
    read = names - opened.unreadable.keys()
    others = {name: record for name, record in known.stored.items() if name not in read}
    return KnownAssistants(known.in_file, {**others, **opened.records})


def read_file(file: Path, environ: Mapping[str, str]) -> Mapping[str, AssistantRecord]:
    """Reads the file of assistants; without one there are none. Raises ConfigurationError."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file}: cannot be read ({error}); correct the file") from error
    return read_assistants(text, str(file), environ)


async def _read_stored(
    options: StoreOptions, names: Sequence[str] | None, within: float
) -> Opened | None:
    """Returns the stored assistants of these names; None: the database did not answer."""
    database = Database(options.database, max_connections=1)
    if database.is_missing:
        return Opened({}, {})
    keys, key_file = options.master_keys, options.master_key_file
    try:
        async with asyncio.timeout(within):
            vault = await asyncio.to_thread(load_vault, keys, key_file, may_create=False)
            opened = await Assistants(database, vault).open(WORKER, names)
    except (ConfigurationError, StoreError, TimeoutError) as error:
        reason = str(error) or "it gave no answer in time"
        _logger.warning("the stored assistants are those that are known already: %s", reason)
        return None
    finally:
        await database.aclose()
    for name, reason in opened.unreadable.items():
        _logger.error("assistant %s cannot be used: %s", name, reason)
    return opened
