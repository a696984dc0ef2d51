"""What a call's process asks: what is stored, else what was found; and what it tells the others."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from llm_router import stored_router
from llm_router.connections.access import SYSTEM
from llm_router.errors import ConfigurationError
from llm_router.failures import FailureClass
from llm_router.routing.router import Router
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.crypto import load_vault
from llm_router.store.tables import usage
from llm_router.stored_router import KnownConnections, StoreOptions, load_known, open_stored_router
from llm_router.testing.server import Fault, FaultyServer, Script
from llm_router.types import ChatRequest
from tests.contracts.databases import Server, opened
from tests.contracts.stores import ANNA, KEY, added

HELLO = ChatRequest(messages=[{"role": "user", "content": "hello"}], integration="livekit")
FOUND, STORED = Script(words=["found"]), Script(words=["stored"])


@dataclass
class House:
    """A database, a server that a file names, and one to be stored."""

    lines: StoreOptions
    found: FaultyServer
    other: FaultyServer
    store: SqlConnectionStore

    @asynccontextmanager
    async def call(
        self, known: KnownConnections | None = None, policy: str = "priority"
    ) -> AsyncIterator[Router]:
        known = known or await load_known(self.lines, {})
        async with open_stored_router(self.lines, known, policy=policy) as router:
            yield router

    async def keep(self, **fields: Any) -> str:
        given: dict[str, Any] = {
            "base_url": self.other.base_url,
            "model_name": "m",
            "api_key": KEY,
            **fields,
        }
        return (await added(self.store, **given)).id


def settled(url: str, folder: Path, server: FaultyServer) -> StoreOptions:
    """The folder's file names the server; its master key is made when it is needed."""
    row = {"name": "named", "base_url": server.base_url, "model_name": "m"}
    (folder / "connections.json").write_text(json.dumps([row]))
    return StoreOptions(
        database=url,
        master_key_file=folder / "master.key",
        connections_file=folder / "connections.json",
    )


@pytest.fixture
async def house(server: Server, tmp_path: Path) -> AsyncIterator[House]:
    url = await server.new(migrated=False)
    async with AsyncExitStack() as stack:
        found = await stack.enter_async_context(FaultyServer(FOUND))
        other = await stack.enter_async_context(FaultyServer(STORED))
        lines = settled(url, tmp_path, found)
        await stored_router.prepare_database(lines)
        database = await stack.enter_async_context(opened(url))
        vault = load_vault((), lines.master_key_file, may_create=False)
        yield House(lines, found, other, SqlConnectionStore(database, vault))


async def answer(router: Router) -> str:
    async with aclosing(router.stream(HELLO)) as reply:
        return "".join([chunk.text async for chunk in reply])


def names(router: Router) -> list[str]:
    return [endpoint.name for endpoint in router.pool.endpoints]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20.0):
        while not condition():  # noqa: ASYNC110  a router tells nobody that it has heard
            await asyncio.sleep(0.01)


# ── What is asked ────────────────────────────────────────────────────────────────────────────────


async def test_what_is_found_is_asked_while_nothing_is_stored_and_at_no_other_time(
    house: House,
) -> None:
    async with house.call() as router:
        assert names(router) == ["named", "offline"]
        assert await answer(router) == "found"
        kept = await house.keep()
        await until(lambda: names(router) == ["a", "offline"])
        assert await answer(router) == "stored"
        await house.store.change(SYSTEM, kept, {"is_active": False})
        await until(lambda: names(router) == ["named", "offline"])
        assert await answer(router) == "found"


async def test_a_call_asks_what_is_stored_by_then_whatever_its_process_knew(
    house: House,
) -> None:
    known = await load_known(house.lines, {})
    await house.keep()
    async with house.call(known) as router:
        await until(lambda: names(router) == ["a", "offline"])
        assert await answer(router) == "stored"
    assert house.other.requests[0].headers["authorization"] == f"Bearer {KEY}"


async def test_what_is_not_flagged_for_livekit_leaves_the_call_to_what_was_found(
    house: House,
) -> None:
    await house.keep(use_in_livekit=False)
    async with house.call() as router:
        assert names(router) == ["named", "offline"]


async def test_what_is_stored_and_cannot_be_asked_leaves_the_call_to_what_was_found(
    house: House,
) -> None:
    await house.keep(provider="telepathy")
    async with house.call() as router:
        assert await answer(router) == "found"


async def test_the_built_in_responder_stands_behind_what_is_stored(house: House) -> None:
    await house.keep(priority=10**9)
    await house.other.behave(Script(fault=Fault.REFUSE))
    async with house.call() as router:
        assert await answer(router) not in {"", "found", "stored"}


async def test_a_connection_of_an_editor_is_dialled_only_where_the_operator_lets_it_lead(
    house: House,
) -> None:
    address = house.other.base_url
    kept = await added(house.store, ANNA, base_url=address, model_name="m", visibility="everyone")
    async with house.call() as router:
        assert await answer(router) not in {"", "found", "stored"}
    assert house.other.connections == 0
    opened_up = replace(house, lines=replace(house.lines, allowed_addresses=("127.0.0.1",)))
    async with opened_up.call() as router:
        assert await answer(router) == "stored"
    # An admin who names the address vouches for it, from the next reply on.
    async with house.call() as router:
        await house.store.change(SYSTEM, kept.id, {"base_url": address})
        await until(lambda: not router.pool.endpoints[0].connection.is_guarded)
        assert await answer(router) == "stored"


