"""A router over a store: each change holds from the next reply on, and none costs a word."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass

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
"""Longer than a change takes to be heard of."""
OTHER = Script(words=["two"])


@dataclass
class Told:
    """The texts and the speakers of one reply, as they come."""

    text: str = ""
    said_by: str = ""


@asynccontextmanager
async def following(store: ConnectionStore) -> AsyncIterator[Router]:
    async with open_router(StoreSubscription(store, WORKER), policy="priority") as router:
        yield router


async def until(condition: Callable[[], bool]) -> None:
    """Until it holds, which a change takes two seconds to bring about at the very most."""
    async with asyncio.timeout(10.0):
        while not condition():  # noqa: ASYNC110  a router tells nobody that it has heard
            await asyncio.sleep(0.01)


def endpoint(router: Router, name: str = "a") -> Connection | None:
    return next((e.connection for e in router.pool.endpoints if e.name == name), None)


async def answer(router: Router) -> Told:
    told = Told()
    async with aclosing(router.stream(HELLO)) as reply:
        async for chunk in reply:
            told.text += chunk.text
            told.said_by = chunk.connection or told.said_by
    return told


@dataclass
class House:
    store: ConnectionStore
    router: Router
    a: FaultyServer
    b: FaultyServer
    id: str
    """Of the connection that is asked first."""


@pytest.fixture
async def house(store: ConnectionStore) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        a = await stack.enter_async_context(FaultyServer(FIRST))
        b = await stack.enter_async_context(FaultyServer(OTHER))
        first = await added(store, base_url=a.base_url, api_key=KEY, priority=1)
        await added(store, name="b", base_url=b.base_url, priority=2)
        router = await stack.enter_async_context(following(store))
        yield House(store, router, a, b, first.id)


async def reprioritise(house: House) -> None:
    await house.store.change(SYSTEM, house.id, {"priority": 3})


async def deactivate(house: House) -> None:
    await house.store.change(SYSTEM, house.id, {"is_active": False})


async def withhold(house: House) -> None:
    await house.store.change(SYSTEM, house.id, {"use_in_livekit": False})


async def move(house: House) -> None:
    changes = {"base_url": house.b.base_url, "api_key": KEY}
    await house.store.change(SYSTEM, house.id, changes)


async def remove(house: House) -> None:
    await house.store.remove(SYSTEM, house.id)


@pytest.mark.parametrize(
    ("act", "next_one"),
    [(reprioritise, "b"), (deactivate, "b"), (withhold, "b"), (remove, "b"), (move, "a")],
)
async def test_a_change_holds_from_the_next_reply_and_the_one_under_way_is_whole(
    house: House, act: Callable[[House], Awaitable[None]], next_one: str
) -> None:
    before, known = endpoint(house.router), await house.store.revision()
    under_way = asyncio.create_task(answer(house.router))
    await house.a.received()
    await act(house)
    assert await house.store.revision() > known
    await until(lambda: endpoint(house.router) != before)
    assert not under_way.done()
    told = await answer(house.router)
    assert (told.text, told.said_by) == ("two", next_one)
    told = await under_way
    assert (told.text, told.said_by) == ("".join(FIRST.words), "a")
    assert len(house.a.requests) == 1


async def test_the_next_reply_uses_the_new_key(house: House) -> None:
    under_way = asyncio.create_task(answer(house.router))
    await house.a.received()
    await house.store.change(SYSTEM, house.id, {"api_key": KEY + "2"})
    await until(lambda: (now := endpoint(house.router)) is not None and now.api_key == KEY + "2")
    assert (await answer(house.router)).text == "".join(FIRST.words)
    assert (await under_way).text == "".join(FIRST.words)
    keys = [request.headers["authorization"] for request in house.a.requests]
    assert keys == [f"Bearer {KEY}", f"Bearer {KEY}2"]


async def test_a_new_connection_is_asked_and_so_is_one_that_comes_back(house: House) -> None:
    async with FaultyServer(Script(words=["three"])) as c:
        await added(house.store, name="c", base_url=c.base_url, priority=0)
        await until(lambda: endpoint(house.router, "c") is not None)
        assert (await answer(house.router)).said_by == "c"
    await deactivate(house)
    await until(lambda: endpoint(house.router) is None)
    await house.store.change(SYSTEM, house.id, {"is_active": True})
    await until(lambda: endpoint(house.router) is not None)


async def test_a_status_that_is_noted_changes_nothing_for_the_callers(house: House) -> None:
    before = house.router.pool.endpoints
    await tried(house.store, house.id, "overloaded", "HTTP 500")
    await until(lambda: (now := endpoint(house.router)) is not None and now.status == "error")
    assert house.router.pool.endpoints == before


async def test_names_that_two_owners_have_given_are_told_apart(store: ConnectionStore) -> None:
    for owner in (ANNA, BEN):
        await added(store, owner, visibility="everyone")
    async with following(store) as router:
        assert {e.name for e in router.pool.endpoints} == {"a (anna)", "a (ben)"}


async def test_an_unknown_provider_costs_the_others_nothing(
    store: ConnectionStore, caplog: pytest.LogCaptureFixture
) -> None:
    await added(store)
    async with following(store) as router:
        odd = await added(store, name="odd", provider="telepathy")
        await added(store, name="b")
        await until(lambda: endpoint(router, "b") is not None)
        assert {e.name for e in router.pool.endpoints} == {"a", "b"}
    (said,) = [line for line in caplog.messages if "telepathy" in line]
    assert said.startswith(f"connection {odd.id} cannot be used:")


async def test_one_whose_key_cannot_be_opened_any_more_goes_on_as_it_was_known(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    store = SqlConnectionStore(database, VAULT)
    kept = await added(store, api_key=KEY)
    async with following(store) as router:
        async with database.writing() as db:
            spoilt = update(connections).where(connections.c.id == kept.id)
            await db.execute(spoilt.values(api_key_sealed="spoilt"))
        await added(store, name="b")
        await until(lambda: endpoint(router, "b") is not None)
        known = endpoint(router)
        assert known is not None
        assert known.api_key == KEY
    assert sum(f"connection {kept.id} cannot be used" in line for line in caplog.messages) == 1
    assert KEY not in caplog.text


class Leaving(InMemoryConnectionStore):
    """One that can be away."""

    away = False

    async def find(self, actor: Actor, query: Query, *, secrets: bool = False) -> Page:
        if self.away:
            raise StoreError("database: gone; check that it runs")
        return await super().find(actor, query, secrets=secrets)


async def test_what_is_known_holds_while_the_store_is_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Leaving()
    await added(store)
    async with following(store) as router:
        store.away = True
        await added(store, name="b")
        await until(lambda: "until the store answers again" in caplog.text)
        await added(store, name="c")
        assert [e.name for e in router.pool.endpoints] == ["a"]
        store.away = False
        await until(lambda: len(router.pool.endpoints) == 3)
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1


async def test_a_store_that_is_away_from_the_start_is_an_error() -> None:
    store = Leaving()
    store.away = True
    with pytest.raises(StoreError):
        async with following(store):
            pass


@pytest.mark.parametrize("twice", ["name", "id"])
async def test_two_that_are_given_as_one_are_an_error(twice: str) -> None:
    both = [Connection(**{"id": str(n), "name": f"n{n}", twice: "same"}) for n in range(2)]  # type: ignore[arg-type]  # fields by name
    with pytest.raises(ConfigurationError, match=f"two connections have the {twice} 'same'"):
        async with open_router(both):
            pass
