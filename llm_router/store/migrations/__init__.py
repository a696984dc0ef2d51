"""Migrates the tables: `migrate` brings a database up to date, `schema_sql` prints the SQL.

To add a migration, change `tables.py`, run `python -m llm_router.store.migrations "its purpose"`,
and review the file that was written. The contract tests compare tables and migrations.

Alembic is imported where there is something to migrate: most starts find the tables up to date.
"""

import asyncio
import threading
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files

from sqlalchemy import Connection, inspect, text

from llm_router.clock import SystemClock
from llm_router.errors import StoreError
from llm_router.store.database import Database, Dialect

_LOCK = zlib.crc32(b"patchbay migrations")
"""Number of PostgreSQL's advisory lock for migrations."""
_ALEMBIC = threading.Lock()
"""Lock around Alembic, whose state is global while the loop runs other tasks."""
_ALEMBIC_POLL_INTERVAL = 0.01  # s


async def migrate(database: Database) -> None:
    """Brings the tables up to date; an up-to-date database costs one query.

    Safe when several processes start at once, also on an empty database: one migrates, the others
    wait. All migrations are one transaction, so an interruption leaves the database unchanged.
    Raises StoreError for a database that a newer Patchbay has migrated.
    """
    newest = await asyncio.to_thread(newest_revision)
    async with database.reading() as connection:
        if await connection.run_sync(_current) == newest:
            return
    async with database.unhurried() as unhurried:
        await _migrate(unhurried)


async def _migrate(database: Database) -> None:
    from llm_router.store.migrations import steps  # noqa: PLC0415  loads Alembic

    async with database.writing() as connection:
        if database.dialect == "postgresql":
            lock = text("SELECT pg_advisory_xact_lock(:lock)")
            await connection.execute(lock, {"lock": _LOCK})
        current = await connection.run_sync(_current)
        if current and current not in await asyncio.to_thread(_revisions):
            raise StoreError(
                f"database {database.display_url}: it is at {current!r}, which this version does"
                " not know; a newer Patchbay has changed it, so run that one"
            )
        async with _alembic_lock():
            await connection.run_sync(steps.upgrade)


async def read_revisions(database: Database) -> tuple[str | None, str | None]:
    """Returns the database's revision, None if it is empty, and the newest one. Changes nothing."""
    async with database.reading() as connection:
        return await connection.run_sync(_current), await asyncio.to_thread(newest_revision)


async def write_migration(database: Database, purpose: str) -> None:
    """Writes the migration from an up-to-date database to the state of `tables.py`."""
    from llm_router.store.migrations import steps  # noqa: PLC0415  loads Alembic

    number = f"{int(newest_revision() or 0) + 1:04}"
    async with database.reading() as connection, _alembic_lock():
        await connection.run_sync(steps.write, number, purpose)


def schema_sql(dialect: Dialect) -> str:
    """Returns the SQL of `migrate` for an empty database, for applying it by hand."""
    from llm_router.store.migrations import steps  # noqa: PLC0415  loads Alembic

    return steps.sql(dialect)


def newest_revision() -> str | None:
    """Returns the revision of the last migration: its number, as four digits."""
    return max(_revisions(), default=None)


def _revisions() -> set[str]:
    """Returns the revisions of all migrations, by the names of their files: v0001_purpose.py."""
    names = (file.name for file in (files(__name__) / "versions").iterdir())
    return {name[1:5] for name in names if name.startswith("v") and name.endswith(".py")}


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    at = connection.execute(text("SELECT version_num FROM alembic_version"))
    revision: str | None = at.scalar_one_or_none()
    return revision


@asynccontextmanager
async def _alembic_lock() -> AsyncIterator[None]:
    # A thread lock, since there may be several loops; it is only held during a migration.
    while not _ALEMBIC.acquire(blocking=False):  # an Event belongs to one loop
        await SystemClock().sleep(_ALEMBIC_POLL_INTERVAL)
    try:
        yield
    finally:
        _ALEMBIC.release()
