"""Migrates the tables: `migrate` brings a database up to date, `schema_sql` prints the SQL.

To add a migration, change `tables.py`, run `python -m llm_router.store.migrations "its purpose"`,
and review the file that was written. The contract tests compare tables and migrations.
"""

import asyncio
import io
import threading
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, text

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
    newest = await asyncio.to_thread(_newest)
    async with database.reading() as connection:
        if await connection.run_sync(_current) == newest:
            return
    async with database.unhurried() as unhurried:
        await _migrate(unhurried)


async def _migrate(database: Database) -> None:
    async with database.writing() as connection:
        if database.dialect == "postgresql":
            lock = text("SELECT pg_advisory_xact_lock(:lock)")
            await connection.execute(lock, {"lock": _LOCK})
        current = await connection.run_sync(_current)
        if current and not await asyncio.to_thread(_knows, current):
            raise StoreError(
                f"database {database.display_url}: it is at {current!r}, which this version does"
                " not know; a newer Patchbay has changed it, so run that one"
            )
        async with _alembic_lock():
            await connection.run_sync(_upgrade)


async def read_revisions(database: Database) -> tuple[str | None, str | None]:
    """Returns the database's revision, None if it is empty, and the newest one. Changes nothing."""
    async with database.reading() as connection:
        return await connection.run_sync(_current), await asyncio.to_thread(_newest)


async def write_migration(database: Database, purpose: str) -> list[Script | None]:
    """Writes the migration from an up-to-date database to the state of `tables.py`."""

    def write(connection: Connection) -> list[Script | None]:
        config = _config()
        config.attributes["connection"] = connection
        number = f"{int(_newest() or 0) + 1:04}"
        written = command.revision(config, purpose, autogenerate=True, rev_id=number)
        return written if isinstance(written, list) else [written]

    async with database.reading() as connection, _alembic_lock():
        return await connection.run_sync(write)


def schema_sql(dialect: Dialect) -> str:
    """Returns the SQL of `migrate` for an empty database, for applying it by hand."""
    written = io.StringIO()
    config = _config()
    config.output_buffer = written
    config.attributes["dialect"] = dialect
    command.upgrade(config, "head", sql=True)
    return written.getvalue()


def _config() -> Config:
    config = Config()
    # Doubled, since %(name)s in an option refers to another one.
    config.set_main_option("script_location", str(files(__name__)).replace("%", "%%"))
    config.set_main_option("file_template", "v%%(rev)s_%%(slug)s")
    return config


def _newest() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()


def _knows(revision: str) -> bool:
    scripts = ScriptDirectory.from_config(_config()).walk_revisions()
    return any(script.revision == revision for script in scripts)


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@asynccontextmanager
async def _alembic_lock() -> AsyncIterator[None]:
    # A thread lock, since there may be several loops; it is only held during a migration.
    while not _ALEMBIC.acquire(blocking=False):  # an Event belongs to one loop
        await SystemClock().sleep(_ALEMBIC_POLL_INTERVAL)
    try:
        yield
    finally:
        _ALEMBIC.release()
