"""A router over a store: a change takes effect with the next reply and interrupts none."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from sqlalchemy import update

from llm_router.assembly import open_router
from llm_router.connections.access import SYSTEM, Actor
from llm_router.connections.record import Connection
from llm_router.connections.store import ConnectionStore, Page, Query
from llm_router.errors import ConfigurationError, StoreError
from llm_router.routing.router import Router
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.database import Database
from llm_router.store.tables import connections
from llm_router.sync.subscription import StoreSubscription
from llm_router.testing import InMemoryConnectionStore
from llm_router.testing.server import FaultyServer, Script
from llm_router.types import ChatRequest
from tests.contracts.stores import ANNA, BEN, KEY, VAULT, WORKER, added, tried

HELLO = ChatRequest(messages=[{"role": "user", "content": "hello"}], integration="livekit")
FIRST = Script(words=[f"one{n} " for n in range(70)], gap=0.02)
"""Takes longer than a change takes to reach a router."""
OTHER = Script(words=["two"])


@dataclass
class Answer:
    """The text of one reply and the connection that gave it."""

    text: str = ""
    connection: str = ""


@asynccontextmanager
async def following(store: ConnectionStore) -> AsyncIterator[Router]:
    async with open_router(StoreSubscription(store, WORKER), policy="priority") as router:
        yield router


async def until(condition: Callable[[], bool]) -> None:
    """Waits until the condition holds; a change reaches a router within two seconds."""
    async with asyncio.timeout(10.0):
        while not condition():  # noqa: ASYNC110  a router signals no change
            await asyncio.sleep(0.01)


def endpoint(router: Router, name: str = "a") -> Connection | None:
    return next((e.connection for e in router.pool.endpoints if e.name == name), None)


async def answer(router: Router) -> Answer:
    got = Answer()
    async with aclosing(router.stream(HELLO)) as reply:
        async for chunk in reply:
            got.text += chunk.text
            got.connection = chunk.connection or got.connection
    return got


@dataclass
class Setup:
    store: ConnectionStore
    router: Router
    a: FaultyServer
    b: FaultyServer
    id: str
    """Id of the connection with the highest priority."""


@pytest.fixture
async def setup(store: ConnectionStore) -> AsyncIterator[Setup]:
    async with AsyncExitStack() as stack:
        a = await stack.enter_async_context(FaultyServer(FIRST))
        b = await stack.enter_async_context(FaultyServer(OTHER))
        first = await added(store, base_url=a.base_url, api_key=KEY, priority=1)
        await added(store, name="b", base_url=b.base_url, priority=2)
        router = await stack.enter_async_context(following(store))
        yield Setup(store, router, a, b, first.id)


async def reprioritise(setup: Setup) -> None:
    await setup.store.change(SYSTEM, setup.id, {"priority": 3})


async def deactivate(setup: Setup) -> None:
    await setup.store.change(SYSTEM, setup.id, {"is_active": False})


async def withhold(setup: Setup) -> None:
    await setup.store.change(SYSTEM, setup.id, {"use_in_livekit": False})


async def move(setup: Setup) -> None:
    changes = {"base_url": setup.b.base_url, "api_key": KEY}
    await setup.store.change(SYSTEM, setup.id, changes)


async def remove(setup: Setup) -> None:
    await setup.store.remove(SYSTEM, setup.id)


@pytest.mark.parametrize(
    ("act", "next_one"),
    [(reprioritise, "b"), (deactivate, "b"), (withhold, "b"), (remove, "b"), (move, "a")],
)
async def test_a_change_holds_from_the_next_reply_and_the_one_in_progress_is_whole(
    setup: Setup, act: Callable[[Setup], Awaitable[None]], next_one: str
) -> None:
    before, known = endpoint(setup.router), await setup.store.revision()
    in_progress = asyncio.create_task(answer(setup.router))
    await setup.a.received()
    await act(setup)
    assert await setup.store.revision() > known
    await until(lambda: endpoint(setup.router) != before)
    assert not in_progress.done()
    got = await answer(setup.router)
    assert (got.text, got.connection) == ("two", next_one)
    got = await in_progress
    assert (got.text, got.connection) == ("".join(FIRST.words), "a")
    assert len(setup.a.requests) == 1


async def test_the_next_reply_uses_the_new_key(setup: Setup) -> None:
    in_progress = asyncio.create_task(answer(setup.router))
    await setup.a.received()
    await setup.store.change(SYSTEM, setup.id, {"api_key": KEY + "2"})
    await until(lambda: (now := endpoint(setup.router)) is not None and now.api_key == KEY + "2")
    assert (await answer(setup.router)).text == "".join(FIRST.words)
    assert (await in_progress).text == "".join(FIRST.words)
    keys = [request.headers["authorization"] for request in setup.a.requests]
    assert keys == [f"Bearer {KEY}", f"Bearer {KEY}2"]


async def test_a_new_connection_is_asked_and_so_is_one_that_comes_back(setup: Setup) -> None:
    async with FaultyServer(Script(words=["three"])) as c:
        await added(setup.store, name="c", base_url=c.base_url, priority=0)
        await until(lambda: endpoint(setup.router, "c") is not None)
        assert (await answer(setup.router)).connection == "c"
    await deactivate(setup)
    await until(lambda: endpoint(setup.router) is None)
    await setup.store.change(SYSTEM, setup.id, {"is_active": True})
    await until(lambda: endpoint(setup.router) is not None)


async def test_a_recorded_status_changes_no_endpoint(setup: Setup) -> None:
    before = setup.router.pool.endpoints
    await tried(setup.store, setup.id, "overloaded", "HTTP 500")
    await until(lambda: (now := endpoint(setup.router)) is not None and now.status == "error")
    assert setup.router.pool.endpoints == before


async def test_names_that_two_owners_have_given_are_made_distinct(store: ConnectionStore) -> None:
    for owner in (ANNA, BEN):
        await added(store, replace(owner, may_serve_calls=True), visibility="everyone")
    async with following(store) as router:
        assert {e.name for e in router.pool.endpoints} == {"a (anna)", "a (ben)"}


async def test_an_unknown_provider_does_not_affect_other_connections(
    store: ConnectionStore, caplog: pytest.LogCaptureFixture
) -> None:
    await added(store)
    async with following(store) as router:
        unknown = await added(store, name="unknown", provider="telepathy")
        await added(store, name="b")
        await until(lambda: endpoint(router, "b") is not None)
        assert {e.name for e in router.pool.endpoints} == {"a", "b"}
    (said,) = [line for line in caplog.messages if "telepathy" in line]
    assert said.startswith(f"connection {unknown.id} cannot be used:")


async def test_a_connection_whose_key_cannot_be_opened_any_more_stays_as_it_was(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    store = SqlConnectionStore(database, VAULT)
    stored = await added(store, api_key=KEY)
    async with following(store) as router:
        async with database.writing() as db:
            spoilt = update(connections).where(connections.c.id == stored.id)
            await db.execute(spoilt.values(api_key_sealed="spoilt"))
        await added(store, name="b")
        await until(lambda: endpoint(router, "b") is not None)
        known = endpoint(router)
        assert known is not None
        assert known.api_key == KEY
    assert sum(f"connection {stored.id} cannot be used" in line for line in caplog.messages) == 1
    assert KEY not in caplog.text


class BreakableStore(InMemoryConnectionStore):
    """Raises StoreError while `is_broken` is set."""

    is_broken = False

    async def find(self, actor: Actor, query: Query, *, secrets: bool = False) -> Page:
        if self.is_broken:
            raise StoreError("database: gone; check that it runs")
        return await super().find(actor, query, secrets=secrets)


async def test_known_connections_stay_while_the_store_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = BreakableStore()
    await added(store)
    async with following(store) as router:
        store.is_broken = True
        await added(store, name="b")
        await until(lambda: "until the store answers again" in caplog.text)
        await added(store, name="c")
        assert [e.name for e in router.pool.endpoints] == ["a"]
        store.is_broken = False
        await until(lambda: len(router.pool.endpoints) == 3)
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1


async def test_a_store_that_fails_at_the_start_is_an_error() -> None:
    store = BreakableStore()
    store.is_broken = True
    with pytest.raises(StoreError):
        async with following(store):
            pass


@pytest.mark.parametrize("twice", ["name", "id"])
async def test_two_connections_with_one_name_or_id_are_an_error(twice: str) -> None:
    both = [Connection(**{"id": str(n), "name": f"n{n}", twice: "same"}) for n in range(2)]  # type: ignore[arg-type]  # fields by name
    with pytest.raises(ConfigurationError, match=f"two connections have the {twice} 'same'"):
        async with open_router(both):
            pass
