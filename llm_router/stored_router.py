"""Which models a call may ask, and what it has in common with other processes: one database.

What is stored is asked, as it is at any time. While nothing is, what a file, the environment or
this machine offers is asked. A database that is away costs no call a word: each goes on with what
its process knew.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from llm_router.assembly import open_router
from llm_router.connections.access import WORKER
from llm_router.connections.record import Connection
from llm_router.discovery.discover import DiscoveryResult, find_connections
from llm_router.errors import ConfigurationError, RouterError, StoreError
from llm_router.net.guard import AddressGuard
from llm_router.options import RouterOptions
from llm_router.routing.events import Observer
from llm_router.routing.phrases import Phrases
from llm_router.routing.router import Router
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.crypto import load_vault
from llm_router.store.database import Database
from llm_router.store.limits import SqlCounters
from llm_router.store.sealed_store import open_sealed_store
from llm_router.store.usage import UsageLog
from llm_router.sync.connections import ACTIVE, StoreSubscription, told_apart
from llm_router.sync.scoreboard.base import Scoreboard
from llm_router.sync.scoreboard.sql import SqlScoreboard
from llm_router.sync.scoreboard.sqlite import SqliteScoreboard
from llm_router.telemetry.usage import UsageObserver

_logger = logging.getLogger("agent")

_SET_UP_WITHIN = 15.0
_LOOK_WITHIN = 5.0
"""Seconds that a database may take before a call: LiveKit ends a process that is not ready soon."""
_CONNECTIONS = 2
"""To the database, for each call: one hears of changes, the other is for all the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """Where a process finds connections, and leaves what it learns and uses.

    `database`: its URL. `master_keys`: where there is none, those in `master_key_file`.
    `scoreboard`: None: in the database; "off": none. `allowed_addresses`: see
    `guard.AddressGuard`.
    """

    database: str = field(repr=False)
    master_keys: tuple[str, ...] = field(default=(), repr=False)
    master_key_file: Path
    connections_file: Path
    scoreboard: Path | str | None = None
    allowed_addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """What a process knows before it has a call."""

    found: DiscoveryResult
    stored: tuple[Connection, ...] = ()

    @property
    def asked(self) -> DiscoveryResult:
        return self.found.replaced_by(told_apart(self.stored))


async def set_up(lines: StoreOptions) -> None:
    """Bring the database up to date, and see to a master key, as the HTTP process does too:
    whichever comes first. A database that is away is not waited for.

    Raises ConfigurationError for one that cannot be, and for a master key that is lost.
    """
    try:
        async with (
            asyncio.timeout(_SET_UP_WITHIN),
            open_sealed_store(lines.database, lines.master_keys, lines.master_key_file),
        ):
            pass
    except (StoreError, TimeoutError) as error:
        _logger.warning("calls go by what is found until the database is there: %s", _why(error))


async def look(lines: StoreOptions, environ: Mapping[str, str]) -> Known:
    """What there is to ask now; all that asking it takes is loaded.

    Raises ConfigurationError for a file or a variable that cannot be understood.
    """
    found = await find_connections(lines.connections_file, environ)
    known = Known(found, await _stored(lines))
    with suppress(RouterError):  # the call itself says so
        async with open_router(known.asked.connections):
            """A rehearsal: what it loads, no call waits for."""
    return known


async def _stored(lines: StoreOptions) -> tuple[Connection, ...]:
    database = Database(lines.database)
    try:
        async with asyncio.timeout(_LOOK_WITHIN):
            store = await _store(lines, database)
            return (await store.find(WORKER, ACTIVE, secrets=True)).items
    except (ConfigurationError, StoreError, TimeoutError) as error:
        _logger.warning("what is stored is not known yet: %s", _why(error))
        return ()
    finally:
        await database.aclose()


@asynccontextmanager
async def open_stored_router(
    lines: StoreOptions,
    known: Known,
    *,
    policy: str = "latency",
    options: RouterOptions | None = None,
    phrases: Phrases | None = None,
    observers: Sequence[Observer] = (),
) -> AsyncIterator[Router]:
    """The router of one call. At the end of the block its last usage is written down."""
    async with AsyncExitStack() as stack:
        database = Database(lines.database, max_connections=_CONNECTIONS)
        stack.push_async_callback(database.aclose)
        usage = UsageObserver(UsageLog(database))
        stack.push_async_callback(usage.aclose)
        usage.start()
        scoreboard = _scoreboard(lines, database)
        if scoreboard:
            stack.push_async_callback(scoreboard.aclose)
        router = await stack.enter_async_context(
            open_router(
                await _connections(lines, known, database),
                policy=policy,
                options=options,
                phrases=phrases,
                observers=[*observers, usage],
                scoreboard=scoreboard,
                counters=SqlCounters(database),
            )
        )
        yield router


async def _connections(
    lines: StoreOptions, known: Known, database: Database
) -> StoreSubscription | Sequence[Connection]:
    try:
        store = await _store(lines, database)
    except ConfigurationError as error:
        _logger.error("this call goes by what was found: %s", error)  # noqa: TRY400  it says all
        return known.found.connections
    return StoreSubscription(
        store,
        WORKER,
        asked=lambda stored: known.found.replaced_by(stored).connections,
        known=known.stored,
        guard=AddressGuard(allowed=lines.allowed_addresses),
    )


async def _store(lines: StoreOptions, database: Database) -> SqlConnectionStore:
    keys, file = lines.master_keys, lines.master_key_file
    vault = await asyncio.to_thread(load_vault, keys, file, may_create=False)
    return SqlConnectionStore(database, vault)


def _scoreboard(lines: StoreOptions, database: Database) -> Scoreboard | None:
    match lines.scoreboard:
        case "off":
            return None
        case None:
            return SqlScoreboard(database)
        case file:
            return SqliteScoreboard(Path(file))


def _why(error: Exception) -> str:
    return str(error) or "it gave no answer in time"
