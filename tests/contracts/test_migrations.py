"""The tables are what the migrations make, however and however often they are run."""

import asyncio
import sqlite3
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # ships no types
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from llm_router.errors import StoreError
from llm_router.store.database import Database
from llm_router.store.migrations import migrate, schema_sql
from llm_router.store.tables import metadata
from tests.contracts.databases import Files, Postgres, Server, opened


def differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


def tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


async def test_migrations_make_what_the_tables_say(database: Database) -> None:
    async with database.reading() as db:
        assert await db.run_sync(differences) == []
        assert await db.run_sync(tables) == {*metadata.tables, "alembic_version"}


async def test_migrating_again_changes_nothing(database: Database) -> None:
    async with database.writing() as db:
        await db.execute(text("UPDATE store_counters SET value = 7"))
    await migrate(database)
    async with database.reading() as db:
        assert {*(await db.execute(text("SELECT value FROM store_counters"))).scalars()} == {7}


async def test_a_migration_that_is_cut_short_leaves_nothing_and_is_then_done(
    server: Server,
) -> None:
    async with opened(await server.new(migrated=False)) as database:
        for steps in range(0, 200, 20):
            task = asyncio.create_task(migrate(database))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            async with database.reading() as db:
                assert await db.run_sync(tables) in (set(), {*metadata.tables, "alembic_version"})
        await migrate(database)
        async with database.reading() as db:
            assert await db.run_sync(differences) == []


async def test_two_databases_may_be_migrated_at_once(files: Files) -> None:
    urls = [await files.new(migrated=False) for _ in range(2)]
    async with opened(urls[0]) as one, opened(urls[1]) as other:
        await asyncio.gather(migrate(one), migrate(other))
        for database in (one, other):
            async with database.reading() as db:
                assert await db.run_sync(differences) == []


async def test_a_schema_applied_by_hand_to_sqlite_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    db = sqlite3.connect(path)
    db.executescript(schema_sql("sqlite"))
    db.close()
    await same(f"sqlite:///{path}")


async def test_a_schema_applied_by_hand_to_postgresql_is_the_same(postgres: Postgres) -> None:
    url = await postgres.new(migrated=False)
    connection = await asyncpg.connect(url)
    await connection.execute(schema_sql("postgresql"))
    await connection.close()
    await same(url)


async def same(url: str) -> None:
    async with opened(url) as database:
        await migrate(database)
        async with database.reading() as db:
            assert await db.run_sync(differences) == []


async def test_a_database_of_a_newer_version_is_left_alone(database: Database) -> None:
    async with database.writing() as db:
        await db.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match=r"it is at '9999'.* a newer Patchbay has changed it"):
        await migrate(database)
