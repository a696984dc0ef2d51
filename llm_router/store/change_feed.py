"""Hearing of changes: PostgreSQL tells (LISTEN), SQLite is asked twice a second."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.errors import StoreError
from llm_router.periodic import OutageLog
from llm_router.store.database import Database

CHANNEL = "llm_connections"
_ASKED_EVERY = 0.5
"""Seconds; a look costs a fraction of a millisecond."""
_ASKED_ALL_THE_SAME = 5.0
"""Seconds after which PostgreSQL is asked though it told nothing: a line may be dead unnoticed."""
_TRIED_AGAIN_AFTER = 1.0


@dataclass
class _ChangeSignal:
    patience: float
    """Seconds to wait for it before looking all the same."""
    rung: asyncio.Event = field(default_factory=asyncio.Event)
    is_cut: bool = False

    def ring(self, *_: object) -> None:
        self.rung.set()

    def cut(self, *_: object) -> None:
        self.is_cut = True
        self.rung.set()

    async def wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self.patience):
                await self.rung.wait()
        self.rung.clear()


async def notify(connection: AsyncConnection, revision: int) -> None:
    """In the transaction of the change; it is heard when that is kept."""
    if connection.dialect.name == "postgresql":
        told = {"channel": CHANNEL, "revision": str(revision)}
        await connection.execute(text("SELECT pg_notify(:channel, :revision)"), told)


async def follow_revisions(
    database: Database, read: Callable[[], Awaitable[int]]
) -> AsyncGenerator[int, None]:
    """As `ConnectionStore.changes` promises."""
    seen: int | None = None
    outage = OutageLog(
        "changes of connections are not noticed until the database answers again",
        "changes of connections are noticed again",
    )
    while True:
        try:
            async with _change_signal(database) as bell:
                while not bell.is_cut:
                    revision = await read()
                    outage.succeeded()
                    # Not only a later one: a database put back from a copy is a change too.
                    if revision != seen:
                        seen = revision
                        yield revision
                    await bell.wait()
        except StoreError as error:
            outage.failed(error)
        await asyncio.sleep(_TRIED_AGAIN_AFTER)


@asynccontextmanager
async def _change_signal(database: Database) -> AsyncIterator[_ChangeSignal]:
    if database.dialect == "sqlite":
        yield _ChangeSignal(_ASKED_EVERY)
        return
    bell = _ChangeSignal(_ASKED_ALL_THE_SAME)
    with database.translated_errors():
        connection = await database.engine.connect()
    try:
        with database.translated_errors():
            driver: Any = (await connection.get_raw_connection()).driver_connection
            driver.add_termination_listener(bell.cut)
            await driver.add_listener(CHANNEL, bell.ring)
        yield bell
    finally:
        # Not back to the others: it would go on listening.
        with suppress(Exception):  # it may be gone already, and is given up either way
            await connection.invalidate()
        await connection.close()
