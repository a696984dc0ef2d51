"""Opens a router over a store, for any process that routes: a worker's calls, the HTTP process.

The connections are those in the database, followed as they change. While none is stored, those that
a file, the environment or this machine offers take their place. Through the database a router
shares limits, usage and measurements with other processes. A database that does not answer delays
no reply: each router goes on with what its process knows.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, get_args

from llm_router.assembly import open_router
from llm_router.clock import Clock
from llm_router.connections.access import SYSTEM, WORKER, serves
from llm_router.connections.record import Connection
from llm_router.connections.store import ConnectionStore
from llm_router.discovery.discover import DiscoveryOptions, DiscoveryResult, find_connections
from llm_router.discovery.unused import UnusedConnection, find_unused
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
from llm_router.sync.names import disambiguate
from llm_router.sync.scoreboard.base import Scoreboard
from llm_router.sync.scoreboard.sql import SqlScoreboard
from llm_router.sync.scoreboard.sqlite import SqliteScoreboard
from llm_router.sync.subscription import ACTIVE, StoreSubscription
from llm_router.telemetry.usage import usage_logged
from llm_router.types import Integration

_T = TypeVar("_T")
_logger = logging.getLogger("llm_router")

_PREPARE_WITHIN = 15.0
_READ_WITHIN = 5.0
"""Seconds that a database may take before the process is ready: LiveKit ends a call's process that
takes long to start."""
_DATABASE_CONNECTIONS = 2
"""Connections of each router to the database: one listens for changes, the other does the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """The places where a router finds connections and shares what it learns and uses."""

    database: str = field(repr=False)
    """URL of the database."""
    master_keys: tuple[str, ...] = field(default=(), repr=False)
    """Keys that open the stored API keys; empty: those in `master_key_file`."""
    master_key_file: Path
    connections_file: Path
    scoreboard: Path | str | None = None
    """File of the scoreboard. None: it is in the database; "off": measurements are not shared."""
    offline_responder: bool = True
    """Whether built-in rules answer where no model is configured."""
    allowed_addresses: tuple[str, ...] = ()
    """Addresses that guarded connections may use besides public ones (see `net.guard`)."""


@dataclass(frozen=True, slots=True)
class KnownConnections:
    """Connections that a process knows before it opens a router."""

    found: DiscoveryResult
    """Connections from a file, the environment or this machine."""
    stored: tuple[Connection, ...] = ()

    @property
    def selected(self) -> DiscoveryResult:
        """The connections that a router opened now would use."""
        return self.found.replaced_by(disambiguate(self.stored))


async def prepare_database(options: StoreOptions) -> None:
    """Migrates the database and makes the master key, unless another process has done so.

    A database that does not answer within 15 s is logged and left alone. Raises ConfigurationError
    for one that cannot be migrated and for a master key that is lost.
    """
    try:
        async with (
            asyncio.timeout(_PREPARE_WITHIN),
            open_sealed_store(options.database, options.master_keys, options.master_key_file),
        ):
            pass
    except (StoreError, TimeoutError) as error:
        _logger.warning(
            "the database cannot be prepared; until it answers, only connections from a file, the "
            "environment or this machine are used: %s",
            _reason(error),
        )


async def load_known(options: StoreOptions, environ: Mapping[str, str]) -> KnownConnections:
    """Finds and reads the connections, and imports and loads what their providers need.

    Waits at most 5 s for the database. Raises ConfigurationError for a file or a variable that
    cannot be understood.
    """
    search = DiscoveryOptions(responder=options.offline_responder)
    found = await find_connections(options.connections_file, environ, search)
    known = KnownConnections(found, await _read_stored(options))
    with suppress(RouterError):  # the same error is raised when the real router opens
        async with open_router(known.selected.connections):
            """Opened and closed only to load now what the first reply would wait for."""
    return known


async def load_unused(options: StoreOptions, known: KnownConnections) -> list[UnusedConnection]:
    """Returns the known connections that are not used, because others are stored.

    Each has the command that stores it. Waits at most 5 s for the database; empty if it does not
    answer.
    """
    if not known.stored:
        return []
    return await _read(options, lambda store: find_unused(store, known.found), [])


async def _read_stored(options: StoreOptions) -> tuple[Connection, ...]:
    async def find(store: ConnectionStore) -> tuple[Connection, ...]:
        return (await store.find(WORKER, ACTIVE, secrets=True)).items

    return await _read(options, find, ())


