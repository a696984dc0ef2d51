"""Tests that migrations make the defined tables, however and however often they run."""

import asyncio
import sqlite3
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # ships no types
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from llm_router.clock import checkpoint
from llm_router.errors import StoreError
from llm_router.store.connections import open_store
from llm_router.store.database import Database
from llm_router.store.migrations import migrate, newest_revision, schema_sql, steps
from llm_router.store.tables import metadata
from tests.contracts import halting_migration
from tests.contracts.databases import Files, Postgres, Server, back_to, opened
from tests.contracts.stores import VAULT, added

CHECKED = (
    "INSERT INTO llm_connection_health_checks (connection_id, at, outcome, detail)"
    " VALUES ('own', '2026-01-01 00:00:00', 'ok', '')"
)


def differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


def tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


async def test_migrations_make_the_defined_tables(database: Database) -> None:
    async with database.reading() as db:
        assert await db.run_sync(differences) == []
        assert await db.run_sync(tables) == {*metadata.tables, "alembic_version"}


def test_the_names_of_the_files_say_which_revision_is_the_newest() -> None:
    scripts = ScriptDirectory.from_config(steps.config())
    assert newest_revision() == scripts.get_current_head()


async def test_migrating_again_changes_nothing(database: Database) -> None:
    async with database.writing() as db:
        await db.execute(text("UPDATE store_counters SET value = 7"))
    await migrate(database)
    async with database.reading() as db:
        assert {*(await db.execute(text("SELECT value FROM store_counters"))).scalars()} == {7}


async def test_an_interrupted_migration_leaves_nothing_and_can_be_repeated(
    server: Server,
) -> None:
    async with opened(await server.new(migrated=False)) as database:
        for pause in range(0, 200, 40):
            task = asyncio.create_task(migrate(database))
            for _ in range(pause):
                await checkpoint()
            task.cancel()
            await asyncio.wait([task])
            async with database.reading() as db:
                assert await db.run_sync(tables) in (set(), {*metadata.tables, "alembic_version"})
        await migrate(database)
        async with database.reading() as db:
            assert await db.run_sync(differences) == []


async def test_a_killed_migration_leaves_nothing_and_can_be_repeated(
    server: Server,
) -> None:
    url = await server.new(migrated=False)
    killed = 0
    async with opened(url) as database:
        while await killed_before(url, statement=(killed + 1) * 40):
            killed += 1
            async with database.reading() as db:
                assert await db.run_sync(tables) == set()
        assert killed > 1
        async with database.reading() as db:
            assert await db.run_sync(differences) == []


async def killed_before(url: str, statement: int) -> bool:
    """Kills the process before the statement; returns False if it finished before."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", halting_migration.__name__, url),
        stdin=PIPE, stdout=PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    for _ in range(statement):
        if not await process.stdout.readline():
            assert await process.wait() == 0
            return False
        process.stdin.write(b"go on\n")
    process.kill()
    await process.communicate()
    return True


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


async def test_old_prices_have_the_same_meaning_after_the_migration(database: Database) -> None:
    """Two zeros meant "by the list"; rows that refer to a connection stay."""
    async with open_store(str(database.url.render_as_string(hide_password=False)), VAULT) as store:
        for name, prices in {"listed": (None, None), "own": (0.5, 0.0), "both": (1, 2)}.items():
            await added(store, name=name, id=name, price_in=prices[0], price_out=prices[1])
    await back_to(database, "0001")
    async with database.writing() as db:
        await db.execute(text(CHECKED))
    await migrate(database)
    async with database.reading() as db:
        assert await db.run_sync(differences) == []
        asked = text("SELECT id, price_in, price_out FROM llm_connections")
        found = {row.id: (row.price_in, row.price_out) for row in await db.execute(asked)}
        assert found == {"listed": (None, None), "own": (0.5, 0.0), "both": (1.0, 2.0)}
        checks = text("SELECT count(*) FROM llm_connection_health_checks")
        assert (await db.execute(checks)).scalar_one() == 1


async def test_the_retries_of_the_past_have_no_limit_and_a_zero_of_today_stays(
    database: Database,
) -> None:
    """Nothing read the number, and 0 was what everyone had who set none."""

    async def retries() -> dict[str, int | None]:
        async with database.reading() as db:
            assert await db.run_sync(differences) == []
            rows = await db.execute(text("SELECT id, max_retries FROM llm_connections"))
            return {row.id: row.max_retries for row in rows}

    set_today: dict[str, int | None] = {"unset": None, "never": 0, "twice": 2}
    async with open_store(str(database.url.render_as_string(hide_password=False)), VAULT) as store:
        for name, number in set_today.items():
            await added(store, name=name, id=name, max_retries=number)
    await migrate(database)
    assert await retries() == set_today
    await back_to(database, "0005")
    await migrate(database)
    assert await retries() == {"unset": None, "never": None, "twice": 2}


async def test_a_database_of_a_newer_version_is_left_alone(database: Database) -> None:
    async with database.writing() as db:
        await db.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match=r"it is at '9999'.* a newer Patchbay has changed it"):
        await migrate(database)
