"""Opens one database by URL, SQLite in a file or PostgreSQL, and runs its transactions."""

import asyncio
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import aiosqlite
import asyncpg  # type: ignore[import-untyped]  # ships no types
from sqlalchemy import Connection as SyncConnection
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

from llm_router.errors import ConfigurationError, StoreError
from llm_router.store.line import Line

Dialect = Literal["sqlite", "postgresql"]

_BEGIN = "sqlite_begin"
_SYNCHRONOUS = "sqlite_synchronous"
_FIRST_SYNCHRONOUS = "FULL"
_SQLITE_RETRY_DELAY = 0.02
"""Seconds between attempts while another process makes the file: SQLite does not wait for that."""
PATIENCE = 30.0
"""Seconds that a writer waits for a SQLite file, unless it is said otherwise."""
_POOL_SIZE = 5
"""Idle connections that stay open for the next query."""
_ANSWER_WITHIN = 4.0
"""Seconds that PostgreSQL may take to accept a connection, to give a transaction one, and for each
statement."""
_FAREWELL = 0.2
"""Seconds for which the end of a connection waits for PostgreSQL's answer."""
_ERRORS = (
    SQLAlchemyError,
    sqlite3.Error,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    OSError,
)
_REMEDIES = {
    "no such table": "run `llm-router migrate`",
    "no such column": "run `llm-router migrate`",
    "locked": "another process has held it for too long; try again",
    "PermissionError": "let this user write in its folder, or name another file",
    "FileNotFoundError": "it is not there, and cannot be made: correct the URL",
    "NotADirectoryError": "a file is where its folder should be: name another file",
    "FileExistsError": "a file is where its folder should be: name another file",
    "unable to open": "let this user write in its folder, or name another file",
    "readonly": "let this user write the file and its folder",
    "not a database": "name another file, or put this one back from a copy",
    "malformed": "put the file back from a copy",
    "disk is full": "make room on the disk",
    "UndefinedTable": "run `llm-router migrate`",
    "UndefinedColumn": "run `llm-router migrate`",
    "InvalidPassword": "check the user and the password in the URL",
    "InvalidAuthorization": "check the user and the password in the URL",
    "InvalidCatalogName": "check the database's name in the URL, or create it",
    "InsufficientPrivilege": "grant this user what it needs",
    "TooManyConnections": "allow more connections, or run fewer processes",
    "Connect": "check that it runs, and the address in the URL",
    "gaierror": "check the address in the URL",
    "Timeout": "check that it runs and is not overloaded",
}
"""Remedy by a word of the error's type or message."""


