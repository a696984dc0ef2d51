"""Follows the revision of the connections: PostgreSQL notifies (LISTEN), SQLite is polled."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.clock import SystemClock
from llm_router.errors import StoreError
from llm_router.periodic import OutageLog
from llm_router.store.database import Database

CHANNEL = "llm_connections"
_SQLITE_POLL_INTERVAL = 0.5
"""Seconds between reads, each of which takes a fraction of a millisecond."""
_POSTGRESQL_POLL_INTERVAL = 5.0
"""Seconds after which the revision is read without a notification: a connection may die unnoticed.
"""
_RETRY_DELAY = 1.0  # s


@dataclass
class _ChangeSignal:
    poll_interval: float
    """Seconds to wait for a notification before the revision is read without one."""
    event: asyncio.Event = field(default_factory=asyncio.Event)
    is_disconnected: bool = False

    def notify(self, *_: object) -> None:
        self.event.set()

    def disconnect(self, *_: object) -> None:
        self.is_disconnected = True
        self.event.set()

    async def wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self.poll_interval):
                await self.event.wait()
        self.event.clear()


async def notify(connection: AsyncConnection, revision: int) -> None:
    """Notifies listeners when the transaction of the change is committed."""
    if connection.dialect.name == "postgresql":
        parameters = {"channel": CHANNEL, "revision": str(revision)}
        await connection.execute(text("SELECT pg_notify(:channel, :revision)"), parameters)


async def follow_revisions(
    database: Database, read: Callable[[], Awaitable[int]]
) -> AsyncGenerator[int, None]:
    """Implements `ConnectionStore.changes`."""
    latest: int | None = None
    outage = OutageLog(
        "changes of connections are not noticed until the database answers again",
        "changes of connections are noticed again",
    )
    while True:
        try:
            async with _change_signal(database) as signal:
                while not signal.is_disconnected:
                    revision = await read()
                    outage.succeeded()
                    # An earlier revision counts too: a database may be restored from a copy.
                    if revision != latest:
                        latest = revision
                        yield revision
                    await signal.wait()
        except StoreError as error:
            outage.failed(error)
        await SystemClock().sleep(_RETRY_DELAY)


@asynccontextmanager
async def _change_signal(database: Database) -> AsyncIterator[_ChangeSignal]:
    if database.dialect == "sqlite":
        yield _ChangeSignal(_SQLITE_POLL_INTERVAL)
        return
    signal = _ChangeSignal(_POSTGRESQL_POLL_INTERVAL)
    async with database.connected() as connection:
        try:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            driver.add_termination_listener(signal.disconnect)
            await driver.add_listener(CHANNEL, signal.notify)
            yield signal
        finally:
            # Not returned to the pool, where it would go on listening.
            with suppress(Exception):  # it may be closed already, and is discarded either way
                await connection.invalidate()
