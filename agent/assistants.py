"""Finds the assistant of a call: stored in the database, or written in the file of assistants.

A stored assistant takes precedence over one of the same name in the file. A process reads all
assistants as it starts, and that of a call again at the start of each call, so that a change holds
from the next call. A database that is away delays a call by 0.3 s, a distant one by 1 s at most.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from llm_router.clock import SystemClock
from llm_router.connections.access import WORKER
from llm_router.errors import ConfigurationError, StoreError
from llm_router.store.assistants import Assistants, Opened
from llm_router.store.crypto import load_vault
from llm_router.store.database import Database
from llm_router.stored_router import StoreOptions
from llm_router.voice.assistant import DEFAULT, AssistantRecord
from llm_router.voice.assistant_file import read_file

_logger = logging.getLogger("agent")

_READ_WITHIN = 5.0
"""Seconds that a database may take before the process is ready, as for its connections."""
_READ_AGAIN_WITHIN = 0.3
"""Seconds of a call's start that any database may take: the caller's client subscribes then."""
_DISTANT_WITHIN = 1.0
"""Seconds that one may take which took its time before, as one far away does over TLS."""


@dataclass(frozen=True, slots=True)
class KnownAssistants:
    """Assistants that a process knows before its call, by name."""

    in_file: Mapping[str, AssistantRecord] = field(default_factory=dict)
    stored: Mapping[str, AssistantRecord] = field(default_factory=dict)
    read_in: float = 0.0
    """Seconds that the database took to connect and to give them."""

    @property
    def read_again_within(self) -> float:
        """Seconds that a call waits for the database at its start."""
        return min(max(_READ_AGAIN_WITHIN, 2 * self.read_in), _DISTANT_WITHIN)

    @property
    def all(self) -> Mapping[str, AssistantRecord]:
        """Maps names to assistants: a stored one takes the place of one in the file."""
        return {**self.in_file, **self.stored}

    def find(self, name: str) -> AssistantRecord:
        """Returns the assistant of that name, or the default one, with a warning, without any."""
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
    database, clock = Database(options.database, max_connections=1), SystemClock()
    began = clock.now()
    try:
        opened = await _read_stored(database, options, None, _READ_WITHIN)
    finally:
        await database.aclose()
    # That of a database which is away says nothing of one that works.
    read_in = clock.now() - began if opened else 0.0
    return KnownAssistants(in_file, opened.records if opened else {}, read_in)


async def refresh(
    known: KnownAssistants, database: Database, options: StoreOptions, name: str
) -> KnownAssistants:
    """Reads the assistant of a call again from the call's `database`; waits a moment for it."""
    names = {name or DEFAULT, DEFAULT}
    opened = await _read_stored(database, options, sorted(names), known.read_again_within)
    if opened is None:
        return known
    # One that cannot be read any more stays as it was.
    read = names - opened.unreadable.keys()
    others = {name: record for name, record in known.stored.items() if name not in read}
    return replace(known, stored={**others, **opened.records})


async def _read_stored(
    database: Database, options: StoreOptions, names: Sequence[str] | None, within: float
) -> Opened | None:
    """Returns the stored assistants of these names; None: the database did not answer."""
    if database.is_missing:
        return Opened({}, {})
    keys, key_file = options.master_keys, options.master_key_file
    try:
        async with asyncio.timeout(within):
            vault = await asyncio.to_thread(load_vault, keys, key_file, may_create=False)
            opened = await Assistants(database, vault).open(WORKER, names)
    except (ConfigurationError, StoreError, TimeoutError) as error:
        reason = str(error) or "it gave no answer in time"
        _logger.warning(
            "the stored assistants cannot be read, so this process uses those that it has read"
            " before: %s",
            reason,
        )
        return None
    for name, reason in opened.unreadable.items():
        _logger.error("assistant %s cannot be used: %s", name, reason)
    return opened