class Database:
    """A database that opens at its first use. Processes may share it and be killed at any time.

    A SQLite file and its folder are made if missing, readable only by their owner. SQLite has one
    writer at a time. Writers of this process wait in line, and give up after `patience` seconds if
    one of them has failed; the first in line waits as long again for other processes. A PostgreSQL
    that hangs is given up after `answer_within` seconds; None waits as long as it takes.
    Raises StoreError for timeouts and faults, which names the database without its password, and
    ConfigurationError for an invalid URL.

    `max_connections`: connections open at once; each subscriber to changes holds one. More
    transactions than that wait in line: it may be long, but not stand still.
    """

    def __init__(
        self,
        url: str,
        *,
        patience: float = PATIENCE,
        answer_within: float | None = _ANSWER_WITHIN,
        max_connections: int = 15,
    ) -> None:
        self.url = _parse_url(url)
        self.dialect: Dialect = (
            "sqlite" if self.url.drivername.startswith("sqlite") else "postgresql"
        )
        self.display_url = self.url.render_as_string(hide_password=True)
        self._answer_within = answer_within if self.dialect == "postgresql" else None
        self.engine = _engine(self.url, patience, self._answer_within, max_connections)
        # Committed data survives a power cut, not only a killed process; unless it need not.
        writing = self.engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        self._writing = writing.execution_options(**{_SYNCHRONOUS: "FULL"})
        self._passing = writing.execution_options(**{_SYNCHRONOUS: "NORMAL"})
        self._writers = Line(
            1, "the file is locked", patience=patience, standstill=max(patience, _ANSWER_WITHIN)
        )
        # The one writer of a SQLite file has a connection of its own: all others wait for it.
        own = 1 if self.dialect == "sqlite" else 0
        self._places = Line(
            max(1, max_connections - own),
            "all connections are in use",
            patience=patience,
            standstill=self._answer_within or max(patience, _ANSWER_WITHIN),
        )

    @property
    def is_missing(self) -> bool:
        """Whether it is a SQLite file that does not exist yet. Opening it would make it."""
        return self.dialect == "sqlite" and not Path(self.url.database or "").exists()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Opens a transaction for reading only; it is always rolled back."""
        async with self.connected() as connection:
            yield connection

    @asynccontextmanager
    async def writing(
        self, *, is_passing: bool = False, is_single: bool = False
    ) -> AsyncIterator[AsyncConnection]:
        """Opens a transaction: commits after the block, rolls back on an error or cancellation.

        What `is_passing` may be lost in a power cut: its commit waits for no disk. `is_single`: the
        block runs one statement, without rows to fetch. SQLite commits it by itself, and so locks
        the file for no longer than it takes, however long this process waits for a processor.
        """
        # A line within the process, since SQLite is unfair to competing writers.
        line = self._writers if self.dialect == "sqlite" else self._places
        engine = self._passing if is_passing else self._writing
        if is_single:
            engine = engine.execution_options(**{_BEGIN: ""})
        with self.translated_errors():
            async with (
                line.place() as since,
                self._open(engine, since) as connection,
                connection.begin(),
            ):
                if is_passing and self.dialect == "postgresql":
                    await connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
                yield connection

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[AsyncConnection]:
        """Takes a connection for the block, once it has its turn."""
        with self.translated_errors():
            async with (
                self._places.place() as since,
                self._open(self.engine, since) as connection,
            ):
                yield connection

    @asynccontextmanager
    async def _open(self, engine: AsyncEngine, since: float) -> AsyncIterator[AsyncConnection]:
        """Opens a connection; PostgreSQL has `answer_within` seconds for it after `since`."""
        within = self._answer_within
        async with AsyncExitStack() as stack:
            async with asyncio.timeout_at(None if within is None else since + within):
                connection = await stack.enter_async_context(engine.connect())
            yield connection

    @asynccontextmanager
    async def unhurried(self) -> "AsyncIterator[Database]":
        """Yields this database, or another one on the same URL, that gives up no statement."""
        if self._answer_within is None:
            yield self
            return
        unhurried = Database(self.url.render_as_string(hide_password=False), answer_within=None)
        try:
            yield unhurried
        finally:
            await unhurried.aclose()

    @contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Raises StoreError in place of any error of the database.

        A driver may answer a cancellation with an error of its own, as asyncpg does beside a server
        that hangs. That is still the cancellation: else a loop which goes on after errors would
        never end.
        """
        task = asyncio.current_task()
        cancelled_before = task.cancelling() if task else 0
        try:
            yield
        except _ERRORS as error:
            if task and task.cancelling() > cancelled_before:
                raise asyncio.CancelledError from error
            raise StoreError(f"database {self.display_url}: {_reason(error)}") from error

    async def aclose(self) -> None:
        await self.engine.dispose()


