"""Work on the database as a whole: its schema, its migrations, the key that seals its secrets."""

from collections.abc import Callable
from dataclasses import replace

from llm_router.cli.connect import open_database
from llm_router.clock import utc_now
from llm_router.connections.access import SYSTEM
from llm_router.settings.loading import load_section
from llm_router.settings.store import StoreSettings
from llm_router.store.database import Database
from llm_router.store.migrations import migrate, read_revisions, schema_sql
from llm_router.store.sealing import ResealResult, reseal

_OPERATOR = replace(SYSTEM, origin="cli")


def schema() -> str:
    """Returns the whole schema as SQL, in the dialect of the database that the settings name."""
    return schema_sql(_database().dialect)


async def bring_up_to_date() -> tuple[str, str | None, str | None]:
    """Migrates the database to the newest version.

    Returns its URL without the password, and the versions before and after.
    """
    database = _database()
    try:
        before, _ = await read_revisions(database)
        await migrate(database)
        after, _ = await read_revisions(database)
    finally:
        await database.aclose()
    return database.display_url, before, after


async def rotate(on_progress: Callable[[int, int], object]) -> ResealResult:
    """Seals every stored secret with the first master key; see `reseal`."""
    async with open_database() as (database, vault):
        return await reseal(database, vault, _OPERATOR, utc_now(), on_progress)


def _database() -> Database:
    return Database(load_section(StoreSettings).database_url.get_secret_value())
