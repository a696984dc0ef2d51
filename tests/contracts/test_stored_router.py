"""A router over a store: the connections it uses, and what it shares with other processes."""

import asyncio
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
from tests.contracts.stores import ANNA, KEY, added, store_options

HELLO = ChatRequest(messages=[{"role": "user", "content": "hello"}], integration="livekit")
FOUND, STORED = Script(words=["found"]), Script(words=["stored"])


@dataclass
class Setup:
    """A database, a server that is named in a file, and one to be stored."""

    options: StoreOptions
    found: FaultyServer
    other: FaultyServer
    store: SqlConnectionStore

    @asynccontextmanager
    async def call(
        self, known: KnownConnections | None = None, policy: str = "priority"
    ) -> AsyncIterator[Router]:
        known = known or await load_known(self.options, {})
        async with open_stored_router(self.options, known, policy=policy) as router:
            yield router

    async def add(self, **fields: Any) -> str:
        given: dict[str, Any] = {
            "base_url": self.other.base_url,
            "model_name": "m",
            "api_key": KEY,
            **fields,
        }
        return (await added(self.store, **given)).id


@pytest.fixture
async def setup(server: Server, tmp_path: Path) -> AsyncIterator[Setup]:
    url = await server.new(migrated=False)
    async with AsyncExitStack() as stack:
        found = await stack.enter_async_context(FaultyServer(FOUND))
        other = await stack.enter_async_context(FaultyServer(STORED))
        options = store_options(url, tmp_path, found)
        await stored_router.prepare_database(options)
        database = await stack.enter_async_context(opened(url))
        vault = load_vault((), options.master_key_file, may_create=False)
        yield Setup(options, found, other, SqlConnectionStore(database, vault))


async def answer(router: Router) -> str:
    async with aclosing(router.stream(HELLO)) as reply:
        return "".join([chunk.text async for chunk in reply])


async def spoken(router: Router) -> str:
    """Returns what a caller would hear: words of a server, or a phrase."""
    async with aclosing(router.stream(replace(HELLO, speech=True))) as reply:
        return "".join([chunk.text async for chunk in reply])


def names(router: Router) -> list[str]:
    return [endpoint.name for endpoint in router.pool.endpoints]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20.0):
        while not condition():  # noqa: ASYNC110  a router signals no change
            await asyncio.sleep(0.01)


# ── Connections in use ───────────────────────────────────────────────────────────────────────────


async def test_found_connections_are_used_only_while_none_is_stored(
    setup: Setup,
) -> None:
    async with setup.call() as router:
        assert names(router) == ["named"]
        assert await answer(router) == "found"
        stored_id = await setup.add()
        await until(lambda: names(router) == ["a"])
        assert await answer(router) == "stored"
        await setup.store.change(SYSTEM, stored_id, {"is_active": False})
        await until(lambda: names(router) == ["named"])
        assert await answer(router) == "found"


async def test_a_call_uses_connections_stored_after_its_process_started(
    setup: Setup,
) -> None:
    known = await load_known(setup.options, {})
    await setup.add()
    async with setup.call(known) as router:
        await until(lambda: names(router) == ["a"])
        assert await answer(router) == "stored"
    assert setup.other.requests[0].headers["authorization"] == f"Bearer {KEY}"


async def test_found_connections_are_used_if_those_stored_are_not_flagged_for_livekit(
    setup: Setup,
) -> None:
    await setup.add(use_in_livekit=False)
    async with setup.call() as router:
        assert names(router) == ["named"]


async def test_found_connections_are_used_if_those_stored_cannot_be_used(
    setup: Setup,
) -> None:
    await setup.add(provider="telepathy")
    async with setup.call() as router:
        assert await answer(router) == "found"


async def test_a_phrase_is_said_and_no_rule_answers_if_every_stored_connection_fails(
    setup: Setup,
) -> None:
    await setup.add(priority=10**9)
    await setup.other.behave(Script(fault=Fault.REFUSE))
    async with setup.call() as router:
        assert await spoken(router) == router.phrases.pick("sorry", "en", 0)


async def test_a_connection_of_an_editor_is_dialled_only_at_allowed_addresses(
    setup: Setup,
) -> None:
    address = setup.other.base_url
    stored = await added(setup.store, ANNA, base_url=address, model_name="m", visibility="everyone")
    await setup.store.change(SYSTEM, stored.id, {"use_in_livekit": True})  # approved for calls
    async with setup.call() as router:
        assert await spoken(router) == router.phrases.pick("sorry", "en", 0)
    assert setup.other.connections == 0
    opened_up = replace(setup, options=replace(setup.options, allowed_addresses=("127.0.0.1",)))
    async with opened_up.call() as router:
        assert await answer(router) == "stored"
    # An admin who names the address vouches for it, from the next reply on.
    async with setup.call() as router:
        await setup.store.change(SYSTEM, stored.id, {"base_url": address})
        await until(lambda: not router.pool.endpoints[0].connection.is_guarded)
        assert await answer(router) == "stored"


# ── A database that does not answer ──────────────────────────────────────────────────────────────