def _parse_url(url: str) -> URL:
    """Parses a URL and sets the driver that we use."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        # Neither chained nor quoted: the URL may hold a password.
        raise ConfigurationError(
            "the database URL must look like sqlite:///path/to/file or "
            "postgresql://user:password@host/name"
        ) from None
    kind = parsed.drivername.partition("+")[0]
    if kind == "sqlite":
        if not parsed.database or parsed.database == ":memory:" or parsed.query:
            raise ConfigurationError(
                "the database URL must name a file, as sqlite:///path/to/file; for a store without"
                " one there is llm_router.testing.InMemoryConnectionStore"
            )
        return parsed.set(drivername="sqlite+aiosqlite")
    if kind in {"postgresql", "postgres"}:
        query = dict(parsed.query)
        if "sslmode" in query:  # libpq's word for it; asyncpg takes the same values
            query["ssl"] = query.pop("sslmode")
        return parsed.set(drivername="postgresql+asyncpg", query=query)
    raise ConfigurationError(
        f"the database URL begins with {kind!r}; it must be sqlite:// or postgresql://"
    )


class _PostgresConnection(asyncpg.Connection):  # type: ignore[misc]  # ships no types
    """A connection whose end does not wait for a server that hangs."""

    async def close(self, **_: object) -> None:
        """Has the server end the statement that may be running, and hangs up."""
        try:
            async with asyncio.timeout(_FAREWELL):
                await super().close()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            self.terminate()


def _engine(
    url: URL, patience: float, answer_within: float | None, max_connections: int
) -> AsyncEngine:
    pool_size = min(max_connections, _POOL_SIZE)
    common: Mapping[str, Any] = {
        "hide_parameters": True,  # they may be secret; an error must not show them
        "pool_timeout": patience,
        "pool_size": pool_size,
        "max_overflow": max_connections - pool_size,
    }
    if url.drivername.startswith("postgresql"):
        return create_async_engine(
            url,
            pool_pre_ping=True,  # so that a restart of the server fails no request
            connect_args={
                "connection_class": _PostgresConnection,
                "timeout": answer_within or _ANSWER_WITHIN,
                "command_timeout": answer_within,
                "server_settings": {"application_name": "patchbay"},
            },
            **common,
        )
    path = Path(url.database or "")

    async def connect() -> aiosqlite.Connection:
        connection = aiosqlite.Connection(lambda: _open(path, patience), iter_chunk_size=64)
        thread = connection._thread  # noqa: SLF001  the only way to wait for its end
        thread.daemon = True  # as SQLAlchemy does: no exit is held up
        try:
            return await connection
        except BaseException:
            # The thread reports its end to the loop, which may be closed right after this.
            await asyncio.to_thread(thread.join)
            raise

    engine = create_async_engine(url, async_creator=connect, **common)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _begin(connection: SyncConnection) -> None:
    """Begins a transaction of SQLite in one step of the connection's thread; SQLAlchemy takes three
    for a statement.
    """
    options = connection.get_execution_options()
    driver: Any = connection.connection.driver_connection
    synchronous = options.get(_SYNCHRONOUS)
    if synchronous and connection.info.get(_SYNCHRONOUS, _FIRST_SYNCHRONOUS) != synchronous:
        await_only(driver.execute(f"PRAGMA synchronous = {synchronous}"))
        connection.info[_SYNCHRONOUS] = synchronous  # it keeps that of its last writer
    if begin := options.get(_BEGIN, "BEGIN"):
        await_only(driver.execute(begin))


class _Connection(sqlite3.Connection):
    def close(self) -> None:
        """Rolls back before closing.

        Otherwise SQLite would wait for every statement that is still referenced, and the file would
        stay locked.
        """
        with suppress(sqlite3.Error):  # closed already, or broken
            self.rollback()
        super().close()


def _open(path: Path, patience: float) -> sqlite3.Connection:
    """Opens a connection; runs in the connection's own thread."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
    db = sqlite3.connect(
        path, patience, isolation_level=None, check_same_thread=False, factory=_Connection
    )
    try:
        _set_up(db, patience)
    except BaseException:
        db.close()
        raise
    return db


def _set_up(db: sqlite3.Connection, patience: float) -> None:
    for left in range(int(patience / _SQLITE_RETRY_DELAY), -1, -1):
        try:
            db.execute("PRAGMA journal_mode = WAL")  # readers and a writer, side by side
            db.execute(f"PRAGMA synchronous = {_FIRST_SYNCHRONOUS}")
            db.execute("PRAGMA foreign_keys = ON")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or not left:
                raise
            threading.Event().wait(_SQLITE_RETRY_DELAY)
        else:
            return


def _reason(error: Exception) -> str:
    cause: BaseException = error
    if isinstance(error, DBAPIError) and error.orig is not None:
        cause = error.orig.__cause__ or error.orig
    message = str(cause).partition("\n")[0] or "no answer"
    kinds = " ".join(kind.__name__ for kind in type(cause).__mro__)
    searched = f"{message} {kinds}"
    remedies = (remedy for word, remedy in _REMEDIES.items() if word in searched)
    remedy = next(remedies, "see the database's log")
    return f"{message}; {remedy}"
