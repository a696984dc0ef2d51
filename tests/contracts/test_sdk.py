"""The SDK does the same over a database and over HTTP."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from livekit.agents import llm

from llm_router.connections.access import SYSTEM
from llm_router.connections.record import Connection
from llm_router.errors import (
    ApiError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    ReplyFailedError,
)
from llm_router.sdk import ConnectionManager, UseFlags, get_connection
from llm_router.store.analytics import Analytics
from llm_router.store.assistants import Assistants
from llm_router.store.calls import CallStore
from llm_router.store.connections import SqlConnectionStore, open_store
from llm_router.testing.server import Fault, FaultyServer, Script
from llm_router.voice.assistant import parse_assistant
from llm_router.voice.calls import Call, CallAgent, CallFacts, CallItem, CallKind
from llm_router.voice.phone.plan import CallPlan
from tests.contracts.stores import MASTER_KEY, VAULT, added
from tests.contracts.threads import api_on_a_socket

KEY = "sk-0123456789-wxyz"
PLAIN = Connection(name="a", provider="offline")
WORDS = "".join(Script().words)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlConnectionStore]:
    """The store that both ways lead to."""
    async with open_store(f"sqlite:///{tmp_path}/here.sqlite3", VAULT) as store:
        yield store


@pytest.fixture
def url(tmp_path: Path, store: SqlConnectionStore) -> str:
    return f"sqlite:///{tmp_path}/here.sqlite3"


@pytest.fixture(params=["database", "http"])
async def manager(request: pytest.FixtureRequest, url: str) -> AsyncIterator[ConnectionManager]:
    if request.param == "database":
        async with ConnectionManager(url, master_keys=[MASTER_KEY]) as manager:
            yield manager
        return
    async with (
        api_on_a_socket(url) as api,
        ConnectionManager(api.url, api_key=api.keys["admin"]) as manager,
    ):
        yield manager


async def test_connections_are_found_by_their_conditions(
    store: SqlConnectionStore, manager: ConnectionManager
) -> None:
    for place, name in enumerate("abc"):
        await added(store, name=name, priority=-place, tags=(name,), use_in_livekit=name != "b")
    found = await manager.get_connections(use_in_livekit=True)
    assert [connection.name for connection in found] == ["c", "a"]
    (b,) = await manager.get_connections(tags=["b"])
    assert (b.record.use_in_livekit, b.record.api_key) == (False, None)
    assert len(await manager.get_connections()) == 3


async def test_a_connection_is_found_by_name_or_id(
    store: SqlConnectionStore, manager: ConnectionManager
) -> None:
    stored = await added(store, name="Local Ollama", api_key=KEY)
    by_name = await manager.get_connection("Local Ollama", use_in_livekit=True)
    assert by_name.record == stored
    assert (await manager.get_connection(stored.id)).record == stored
    assert "KEY" not in repr(by_name)
    with pytest.raises(NotFoundError, match="there is no connection 'none'"):
        await manager.get_connection("none")
    await store.add(SYSTEM, [Connection(name="Local Ollama", owner="anna")])
    with pytest.raises(ConflictError, match=f"give the id of one.*{stored.id}"):
        await manager.get_connection("Local Ollama")


FLAGS: tuple[UseFlags, ...] = (
    {"use_in_livekit": True},
    {"use_in_mcp": True},
    {"use_in_automation": True},
)


@pytest.mark.parametrize("flags", FLAGS, ids=lambda flags: next(iter(flags)))
async def test_a_flag_that_is_off_is_named(
    store: SqlConnectionStore, manager: ConnectionManager, flags: UseFlags
) -> None:
    (flag,) = flags
    off: dict[str, Any] = {flag: False}
    await store.add(SYSTEM, [replace(PLAIN, **off)])
    with pytest.raises(ForbiddenError, match=f"its flag {flag} is off; set it"):
        await manager.get_connection("a", **flags)
    connection = await manager.get_connection("a")
    if flag == "use_in_automation":
        with pytest.raises(ForbiddenError, match=flag):
            await connection.generate("Hi?")
    if flag == "use_in_livekit":
        with pytest.raises(ForbiddenError, match=flag):
            connection.create_llm_instance()


async def test_a_text_is_generated_counted_and_paid(
    store: SqlConnectionStore, manager: ConnectionManager
) -> None:
    async with FaultyServer() as server:
        where = {"base_url": server.base_url, "model_name": "m", "api_key": KEY}
        stored = await added(store, SYSTEM, "a", price_out=10.0, **where)
        connection = await manager.get_connection("a")
        answer = await connection.generate("Hi?", system="Be brief.", temperature=0.7, max_tokens=9)
        asked = await server.received()
    assert (answer.text, answer.connection, answer.model, answer.finish_reason) == (
        WORDS,
        "a",
        "m",
        "stop",
    )
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0
    assert answer.first_word is not None
    assert 0 < answer.first_word <= answer.duration
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert (asked.body["temperature"], asked.body["max_tokens"]) == (0.7, 9)
    (used,) = await Analytics(store.database).latest(stored.id, 5)
    assert (used.integration, used.outcome) == ("automation", "won")
    assert used.cost == pytest.approx(answer.usage.completion_tokens * 10e-6)


@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.STALL_AFTER, Fault.EMPTY])
async def test_a_failed_reply_is_an_error_with_its_reason(
    store: SqlConnectionStore, manager: ConnectionManager, fault: Fault
) -> None:
    async with FaultyServer(Script(fault=fault)) as server:
        await added(store, name="a", base_url=server.base_url, timeout=1.0)
        with pytest.raises(ReplyFailedError) as caught:
            await (await manager.get_connection("a")).generate("Hi?")
    ((name, reason),) = caught.value.reasons
    assert name == "a"
    assert reason


async def test_a_spent_budget_refuses_a_text(
    store: SqlConnectionStore, manager: ConnectionManager
) -> None:
    async with FaultyServer() as server:
        await added(store, name="a", base_url=server.base_url, monthly_budget=0.0, price_out=1.0)
        with pytest.raises(ConflictError, match="monthly budget"):
            await (await manager.get_connection("a")).generate("Hi?")
        assert not server.requests


# ── In a call ────────────────────────────────────────────────────────────────────────────────────


async def test_over_a_database_it_is_an_llm_for_livekit(
    store: SqlConnectionStore, url: str
) -> None:
    async with FaultyServer() as server:
        await added(store, name="a", base_url=server.base_url, model_name="m", api_key=KEY)
        async with ConnectionManager(url, master_keys=[MASTER_KEY]) as manager:
            model = (await manager.get_connection("a")).create_llm_instance()
            assert isinstance(model, llm.LLM)
            chat = llm.ChatContext.empty()
            chat.add_message(role="user", content="Hi?")
            async with model.chat(chat_ctx=chat) as stream:
                words = [chunk.delta.content or "" async for chunk in stream if chunk.delta]
            await model.aclose()
    assert "".join(words) == WORDS
    assert model.provider == "a"


async def test_over_http_no_llm_is_made_since_the_key_stays_on_the_server(
    store: SqlConnectionStore, url: str
) -> None:
    await added(store, name="a", api_key=KEY)
    async with (
        api_on_a_socket(url) as api,
        ConnectionManager(api.url, api_key=api.keys["admin"]) as manager,
    ):
        connection = await manager.get_connection("a")
        with pytest.raises(ForbiddenError, match="open ConnectionManager with the URL of the data"):
            connection.create_llm_instance()


# ── Access ───────────────────────────────────────────────────────────────────────────────────────


async def test_over_http_the_role_of_the_key_holds(store: SqlConnectionStore, url: str) -> None:
    await added(store, name="a", provider="offline", base_url="", visibility="everyone")
    async with api_on_a_socket(url) as api:
        async with await get_connection("a", api.url, api_key=api.keys["viewer"]) as connection:
            with pytest.raises(ForbiddenError, match="viewer may not use"):
                await connection.generate("Hi?")
        async with await get_connection("a", api.url, api_key=api.keys["worker"]) as connection:
            assert (await connection.generate("Hi?")).text
        with pytest.raises(ApiError, match="PATCHBAY_API_KEY"):
            await get_connection("a", api.url, api_key="pb_wrong")


async def test_an_api_that_does_not_answer_is_reported(unused_url: str) -> None:
    with pytest.raises(ApiError, match=r"does not answer .*; start the HTTP process there"):
        await get_connection("a", unused_url, api_key="")


async def test_a_server_that_is_not_patchbay_is_reported() -> None:
    async with FaultyServer() as server:
        with pytest.raises(ApiError, match="but is not Patchbay; correct the address"):
            await get_connection("a", server.base_url.removesuffix("/v1"), api_key="")


async def test_an_assistant_is_put_whole_and_each_put_is_a_version(
    store: SqlConnectionStore, manager: ConnectionManager
) -> None:
    shop = parse_assistant({"name": "shop", "greeting": "", "languages": ["en"]})
    assert await manager.put_assistant(shop) == shop
    faster = parse_assistant({"name": "shop", "speed": 1.5})
    assert await manager.put_assistant(faster) == faster
    assert await manager.get_assistants() == [faster]
    stored, total = await Assistants(store.database, VAULT).versions(SYSTEM, "shop")
    assert ([each.record for each in stored], total) == ([faster, shop], 2)


# ── Calls ────────────────────────────────────────────────────────────────────────────────────────


NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
AGENT = CallAgent(identity="agent-1", worker="here 8081", job="AJ_1")


@pytest.fixture
async def calls(store: SqlConnectionStore) -> list[Call]:
    """Two calls that go on, the first with two items."""
    kinds: tuple[CallKind, ...] = ("web", "phone")
    writer = CallStore(store.database)
    claimed = [
        await writer.claim(f"room-{kind}", 1, AGENT, NOW, CallFacts(kind=kind, keep="transcript"))
        for kind in kinds
    ]
    found = [call for call in claimed if call]
    said = [
        CallItem(id="1", role="user", text="Are you open on Sunday?", created_at=NOW),
        CallItem(id="2", role="assistant", text="No, we are not.", created_at=NOW),
    ]
    await writer.append(found[0].id, said, NOW)
    return found


async def test_calls_are_found_and_read(manager: ConnectionManager, calls: list[Call]) -> None:
    assert {call.room for call in await manager.get_calls()} == {"room-web", "room-phone"}
    assert len(await manager.get_calls(limit=1)) == 1
    assert not await manager.get_calls(started_to=NOW)
    [found] = await manager.get_calls(kind="web", started_from=NOW, text="sunday")
    assert found == await manager.get_call(calls[0].id)
    items = await manager.get_call_items(found.id)
    assert [(item.number, item.role, item.text) for item in items] == [
        (1, "user", "Are you open on Sunday?"),
        (2, "assistant", "No, we are not."),
    ]


async def test_a_call_is_followed_to_its_end(
    manager: ConnectionManager, store: SqlConnectionStore, calls: list[Call]
) -> None:
    followed: list[tuple[str, int]] = []
    async with aclosing(manager.follow_call(calls[0].id, after=1)) as all_news:
        async for news in all_news:
            followed.append((news.kind, news.after))
            if len(followed) == 2:
                await CallStore(store.database).end(calls[0].id, "caller left", NOW)
            last = news.call
    assert followed == [("item", 2), ("call", 2), ("call", 2), ("end", 2)]
    assert (last.state, last.reason) == ("ended", "caller left")


async def test_a_deleted_call_is_gone_and_the_deletion_is_noted(
    manager: ConnectionManager, store: SqlConnectionStore, calls: list[Call]
) -> None:
    await manager.delete_call(calls[0].id)
    for reading in (manager.get_call, manager.get_call_items, manager.delete_call):
        with pytest.raises(NotFoundError):
            await reading(calls[0].id)
    with pytest.raises(NotFoundError):
        await anext(manager.follow_call(calls[0].id))
    entry, *_ = await store.audit(SYSTEM, target=calls[0].id)
    assert (entry.action, entry.kind) == ("remove", "call")


async def test_calls_are_for_admins_alone(url: str, calls: list[Call]) -> None:
    async with (
        api_on_a_socket(url) as api,
        ConnectionManager(api.url, api_key=api.keys["editor"]) as editor,
    ):
        with pytest.raises(ForbiddenError):
            await editor.get_call(calls[0].id)


async def test_a_call_is_placed_once_and_its_key_returns_how_far_it_is(
    manager: ConnectionManager,
) -> None:
    plan = CallPlan(number="+15550123456", variables={"name": "Ann"}, idempotency_key="k1")
    call = await manager.place_call(plan)
    assert (call.status, call.number, call.variables) == ("waiting", plan.number, {"name": "Ann"})
    assert await manager.place_call(plan) == call
