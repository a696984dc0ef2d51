"""What is done to the database as a whole, on its machine."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from config.settings import StoreSettings, load_section
from llm_router.cli.connect import open_database
from llm_router.connections.access import SYSTEM
from llm_router.store.database import Database
from llm_router.store.migrations import migrate, read_revisions, schema_sql
from llm_router.store.sealing import ResealResult, reseal

_OPERATOR = replace(SYSTEM, origin="cli")


def schema() -> str:
    """As SQL, in the words of the database that the settings name."""
    return schema_sql(_database().dialect)


async def bring_up_to_date() -> tuple[str, str | None, str | None]:
    """The database, without its password, and where its tables were and are."""
    database = _database()
    try:
        before, _ = await read_revisions(database)
        await migrate(database)
        after, _ = await read_revisions(database)
    finally:
        await database.aclose()
    return database.display_url, before, after


async def rotate(told: Callable[[int, int], object]) -> ResealResult:
    async with open_database() as (database, vault):
        return await reseal(database, vault, _OPERATOR, datetime.now(UTC), told)


def _database() -> Database:
    return Database(load_section(StoreSettings).database_url.get_secret_value())
