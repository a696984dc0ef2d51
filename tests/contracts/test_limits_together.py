"""Limits across processes: several count in one database at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from typing import Any

import pytest

from llm_router.assembly import open_router
from llm_router.connections.access import SYSTEM
from llm_router.errors import ReplyFailedError, StoreError
from llm_router.routing.limits import MINUTE, SLOT, Amount, Period, month_of, slot_of
from llm_router.routing.router import Router
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.database import Database
from llm_router.store.limits import SqlCounters
from llm_router.store.tables import limit_counts
from llm_router.sync.subscription import StoreSubscription
from llm_router.testing.server import FaultyServer, Script
from llm_router.types import ChatRequest
from tests.contracts.databases import Server, opened
from tests.contracts.stores import VAULT, WORKER, added

NOW = 1_763_726_400.0
SLOT_NOW, MONTH = slot_of(NOW), month_of(NOW)
HELLO = ChatRequest(messages=[{"role": "user", "content": "hello"}], integration="livekit")


@pytest.fixture
def counters(database: Database) -> SqlCounters:
    return SqlCounters(database)


async def test_counts_of_several_processes_add_up(server: Server) -> None:
    url = await server.new()
    async with opened(url) as one, opened(url) as other:
        counted = {name: {SLOT_NOW: Amount(1, 10), MONTH: Amount(1, 10, 0.25)} for name in "ab"}
        work = [
            SqlCounters(database).exchange(counted, "", NOW)
            for database in (one, other)
            for _ in range(20)
        ]
        await asyncio.gather(*work)
        known = await SqlCounters(one).exchange({}, "ab", NOW)
    assert known == {
        name: {SLOT_NOW: Amount(40, 400), MONTH: Amount(40, 400, 10.0)} for name in "ab"
    }


async def test_an_exchange_returns_only_the_requested_counts_with_its_own_included(
    counters: SqlCounters,
) -> None:
    await counters.exchange({"a": {SLOT_NOW: Amount(1)}, "b": {SLOT_NOW: Amount(1)}}, "", NOW)
    known = await counters.exchange({"a": {SLOT_NOW: Amount(2)}}, "a", NOW)
    assert known == {"a": {SLOT_NOW: Amount(3)}}


async def test_only_counts_of_current_periods_are_returned(counters: SqlCounters) -> None:
    long_ago, last = NOW - MINUTE - SLOT, slot_of(NOW - MINUTE)
    before = month_of(MONTH.begins - 1.0)
    counted = {period: Amount(1) for period in (slot_of(long_ago), last, before, MONTH)}
    known = await counters.exchange({"a": counted}, "a", NOW)
    assert set(known["a"]) == {last, MONTH}


async def test_old_slots_are_removed_and_months_stay(
    counters: SqlCounters, database: Database
) -> None:
    before = month_of(MONTH.begins - 1.0)
    await counters.exchange({"a": {SLOT_NOW: Amount(1), before: Amount(1)}}, "", NOW)
    await counters.exchange({"a": {slot_of(NOW + 3_600): Amount(1)}}, "", NOW + 3_600)
    async with database.reading() as db:
        left = {Period(row.unit, row.begins) for row in await db.execute(limit_counts.select())}
    assert left == {slot_of(NOW + 3_600), before}


async def test_a_database_without_tables_is_an_error_with_a_remedy(server: Server) -> None:
    async with opened(await server.new(migrated=False)) as database:
        with pytest.raises(StoreError, match="llm-router migrate"):
            await SqlCounters(database).exchange({}, "a", NOW)


# ── Two routers ──────────────────────────────────────────────────────────────────────────────────


async def ask(router: Router) -> str:
    text = ""
    async with aclosing(router.stream(HELLO)) as reply:
        async for chunk in reply:
            text += chunk.text
    return text


async def limit_known(router: Router, name: str = "a") -> None:
    """Waits until the router knows that the connection is at its limit.

    It does at once, unless the database took longer than a router's start waits for it.
    """
    [limited] = [endpoint for endpoint in router.pool.endpoints if endpoint.name == name]
    async with asyncio.timeout(20.0):
        while limited.may_start(router.clock.now()):
            await router.clock.sleep(0.01)


@pytest.fixture
async def stores(server: Server) -> AsyncIterator[list[SqlConnectionStore]]:
    """Yields one store, opened twice as two processes would."""
    url = await server.new()
    async with AsyncExitStack() as stack:
        both = [await stack.enter_async_context(opened(url)) for _ in range(2)]
        yield [SqlConnectionStore(database, VAULT) for database in both]


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"rate_limit_rpm": 3}, "at its limit of 3 requests a minute"),
        ({"rate_limit_tpm": 25}, "at its limit of 25 tokens a minute"),
        ({"monthly_budget": 25e-6, "price_out": 1.0}, "at its monthly budget of 2.5e-05"),
    ],
)
async def test_a_limit_used_up_by_one_router_holds_for_the_next(
    stores: list[SqlConnectionStore], limits: dict[str, Any], reason: str
) -> None:
    ten_words = Script(words=["word "] * 10)
    async with FaultyServer(ten_words) as a, FaultyServer(Script(words=["two"])) as b:
        await added(stores[0], base_url=a.base_url, priority=1, **limits)
        spare = await added(stores[0], name="b", base_url=b.base_url, priority=2)
        for store, asked in zip(stores, (4, 1), strict=True):
            counters = SqlCounters(store.database)
            subscription = StoreSubscription(store, WORKER)
            async with open_router(subscription, policy="priority", counters=counters) as router:
                if a.requests:
                    await limit_known(router)
                said = [await ask(router) for _ in range(asked)]
                assert said[-1] == "two"
        assert said == ["two"]
        assert len(a.requests) == 3
        await stores[0].remove(SYSTEM, spare.id)
        counters = SqlCounters(stores[1].database)
        async with open_router(StoreSubscription(stores[1], WORKER), counters=counters) as router:
            await limit_known(router)
            with pytest.raises(ReplyFailedError) as failed:
                await ask(router)
        assert failed.value.reasons == (("a", reason),)
        assert len(a.requests) == 3, "a limit holds although no other connection is left"
