"""Tests the store in a database: secrets at rest, shared access, and notification of changes."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import aclosing
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import text, update

from llm_router.clock import checkpoint
from llm_router.connections.access import SYSTEM
from llm_router.connections.record import Connection
from llm_router.connections.store import Query
from llm_router.errors import SealError
from llm_router.store.connections import SqlConnectionStore, open_store
from llm_router.store.crypto import Vault
from llm_router.store.database import Database
from llm_router.store.migrations import migrate
from llm_router.store.tables import connections, metadata
from tests.contracts import store_writer
from tests.contracts.databases import Postgres, Server, opened
from tests.contracts.stores import HEADERS, KEY, MASTER_KEY, VAULT, added, connection, tried

NEW_KEY = Fernet.generate_key().decode()


@pytest.fixture
def sql(database: Database) -> SqlConnectionStore:
    return SqlConnectionStore(database, VAULT)


def test_every_field_of_a_connection_has_its_column() -> None:
    of_the_store = {"api_key_sealed", "headers_sealed", "search"}
    columns = {column.name for column in connections.columns} - of_the_store
    assert columns == set(Connection.__slots__) - {"api_key", "headers"}


# ── Secrets ──────────────────────────────────────────────────────────────────────────────────────


async def test_no_table_holds_a_secret_that_can_be_read(sql: SqlConnectionStore) -> None:
    stored = await added(sql, api_key=KEY, headers=HEADERS)
    await sql.change(SYSTEM, stored.id, {"api_key": KEY + "2", "headers": {**HEADERS, "X": "y"}})
    await sql.remove(SYSTEM, (await added(sql, name="b", api_key=KEY)).id)
    async with sql.database.reading() as db:
        rows = [str((await db.execute(table.select())).all()) for table in metadata.sorted_tables]
    assert "X-Secret" in "".join(rows)
    assert not any(secret in "".join(rows) for secret in (KEY, HEADERS["X-Secret"]))


async def test_thousands_are_read_with_their_secrets_and_one_bad_row_hides_no_other(
    sql: SqlConnectionStore,
) -> None:
    many = [connection(f"c{number}", api_key=f"{KEY}{number}") for number in range(1_200)]
    stored = await sql.add(SYSTEM, many)
    bad = update(connections).where(connections.c.id == stored[7].id).values(timeout=-1.0)
    async with sql.database.writing() as db:
        await db.execute(bad)
    page = await sql.find(SYSTEM, Query(limit=None), secrets=True)
    assert {one.name: one.api_key for one in page.items} == {
        one.name: one.api_key for place, one in enumerate(many) if place != 7
    }
    assert (page.total, [*page.unreadable]) == (1_200, [stored[7].id])


async def test_no_file_holds_a_secret_that_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "store.sqlite3"
    async with opened(f"sqlite:///{path}") as database:
        await migrate(database)
        await added(SqlConnectionStore(database, VAULT), api_key=KEY, headers=HEADERS)
        files = list(path.parent.iterdir())
        assert len(files) > 1  # the write-ahead log, too
        assert {file.stat().st_mode & 0o077 for file in (*files, path.parent)} == {0}
        written = b"".join(file.read_bytes() for file in files)
    assert not any(secret.encode() in written for secret in (KEY, HEADERS["X-Secret"]))


@pytest.mark.parametrize("spoil", ["another row's", "another column's", "changed", "unknown key"])
async def test_a_tampered_secret_is_refused_and_hides_no_other(
    sql: SqlConnectionStore, spoil: str
) -> None:
    one = await added(sql, name="a", api_key=KEY, headers=HEADERS)
    other = await added(sql, name="b", api_key=KEY + "b")
    async with sql.database.writing() as db:
        rows = {row.id: row for row in await db.execute(connections.select())}
        sealed = {
            "another row's": rows[other.id].api_key_sealed,
            "another column's": rows[one.id].headers_sealed,
            "changed": rows[one.id].api_key_sealed.swapcase(),
            "unknown key": Vault([NEW_KEY]).seal(KEY, bound_to=f"llm_connections:{one.id}:api_key"),
        }[spoil]
        by_id = update(connections).where(connections.c.id == one.id)
        await db.execute(by_id.values(api_key_sealed=sealed))
    with pytest.raises(
        SealError, match=f"llm_connections:{one.id}:api_key .*enter the value again"
    ):
        await sql.get(SYSTEM, one.id, secrets=True)
    page = await sql.find(SYSTEM, Query(), secrets=True)
    assert [c.name for c in page.items] == ["b"]
    assert list(page.unreadable) == [one.id]
    assert (await sql.find(SYSTEM, Query())).total == 2
    await sql.change(SYSTEM, one.id, {"api_key": KEY})
    assert (await sql.get(SYSTEM, one.id, secrets=True)).api_key == KEY


async def test_an_invalid_row_does_not_hide_the_others(sql: SqlConnectionStore) -> None:
    one, _ = await added(sql, name="a"), await added(sql, name="b")
    async with sql.database.writing() as db:
        by_id = update(connections).where(connections.c.id == one.id)
        await db.execute(by_id.values(timeout=-1.0))
    page = await sql.find(SYSTEM, Query())
    assert [c.name for c in page.items] == ["b"]
    assert "timeout must be above 0 s" in page.unreadable[one.id]


# ── Real processes ───────────────────────────────────────────────────────────────────────────────


async def start(what: str, url: str) -> Process:
    """Starts a process that is ready to write and begins at a line on its standard input."""
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", store_writer.__name__, what, url, MASTER_KEY),
        stdin=PIPE, stdout=PIPE, cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert started.stdout is not None
    assert await started.stdout.readline() == b"ready\n"
    return started


@pytest.mark.timeout(300)
async def test_fifty_tasks_in_four_processes_edit_the_same_rows_and_no_update_is_lost(
    server: Server,
) -> None:
    url = await server.new()
    async with open_store(url, VAULT) as store:
        await store.add(SYSTEM, [connection(f"{n}", id=f"{n}") for n in range(2)])
        writers = await asyncio.gather(*(start("edit", url) for _ in range(4)))
        said = await asyncio.gather(*(writer.communicate(b"go\n") for writer in writers))
        assert [writer.returncode for writer in writers] == [0] * 4
        edits = 4 * store_writer.TASKS
        for stored in (await store.find(SYSTEM, Query())).items:
            assert (stored.priority, stored.version) == (edits, edits + 1)
            assert len(await store.audit(SYSTEM, target=stored.id)) == edits + 1
        assert await store.revision() == 1 + 2 * edits
    print(f"refused as stale and tried again: {sum(int(out) for out, _ in said)}")


async def test_acknowledged_changes_survive_a_kill(server: Server) -> None:
    url = await server.new()
    writer = await start("add", url)
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdin.write(b"go\n")
    acknowledged = [(await writer.stdout.readline()).decode().strip() for _ in range(20)]
    writer.send_signal(signal.SIGKILL)
    rest = (await writer.stdout.read()).decode().splitlines()
    assert await writer.wait() == -signal.SIGKILL
    async with open_store(url, VAULT) as store:
        page = await store.find(SYSTEM, Query(limit=None), secrets=True)
        assert {*acknowledged, *rest} <= {c.id for c in page.items}
        assert not page.unreadable
        assert len(await store.audit(SYSTEM, limit=10**6)) == page.total
        await added(store, name="after it")


async def test_processes_may_start_at_the_same_time_on_an_empty_database(server: Server) -> None:
    url = await server.new(migrated=False)
    starting = await asyncio.gather(*(start("migrate", url) for _ in range(3)))
    await asyncio.gather(*(process.communicate(b"go\n") for process in starting))
    assert [process.returncode for process in starting] == [0] * 3
    async with open_store(url, VAULT) as store:
        assert await store.revision() == 0


# ── Change feed ──────────────────────────────────────────────────────────────────────────────────


async def test_a_change_by_another_process_is_noticed(server: Server) -> None:
    url = await server.new()
    async with (
        open_store(url, VAULT) as mine,
        open_store(url, VAULT) as yours,
        aclosing(mine.changes()) as changes,
        asyncio.timeout(20),
    ):
        assert await anext(changes) == 0
        await tried(yours, (await added(yours)).id)
        while await anext(changes) < 2:
            pass


async def test_a_disconnected_listener_reconnects(postgres: Postgres) -> None:
    async with (
        open_store(await postgres.new(), VAULT) as store,
        aclosing(store.changes()) as changes,
        asyncio.timeout(30),
    ):
        assert await anext(changes) == 0
        assert await of_listeners(store, "pg_terminate_backend(pid)") == [True]
        await added(store)
        assert await anext(changes) == 1


async def test_a_closed_listener_leaves_no_connection_open(postgres: Postgres) -> None:
    async with open_store(await postgres.new(), VAULT) as store:
        waiting = asyncio.ensure_future(anext(changes := store.changes()))
        await waiting
        waiting = asyncio.ensure_future(anext(changes))
        await checkpoint()
        waiting.cancel()
        await asyncio.wait([waiting])
        await changes.aclose()
        assert await of_listeners(store, "pid") == []


async def of_listeners(store: SqlConnectionStore, what: str) -> list[object]:
    listening = "datname = current_database() AND query LIKE 'LISTEN%'"
    async with store.database.reading() as db:
        asked = text(f"SELECT {what} FROM pg_stat_activity WHERE {listening}")
        return list((await db.execute(asked)).scalars())