@pytest.fixture(params=["refuses", "is silent"])
async def dead_url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """Yields the URL of a database that refuses connections or never answers."""
    async with listening() as silent:
        url = url_of(silent)
        if request.param == "refuses":
            silent.close()
        yield url


@asynccontextmanager
async def listening() -> AsyncIterator[asyncio.Server]:
    """Opens a server that accepts every connection and never answers."""

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
async def test_a_call_without_a_database_uses_the_connections_its_process_knew(
    dead_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with FaultyServer(FOUND) as found, FaultyServer(STORED) as other:
        here = store_options(f"sqlite:///{tmp_path}/here.sqlite3", tmp_path, found)
        await stored_router.prepare_database(here)
        async with opened(here.database) as database:
            vault = load_vault((), here.master_key_file)
            store = SqlConnectionStore(database, vault)
            await added(store, base_url=other.base_url, model_name="m", api_key=KEY)
        known = await load_known(here, {})
        async with open_stored_router(replace(here, database=dead_url), known) as router:
            assert await answer(router) == "stored"
    assert "connections stay as they are until the store answers again" in caplog.text
    assert "usage of 1 attempts is lost" in caplog.text
    assert KEY not in caplog.text
    assert "pg-secret" not in caplog.text


async def test_a_process_that_finds_no_tables_uses_found_connections(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = await server.new(migrated=False)
    if url.startswith("sqlite"):  # a file that is not there yet would be no news
        await asyncio.to_thread(Path(url.removeprefix("sqlite:///")).touch)
    async with FaultyServer(FOUND) as found:
        known = await load_known(store_options(url, tmp_path, found), {})
    assert [c.name for c in known.selected.connections] == ["named"]
    assert "the stored connections are not known yet" in caplog.text


async def test_a_call_that_began_without_the_database_follows_it_once_it_answers(
    setup: Setup,
) -> None:
    known = await load_known(setup.options, {})
    await setup.add()
    async with setup.store.database.writing() as db:
        await db.execute(text("ALTER TABLE llm_connections RENAME TO elsewhere"))
    async with setup.call(known) as router:
        assert await answer(router) == "found"
        async with setup.store.database.writing() as db:
            await db.execute(text("ALTER TABLE elsewhere RENAME TO llm_connections"))
        await until(lambda: names(router) == ["a"])


async def test_a_call_goes_on_without_its_scoreboard(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    async with setup.call() as router:
        assert await answer(router) == "found"
        async with setup.store.database.writing() as db:
            await db.execute(text("DROP TABLE scoreboard"))
        await until(lambda: "this process knows only its own measurements" in caplog.text)
        assert await answer(router) == "found"


async def test_without_the_master_key_a_call_uses_found_connections(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    await setup.add()
    setup.options.master_key_file.unlink()
    async with setup.call() as router:
        assert await answer(router) == "found"
    assert "put the file back" in caplog.text
    with pytest.raises(ConfigurationError, match="put the file back"):
        await stored_router.prepare_database(setup.options)


# ── Shared with other processes ──────────────────────────────────────────────────────────────────


async def test_a_breaker_that_one_call_opened_is_open_in_the_others(setup: Setup) -> None:
    await setup.found.behave(Script(fault=Fault.STATUS, status=401))
    async with setup.call() as one, setup.call() as other:
        await spoken(one)
        await until(lambda: other.pool.endpoints[0].breaker.record().is_open)
        assert other.pool.endpoints[0].breaker.record().reason == FailureClass.REJECTED_KEY
    async with setup.call() as later:
        await until(lambda: later.pool.endpoints[0].breaker.record().is_open)


async def test_every_attempt_is_in_the_usage_log_when_the_call_has_ended(setup: Setup) -> None:
    stored_id = await setup.add(base_url=setup.found.base_url, name="first", priority=0)
    await setup.add(name="second", priority=1)
    await setup.found.behave(Script(fault=Fault.REFUSE))
    async with setup.call() as router:
        assert await answer(router) == "stored"
    columns = usage.c.connection_name, usage.c.role, usage.c.outcome, usage.c.integration
    async with setup.store.database.reading() as db:
        rows = (await db.execute(select(usage.c.connection_id, *columns))).all()
    assert [tuple(row)[1:] for row in rows] == [
        ("first", "first", "unreachable", "livekit"),
        ("second", "failover", "won", "livekit"),
    ]
    assert rows[0].connection_id == stored_id


async def test_a_limit_that_one_call_reached_holds_in_the_next(setup: Setup) -> None:
    await setup.add(rate_limit_rpm=1)
    async with setup.call() as router:
        assert await answer(router) == "stored"
    async with setup.call() as router:
        [limited] = router.pool.endpoints
        await until(lambda: not limited.may_start(router.clock.now()))
        assert await spoken(router) != "stored"


async def test_processes_that_start_at_once_on_an_empty_database_share_one_master_key(
    server: Server, tmp_path: Path
) -> None:
    async with FaultyServer(FOUND) as found:
        options = store_options(await server.new(migrated=False), tmp_path, found)
        await asyncio.gather(*(stored_router.prepare_database(options) for _ in range(3)))
        known = await load_known(options, {})
    assert known.stored == ()
    text = options.master_key_file.read_text()
    assert sum(not line.startswith("#") for line in text.splitlines()) == 1