async def _read(
    options: StoreOptions, find: Callable[[ConnectionStore], Awaitable[_T]], otherwise: _T
) -> _T:
    """Returns what `find` reads from the store, or `otherwise` if there is no answer."""
    database = Database(options.database)
    if database.is_missing:
        return otherwise
    try:
        async with asyncio.timeout(_READ_WITHIN):
            return await find(await _open_store(options, database))
    except (ConfigurationError, StoreError, TimeoutError) as error:
        _logger.warning("the stored connections are not known yet: %s", _reason(error))
        return otherwise
    finally:
        await database.aclose()


@asynccontextmanager
async def open_stored_router(
    store_options: StoreOptions,
    known: KnownConnections,
    *,
    policy: str = "latency",
    options: RouterOptions | None = None,
    phrases: Phrases | None = None,
    observers: Sequence[Observer] = (),
    database: Database | None = None,
) -> AsyncIterator[Router]:
    """Opens a router over the stored connections that calls may use, or those found elsewhere.

    It works while the database does not answer. The end of the block closes it and writes the rest
    of its usage. `database`, which stays open, is that of the options; None: one is opened.
    """
    async with AsyncExitStack() as stack:
        if database is None:
            database = await stack.enter_async_context(opened_database(store_options))
        usage = await stack.enter_async_context(usage_logged(database))
        scoreboard = _open_scoreboard(store_options.scoreboard, database)
        if scoreboard:
            stack.push_async_callback(scoreboard.aclose)
        router = await stack.enter_async_context(
            open_router(
                await _select_connections(store_options, known, database),
                policy=policy,
                options=options,
                phrases=phrases,
                observers=[*observers, usage],
                scoreboard=scoreboard,
                counters=SqlCounters(database),
            )
        )
        yield router


@asynccontextmanager
async def opened_database(options: StoreOptions) -> AsyncIterator[Database]:
    """Yields the database with as many connections as one router needs, and closes it."""
    database = Database(options.database, max_connections=_DATABASE_CONNECTIONS)
    try:
        yield database
    finally:
        await database.aclose()


@asynccontextmanager
async def open_automation_router(
    store: ConnectionStore,
    database: Database,
    *,
    scoreboard: Path | str | None = None,
    allowed_addresses: tuple[str, ...] = (),
    policy: str = "latency",
    options: RouterOptions | None = None,
    observers: Sequence[Observer] = (),
    clock: Clock | None = None,
) -> AsyncIterator[Router]:
    """Opens a router over the stored connections flagged for any integration, of every owner.

    A request names those that its caller may use (`ChatRequest.among`). `store` and `database`,
    which keeps usage, limits and measurements, stay open. `scoreboard`: as in StoreOptions.
    """
    async with AsyncExitStack() as stack:
        usage = await stack.enter_async_context(usage_logged(database, clock))
        board = _open_scoreboard(scoreboard, database)
        if board:
            stack.push_async_callback(board.aclose)
        router = await stack.enter_async_context(
            open_router(
                StoreSubscription(
                    store,
                    SYSTEM,
                    select=lambda stored: [c for c in stored if _is_flagged(c)],
                    guard=AddressGuard(allowed=allowed_addresses),
                ),
                policy=policy,
                options=options,
                observers=[*observers, usage],
                scoreboard=board,
                counters=SqlCounters(database),
                clock=clock,
            )
        )
        yield router


def _is_flagged(connection: Connection) -> bool:
    return any(serves(connection, integration) for integration in get_args(Integration))


async def _select_connections(
    options: StoreOptions, known: KnownConnections, database: Database
) -> StoreSubscription | Sequence[Connection]:
    try:
        store = await _open_store(options, database)
    except ConfigurationError as error:
        _logger.error(  # noqa: TRY400  the message says it all
            "the stored connections cannot be used, only those from a file, the environment or "
            "this machine: %s",
            error,
        )
        return known.found.connections
    return StoreSubscription(
        store,
        WORKER,
        select=lambda stored: known.found.replaced_by(stored).connections,
        last_known=known.stored,
        guard=AddressGuard(allowed=options.allowed_addresses),
    )


async def _open_store(options: StoreOptions, database: Database) -> SqlConnectionStore:
    keys = options.master_keys
    vault = await asyncio.to_thread(load_vault, keys, options.master_key_file, may_create=False)
    return SqlConnectionStore(database, vault)


def _open_scoreboard(place: Path | str | None, database: Database) -> Scoreboard | None:
    match place:
        case "off":
            return None
        case None:
            return SqlScoreboard(database)
        case file:
            return SqliteScoreboard(Path(file))


def _reason(error: Exception) -> str:
    return str(error) or "it gave no answer in time"