# ── A database that is away ──────────────────────────────────────────────────────────────────────


@pytest.fixture(params=["refuses", "is silent"])
async def away(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The URL of a database that is not there, or might as well not be."""
    async with listening() as silent:
        url = url_of(silent)
        if request.param == "refuses":
            silent.close()
        yield url


@asynccontextmanager
async def listening() -> AsyncIterator[asyncio.Server]:
    """Somebody who takes every connection and says nothing."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        finally:
            writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        yield server


def url_of(server: asyncio.Server) -> str:
    return f"postgresql://anna:pg-secret@127.0.0.1:{server.sockets[0].getsockname()[1]}/none"


@pytest.mark.timeout(120)
async def test_a_call_is_answered_while_the_database_is_away_by_whom_its_process_knew(
    away: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with FaultyServer(FOUND) as found, FaultyServer(STORED) as other:
        here = settled(f"sqlite:///{tmp_path}/here.sqlite3", tmp_path, found)
        await stored_router.prepare_database(here)
        async with opened(here.database) as database:
            vault = load_vault((), here.master_key_file)
            store = SqlConnectionStore(database, vault)
            await added(store, base_url=other.base_url, model_name="m", api_key=KEY)
        known = await load_known(here, {})
        async with open_stored_router(replace(here, database=away), known) as router:
            assert await answer(router) == "stored"
    assert "connections stay as they are until the store answers again" in caplog.text
    assert "usage of 1 attempts is lost" in caplog.text
    assert KEY not in caplog.text
    assert "pg-secret" not in caplog.text


async def test_a_process_that_finds_no_tables_knows_what_was_found(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with FaultyServer(FOUND) as found:
        known = await load_known(settled(await server.new(migrated=False), tmp_path, found), {})
    assert [c.name for c in known.selected.connections] == ["named", "offline"]
    assert "the stored connections are not known yet" in caplog.text


async def test_a_call_that_began_without_the_database_follows_it_once_it_is_there(
    house: House,
) -> None:
    known = await load_known(house.lines, {})
    await house.keep()
    async with house.store.database.writing() as db:
        await db.execute(text("ALTER TABLE llm_connections RENAME TO elsewhere"))
    async with house.call(known) as router:
        assert await answer(router) == "found"
        async with house.store.database.writing() as db:
            await db.execute(text("ALTER TABLE elsewhere RENAME TO llm_connections"))
        await until(lambda: names(router) == ["a", "offline"])


async def test_a_call_goes_on_without_its_scoreboard(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    async with house.call() as router:
        assert await answer(router) == "found"
        async with house.store.database.writing() as db:
            await db.execute(text("DROP TABLE scoreboard"))
        await until(lambda: "this process knows only its own measurements" in caplog.text)
        assert await answer(router) == "found"


async def test_without_the_master_key_a_call_goes_by_what_was_found(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await house.keep()
    house.lines.master_key_file.unlink()
    async with house.call() as router:
        assert await answer(router) == "found"
    assert "put the file back" in caplog.text
    with pytest.raises(ConfigurationError, match="put the file back"):
        await stored_router.prepare_database(house.lines)


# ── What others are told ─────────────────────────────────────────────────────────────────────────


async def test_a_breaker_that_one_call_opened_is_open_in_the_others(house: House) -> None:
    await house.found.behave(Script(fault=Fault.STATUS, status=401))
    async with house.call() as one, house.call() as other:
        await answer(one)
        await until(lambda: other.pool.endpoints[0].breaker.record().is_open)
        assert other.pool.endpoints[0].breaker.record().reason == FailureClass.REJECTED_KEY
    async with house.call() as later:
        await until(lambda: later.pool.endpoints[0].breaker.record().is_open)


async def test_every_attempt_is_in_the_usage_log_when_the_call_has_ended(house: House) -> None:
    kept = await house.keep(base_url=house.found.base_url, name="first", priority=0)
    await house.keep(name="second", priority=1)
    await house.found.behave(Script(fault=Fault.REFUSE))
    async with house.call() as router:
        assert await answer(router) == "stored"
    columns = usage.c.connection_name, usage.c.role, usage.c.outcome, usage.c.integration
    async with house.store.database.reading() as db:
        rows = (await db.execute(select(usage.c.connection_id, *columns))).all()
    assert [tuple(row)[1:] for row in rows] == [
        ("first", "first", "unreachable", "livekit"),
        ("second", "failover", "won", "livekit"),
    ]
    assert rows[0].connection_id == kept


async def test_a_limit_that_one_call_reached_holds_in_the_next(house: House) -> None:
    await house.keep(rate_limit_rpm=1)
    async with house.call() as router:
        assert await answer(router) == "stored"
    async with house.call() as router:
        [limited, _] = router.pool.endpoints
        await until(lambda: not limited.may_start(router.clock.now()))
        assert await answer(router) != "stored"


async def test_processes_that_start_at_once_on_an_empty_database_share_one_master_key(
    server: Server, tmp_path: Path
) -> None:
    async with FaultyServer(FOUND) as found:
        lines = settled(await server.new(migrated=False), tmp_path, found)
        await asyncio.gather(*(stored_router.prepare_database(lines) for _ in range(3)))
        known = await load_known(lines, {})
    assert known.stored == ()
    text = lines.master_key_file.read_text()
    assert sum(not line.startswith("#") for line in text.splitlines()) == 1
