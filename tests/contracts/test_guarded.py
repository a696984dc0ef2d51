"""Tests that addresses chosen by non-admins are checked when they are dialled."""

from contextlib import aclosing

import pytest
from sqlalchemy import text

from llm_router.assembly import open_router
from llm_router.connections.access import SYSTEM, WORKER
from llm_router.connections.store import ConnectionStore
from llm_router.errors import ReplyFailedError
from llm_router.net.guard import AddressGuard
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.database import Database
from llm_router.store.migrations import migrate
from llm_router.sync.subscription import StoreSubscription
from llm_router.testing import InMemoryConnectionStore
from llm_router.testing.server import FaultyServer, Script
from llm_router.types import ChatRequest
from tests.contracts.databases import back_to
from tests.contracts.nameserver import NameServer, name_server
from tests.contracts.stores import ANNA, CARL, VAULT, added

HELLO = ChatRequest(messages=[{"role": "user", "content": "hello"}], integration="livekit")
ELSEWHERE = {"base_url": "http://10.0.0.5:8000/v1"}
SAME = {"base_url": "http://host:8000/v1"}


async def test_a_connection_is_guarded_until_an_admin_names_its_address(
    store: ConnectionStore,
) -> None:
    stored = await added(store, ANNA)
    assert stored.is_guarded
    for actor, changes, is_guarded in (
        (ANNA, SAME, True),
        (SYSTEM, {"priority": 3}, True),
        (SYSTEM, SAME, False),
        (ANNA, {"priority": 4}, False),
        (ANNA, SAME, False),
        (ANNA, ELSEWHERE, True),
        (SYSTEM, ELSEWHERE, False),
    ):
        changed = await store.change(actor, stored.id, changes)
        assert changed.is_guarded is is_guarded
        assert await store.get(SYSTEM, stored.id) == changed
    vouched = (await store.audit(SYSTEM))[0]
    assert (vouched.before, vouched.after) == ({"is_guarded": True}, {"is_guarded": False})


async def test_an_address_that_an_admin_adds_for_another_owner_is_not_guarded(
    store: ConnectionStore,
) -> None:
    assert not (await added(store, owner="anna")).is_guarded


async def test_old_connections_with_an_owner_are_guarded_after_the_migration(
    database: Database,
) -> None:
    store = SqlConnectionStore(database, VAULT)
    await added(store, name="nobody's")
    await added(store, name="anna's", owner="anna")
    await back_to(database, "0003")
    await migrate(database)
    async with database.reading() as db:
        rows = await db.execute(text("SELECT name, is_guarded FROM llm_connections"))
    assert {name: bool(is_guarded) for name, is_guarded in rows} == {
        "nobody's": False,
        "anna's": True,
    }


# ── Dialling ─────────────────────────────────────────────────────────────────────────────────────


async def answer(store: ConnectionStore, guard: AddressGuard) -> str:
    async with (
        open_router(StoreSubscription(store, WORKER, guard=guard)) as router,
        aclosing(router.stream(HELLO)) as reply,
    ):
        return "".join([chunk.text async for chunk in reply])


async def store_with(server: FaultyServer, host: str) -> InMemoryConnectionStore:
    """Makes a store with a connection of an editor to that server, by a name or an address."""
    store = InMemoryConnectionStore()
    address = server.base_url.replace("127.0.0.1", host)
    await added(store, CARL, base_url=address, model_name="m", visibility="everyone")
    return store


def asking(names: NameServer, *allowed: str) -> AddressGuard:
    return AddressGuard(allowed=allowed, resolve=names.resolve)


@pytest.mark.parametrize("host", ["rebind.example", "127.0.0.1", "2130706433", "[::ffff:7f00:1]"])
async def test_an_editors_private_address_gets_no_request_for_a_reply(host: str) -> None:
    async with name_server(["127.0.0.1"]) as names, FaultyServer() as secret:
        with pytest.raises(ReplyFailedError):
            await answer(await store_with(secret, host), asking(names))
    assert secret.connections == 0


async def test_a_name_that_becomes_private_between_two_requests_is_not_dialled_again() -> None:
    said = Script(words=["well"])
    async with name_server(["127.0.0.1"], ["127.0.0.2"]) as names, FaultyServer(said) as server:
        store = await store_with(server, "rebind.example")
        guard = asking(names, "127.0.0.1")
        assert await answer(store, guard) == "well"
        connections = server.connections
        with pytest.raises(ReplyFailedError):
            await answer(store, guard)
    assert names.asked == ["rebind.example"] * 2
    assert server.connections == connections


async def test_a_provider_that_bypasses_the_guard_is_skipped_for_guarded_connections(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with FaultyServer(Script(words=["well"])) as server:
        store = await store_with(server, "127.0.0.1")
        await added(store, CARL, "b", provider="livekit_plugin", server="openai")
        assert await answer(store, AddressGuard(allowed=("127.0.0.1",))) == "well"
    assert "a LiveKit plugin connects by itself" in caplog.text
