"""The history of the tables, and the way along it: `migrate` and `schema_sql`.

A new step: change `tables.py`, then `python -m llm_router.store.migrations "what it is for"`, and
read what was written. The contract tests hold tables and migrations together.
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

from llm_router.errors import StoreError
from llm_router.store.database import Database, Dialect

_LOCK = zlib.crc32(b"patchbay migrations")
"""PostgreSQL's advisory locks have numbers for names."""
_ALEMBIC = threading.Lock()
"""Alembic keeps what it works on in globals, and lets go of the loop in between."""
_ALEMBIC_LOOKED_AT_EVERY = 0.01


async def migrate(database: Database) -> None:
    """Bring the tables up to date; on a database that is, one look.

    Safe when processes start at once, on an empty database too: one does it, the others wait. All
    of it is one transaction, so one that is interrupted leaves the database as it was. StoreError
    for a database that a newer Patchbay has changed.
    """
    newest = await asyncio.to_thread(_newest)
    async with database.reading() as connection:
        if await connection.run_sync(_current) == newest:
            return
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
        async with _alone_with_alembic():
            await connection.run_sync(_upgrade)


async def read_revisions(database: Database) -> tuple[str | None, str | None]:
    """Where the tables are, None on an empty database, and where they should be. Only looks."""
    async with database.reading() as connection:
        return await connection.run_sync(_current), await asyncio.to_thread(_newest)


async def write_migration(database: Database, what_for: str) -> list[Script | None]:
    """Write a migration from the database, which must be up to date, to what `tables.py` says."""

    def write(connection: Connection) -> list[Script | None]:
        config = _config()
        config.attributes["connection"] = connection
        number = f"{int(_newest() or 0) + 1:04}"
        written = command.revision(config, what_for, autogenerate=True, rev_id=number)
        return written if isinstance(written, list) else [written]

    async with database.reading() as connection, _alone_with_alembic():
        return await connection.run_sync(write)


def schema_sql(dialect: Dialect) -> str:
    """What `migrate` does on an empty database, as SQL, for those who apply it by hand."""
    written = io.StringIO()
    config = _config()
    config.output_buffer = written
    config.attributes["dialect"] = dialect
    command.upgrade(config, "head", sql=True)
    return written.getvalue()


def _config() -> Config:
    config = Config()
    # Doubled, since the option may refer to others by %(name)s.
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
async def _alone_with_alembic() -> AsyncIterator[None]:
    # A thread's lock, since there may be several loops; it is only held while tables are made.
    while not _ALEMBIC.acquire(blocking=False):  # noqa: ASYNC110  an Event belongs to one loop
        await asyncio.sleep(_ALEMBIC_LOOKED_AT_EVERY)
    try:
        yield
    finally:
        _ALEMBIC.release()
