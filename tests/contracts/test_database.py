"""Tests how a database is opened by its URL, its transactions, and its errors."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import aclosing, closing, nullcontext, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import StatementError

from llm_router.clock import checkpoint, utc_now
from llm_router.errors import ConfigurationError, StoreError
from llm_router.store.database import Database
from llm_router.store.tables import api_keys, leases, sign_ins
from tests.contracts.databases import PASSWORD, Postgres, Server, opened


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("sqlite:///a/b.db", "sqlite+aiosqlite:///a/b.db"),
        ("sqlite+aiosqlite:////a/b.db", "sqlite+aiosqlite:////a/b.db"),
        ("postgresql://u:p@h/d", "postgresql+asyncpg://u:***@h/d"),
        ("postgres://h:5433/d?sslmode=require", "postgresql+asyncpg://h:5433/d?ssl=require"),
        ("postgresql+psycopg://h/d", "postgresql+asyncpg://h/d"),
    ],
)
def test_a_url_may_be_written_in_several_ways(url: str, meant: str) -> None:
    assert Database(url).display_url == meant


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sk-secret", "must look like sqlite:///path/to/file or postgresql://"),
        ("mysql://u:sk-secret@h/d", "begins with 'mysql'; it must be sqlite:// or postgresql://"),
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "InMemoryConnectionStore"),
        ("sqlite:///file:a?mode=ro", "must name a file"),
    ],
)
def test_an_invalid_url_is_refused_without_showing_it(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Database(url)
    assert said in str(caught.value)
    assert "sk-secret" not in str(caught.value)


async def ask(database: Database) -> None:
    async with database.reading() as db:
        await db.execute(text("SELECT count(*) FROM store_leases"))


async def complaint(url: str) -> str:
    async with opened(url, patience=0.05) as database:
        with pytest.raises(StoreError) as caught:
            await ask(database)
        return str(caught.value)


async def test_a_database_without_tables_says_how_to_make_them(server: Server) -> None:
    assert "llm-router migrate" in await complaint(await server.new(migrated=False))


async def test_a_wrong_password_is_reported_and_not_shown(postgres: Postgres) -> None:
    said = await complaint(postgres.url("migrated", password="sk-wrong"))
    assert "check the user and the password" in said
    assert "sk-wrong" not in said


async def test_a_missing_database_is_reported(postgres: Postgres) -> None:
    said = await complaint(postgres.url("nowhere"))
    assert "check the database's name" in said
    assert PASSWORD not in said


async def test_a_server_that_is_down_is_reported(unused_url: str) -> None:
    said = await complaint(unused_url.replace("http://", "postgresql://u:sk-secret@"))
    assert "check that it runs, and the address" in said
    assert "sk-secret" not in said


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no database\n" * 200)


@pytest.mark.parametrize(
    ("spoil", "remedy"), [(garbage, "name another file"), (Path.mkdir, "name another file")]
)
async def test_a_file_that_is_not_a_database_is_reported(
    tmp_path: Path, spoil: Callable[[Path], None], remedy: str
) -> None:
    path = tmp_path / "store.sqlite3"
    spoil(path)
    said = await complaint(f"sqlite:///{path}")
    assert str(path) in said
    assert remedy in said


@pytest.mark.parametrize("folder", ["file", "file/deeper"])
async def test_a_file_in_place_of_its_folder_is_reported(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    said = await complaint(f"sqlite:///{tmp_path}/{folder}/store.sqlite3")
    assert "a file is where its folder should be: name another file" in said


async def test_a_lock_held_for_too_long_is_reported_and_the_file_works_afterwards(
    tmp_path: Path,
) -> None:
    path = tmp_path / "store.sqlite3"
    async with opened(f"sqlite:///{path}", patience=0.05) as database:
        await write(database, "CREATE TABLE t (x INTEGER)")
        lock = sqlite3.connect(path, isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked; another process has held it"):
            await write(database, "INSERT INTO t VALUES (1)")
        lock.execute("ROLLBACK")
        lock.close()
        await write(database, "INSERT INTO t VALUES (1)")


async def test_a_line_of_writers_that_moves_is_not_a_locked_file(tmp_path: Path) -> None:
    # Fifty of these take longer together than a writer waits, and each alone a fraction of that.
    slow = (
        "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE"
        " i < 100000) SELECT count(*) FROM n"
    )
    async with opened(f"sqlite:///{tmp_path}/a.db", patience=0.5) as database:
        await write(database, "CREATE TABLE t (x INTEGER)")
        async with asyncio.TaskGroup() as tasks:
            for _ in range(50):
                tasks.create_task(write(database, slow))
        async with database.reading() as db:
            assert (await db.execute(text("SELECT count(*) FROM t"))).scalar() == 50


async def test_a_line_of_readers_that_moves_is_no_lack_of_connections(server: Server) -> None:
    # As many of these take longer together than any of them waits where the line stands still.
    slow = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"
        " SELECT count(*) FROM n"
    )
    database = Database(await server.new(), patience=0.2, answer_within=4.0, max_connections=2)

    async def read() -> int:
        async with database.reading() as db:
            return int((await db.execute(text(slow))).scalar_one())

    async with aclosing(database):
        counted = await asyncio.gather(*(read() for _ in range(50)))
    assert counted == [100_000] * 50


async def write(database: Database, *statements: str) -> None:
    async with database.writing() as db:
        for statement in statements:
            await db.execute(text(statement))


async def test_a_transaction_that_raises_is_rolled_back(database: Database) -> None:
    with pytest.raises(StoreError):
        await write(database, "INSERT INTO store_counters VALUES ('x', 1)", "nonsense")
    async with database.reading() as db:
        names = (await db.execute(text("SELECT name FROM store_counters"))).scalars().all()
    assert {*names} == {"connections", "usage"}


async def test_a_time_comes_back_aware_and_in_utc(database: Database) -> None:
    until = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=timezone(timedelta(hours=-7)))
    async with database.writing() as db:
        await db.execute(leases.insert().values(name="a", holder="b", until=until))
        (found,) = (await db.execute(leases.select())).all()
    assert found.until == until
    assert found.until.utcoffset() == timedelta(0)


async def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    naive = utc_now().replace(tzinfo=None)
    with pytest.raises(StoreError) as caught:
        async with database.writing() as db:
            await db.execute(leases.insert().values(name="a", holder="b", until=naive))
    assert isinstance(caught.value.__cause__, StatementError)
    assert "without a zone" in str(caught.value)


async def test_a_row_is_deleted_with_its_parent(database: Database) -> None:
    now = utc_now()
    common = {"name": "", "owner": "", "team": "", "created_at": now}
    key = {"id": "k", "hash": "h", "last4": "", "role": "viewer", "created_by": "", **common}
    async with database.writing() as db:
        await db.execute(api_keys.insert().values(key))
        of_it = {"hash": "s", "api_key_id": "k", "created_at": now, "expires_at": now}
        await db.execute(sign_ins.insert().values(of_it))
        await db.execute(api_keys.delete())
        assert (await db.execute(sign_ins.select())).all() == []


async def test_an_invalidated_connection_unlocks_the_file_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    async with opened(url, patience=0.2) as mine, opened(url, patience=0.2) as yours:
        await write(mine, "CREATE TABLE t (i INTEGER)", "INSERT INTO t VALUES (1), (2)")
        async with mine.engine.connect() as db:
            driver = (await db.get_raw_connection()).driver_connection
            assert driver
            await driver.execute("BEGIN IMMEDIATE")
            unread = await driver.execute("INSERT INTO t SELECT i FROM t RETURNING i")
            await db.invalidate()  # as after a cancellation
        await write(yours, "DELETE FROM t")
        assert unread  # a reference remains, as in the traceback of a cancelled task


async def answer_cancellation_with_an_error(database: Database) -> None:
    with database.translated_errors():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionResetError("the driver hung up") from None


async def test_a_driver_that_answers_a_cancellation_with_an_error_is_cancelled(
    tmp_path: Path,
) -> None:
    async with opened(f"sqlite:///{tmp_path}/db") as database:
        task = asyncio.create_task(answer_cancellation_with_an_error(database))
        await checkpoint()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()


async def test_an_error_after_a_cancellation_that_was_answered_is_one_of_the_database(
    tmp_path: Path,
) -> None:
    async def fail_later(database: Database) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        with database.translated_errors():
            raise ConnectionResetError("the server hung up")

    async with opened(f"sqlite:///{tmp_path}/db") as database:
        task = asyncio.create_task(fail_later(database))
        await checkpoint()
        task.cancel()
        with pytest.raises(StoreError):
            await task


async def test_only_a_write_that_may_be_lost_waits_for_no_disk(tmp_path: Path) -> None:
    async with opened(f"sqlite:///{tmp_path}/db") as database:

        async def synchronous(*, is_passing: bool) -> int:
            async with database.writing(is_passing=is_passing) as db:
                return int((await db.execute(text("PRAGMA synchronous"))).scalar_one())

        normal, full = 1, 2
        assert await synchronous(is_passing=True) == normal
        assert await synchronous(is_passing=False) == full


@pytest.mark.parametrize("is_single", [True, False])
async def test_a_single_statement_locks_the_file_no_longer_than_it_runs(
    tmp_path: Path, *, is_single: bool
) -> None:
    path = tmp_path / "store.sqlite3"
    async with opened(f"sqlite:///{path}") as database:
        await write(database, "CREATE TABLE t (x INTEGER)")
        with closing(sqlite3.connect(path, 0, isolation_level=None)) as other:
            async with database.writing(is_single=is_single) as db:
                await db.execute(text("INSERT INTO t VALUES (1)"))
                locked = nullcontext() if is_single else pytest.raises(sqlite3.OperationalError)
                with locked:
                    other.execute("INSERT INTO t VALUES (2)")
            [(count,)] = other.execute("SELECT count(*) FROM t")
    assert count == (2 if is_single else 1)


async def test_a_write_to_postgresql_that_may_be_lost_waits_for_no_disk(
    postgres: Postgres,
) -> None:
    async with opened(postgres.url("migrated")) as database:

        async def synchronous(*, is_passing: bool) -> str:
            async with database.writing(is_passing=is_passing) as db:
                return str((await db.execute(text("SHOW synchronous_commit"))).scalar_one())

        assert await synchronous(is_passing=True) == "off"
        assert await synchronous(is_passing=False) == "on"
