"""Tests the contract of every store of connections: in memory, SQLite and PostgreSQL."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from llm_router.clock import checkpoint, utc_now
from llm_router.connections.access import SYSTEM
from llm_router.connections.record import Connection
from llm_router.connections.store import Change, ConnectionStore, Page, Query
from llm_router.errors import ConfigurationError, NotFoundError, StaleError, TakenError
from tests.contracts.stores import ANNA, BEN, HEADERS, KEY, added, connection, tried

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


async def test_an_added_connection_has_an_id_a_version_and_its_times(
    store: ConnectionStore,
) -> None:
    before = utc_now()
    stored = await added(store)
    assert stored.id
    assert stored.created_at is not None
    assert stored.created_at == stored.updated_at
    assert before - timedelta(seconds=1) <= stored.created_at <= utc_now()
    assert stored.created_at.utcoffset() == timedelta(0)
    assert (stored.version, stored.status, stored.last_used_at) == (1, "untested", None)
    assert await store.get(SYSTEM, stored.id) == stored


ODD = connection(
    "Größe 大 🎈 %_\\",
    id="vllm:8000.eu@a+b_c-d",
    description="two\nlines, a\ttab",
    tags=("ünï", 'a"b', "%"),
    connection_type="azure",
    server="vllm",
    model_name="m/é",
    organization_id="org",
    api_version="2025-01-01",
    deployment="d",
    region="eu-1",
    timeout=0.5,
    max_retries=3,
    extra_body={"a": [1, 2.5, None, {"b": "🎈\x00"}], "c": True},
    temperature=0.0,
    top_p=1.0,
    max_tokens=10**9,
    context_length=1,
    supports_tools=False,
    supports_images=True,
    supports_json=False,
    continuation="flags",
    is_active=False,
    use_in_livekit=False,
    use_in_mcp=False,
    use_in_automation=False,
    pool="p",
    priority=-(10**9),
    weight=0.1,
    hedge="never",
    price_in=0.15,
    price_out=1e-9,
    rate_limit_rpm=1,
    rate_limit_tpm=10**9,
    monthly_budget=0.0,
    team="t",
    visibility="everyone",
    api_key=KEY,
    headers=HEADERS,
)


async def test_every_field_is_stored_unchanged(store: ConnectionStore) -> None:
    (stored,) = await store.add(SYSTEM, [ODD])
    again = await store.get(SYSTEM, ODD.id, secrets=True)
    given = {name: getattr(ODD, name) for name in Connection.__slots__}
    managed = {"version", "created_at", "updated_at", "api_key_last4", "header_names"}
    assert given | {name: getattr(again, name) for name in managed} == {
        name: getattr(again, name) for name in Connection.__slots__
    }
    assert again.without_secrets() == stored


async def test_no_limit_of_retries_differs_from_none_allowed(store: ConnectionStore) -> None:
    stored = await added(store)
    assert stored.max_retries is None
    for number in (0, 3, None):
        assert (await store.change(SYSTEM, stored.id, {"max_retries": number})).version > 1
        assert (await store.get(SYSTEM, stored.id)).max_retries == number


async def test_secrets_are_only_returned_for_use(store: ConnectionStore) -> None:
    stored = await added(store, api_key=KEY, headers=HEADERS)
    changed = await store.change(SYSTEM, stored.id, {"priority": 1})
    (found,) = (await store.find(SYSTEM, Query())).items
    for shown in (stored, changed, found, await store.get(SYSTEM, stored.id)):
        assert (shown.api_key, shown.headers) == (None, {})
        assert (shown.api_key_last4, shown.header_names) == ("wxyz", ("X-Secret",))
    (opened,) = (await store.find(SYSTEM, Query(), secrets=True)).items
    assert (opened.api_key, opened.headers) == (KEY, HEADERS)
    assert opened == await store.get(SYSTEM, stored.id, secrets=True)


@pytest.mark.parametrize(
    ("key", "last4"), [(None, None), ("", ""), ("short-key", ""), (KEY, "wxyz")]
)
async def test_no_character_of_a_short_key_is_shown(
    store: ConnectionStore, key: str | None, last4: str | None
) -> None:
    assert (await added(store, api_key=key)).api_key_last4 == last4


@pytest.mark.parametrize(
    ("second", "field"), [({"id": "1"}, "id"), ({"id": "2", "name": "a"}, "name")]
)
async def test_none_of_several_is_added_if_one_cannot_be(
    store: ConnectionStore, second: dict[str, Any], field: str
) -> None:
    first = connection("a", id="1")
    with pytest.raises(TakenError, match=f"of {field} .*give another") as caught:
        await store.add(SYSTEM, [first, connection(**{"name": "b", **second})])
    assert caught.value.field == field
    assert (await store.find(SYSTEM, Query())) == Page((), 0)
    assert await store.audit(SYSTEM) == ()
    assert await store.revision() == 0


async def test_a_name_is_unique_per_owner(store: ConnectionStore) -> None:
    await added(store, ANNA)
    await added(store, BEN)
    other = await added(store, ANNA, "b")
    with pytest.raises(TakenError):
        await added(store, ANNA)
    with pytest.raises(TakenError):
        await store.change(ANNA, other.id, {"name": "a"})
    assert (await store.change(ANNA, other.id, {"name": "A"})).name == "A"


async def test_adding_nothing_changes_nothing(store: ConnectionStore) -> None:
    assert await store.add(SYSTEM, []) == ()
    assert await store.revision() == 0


# ── Finding ──────────────────────────────────────────────────────────────────────────────────────

FOUND = {
    "all": (Query(), "abcd"),
    "name": (Query(name="b"), "b"),
    "type": (Query(connection_type="openai"), "b"),
    "flag": (Query(use_in_mcp=False), "c"),
    "flags": (Query(use_in_livekit=True, use_in_mcp=True, use_in_automation=True), "abd"),
    "active": (Query(is_active=False), "d"),
    "pool": (Query(pool="fast"), "ac"),
    "tag": (Query(tags=("x",)), "ab"),
    "both tags": (Query(tags=("x", "y")), "b"),
    "no half tag": (Query(tags=("xx",)), ""),
    "a tag as it is written": (Query(tags=("X",)), ""),
    "text of the name": (Query(text="B"), "b"),
    "text of the description": (Query(text="STRASSE"), "c"),
    "text of the model": (Query(text="gpt"), "a"),
    "text of the address": (Query(text="9000"), "d"),
    "text with a wildcard": (Query(text="100%"), "a"),
    "text with another": (Query(text="g_t"), ""),
    "by priority": (Query(sort="priority"), "abcd"),
    "by priority downwards": (Query(sort="priority", descending=True), "dcab"),
    "by name downwards": (Query(sort="name", descending=True), "dcba"),
    "by status": (Query(sort="status"), "cabd"),
    "by last use, the unused last": (Query(sort="last_used_at", descending=True), "bacd"),
    "by age": (Query(sort="created_at", descending=True), "dcba"),
    "several things": (Query(pool="fast", use_in_mcp=True), "a"),
    "a page": (Query(sort="name", limit=2, offset=1), "bc"),
    "past the end": (Query(offset=9), ""),
    "without a limit": (Query(limit=None, offset=3), "d"),
}


@pytest.fixture
async def four(store: ConnectionStore) -> ConnectionStore:
    await added(store, name="a", id="1", pool="fast", tags=("x", "100"), model_name="GPT 100%")
    await added(store, name="b", id="2", connection_type="openai", tags=("x", "y"))
    fields: dict[str, Any] = {
        "use_in_mcp": False,
        "pool": "fast",
        "description": "Hauptstraße",
        "priority": 1,
    }
    await added(store, name="c", id="3", **fields)
    await added(store, name="d", id="4", is_active=False, base_url="http://h:9000", priority=2)
    await tried(store, "3")
    await store.touch(SYSTEM, {"1": NOON, "2": NOON + timedelta(hours=1)})
    return store


async def test_connections_are_found_by_each_filter(four: ConnectionStore) -> None:
    for asked, (query, names) in FOUND.items():
        page = await four.find(SYSTEM, query)
        assert "".join(c.name for c in page.items) == names, asked
        if not query.offset:
            assert page.total == len(names), asked


async def test_a_page_counts_all_matches(four: ConnectionStore) -> None:
    page = await four.find(SYSTEM, Query(limit=1, offset=2))
    assert (len(page.items), page.total) == (1, 4)


async def test_names_have_the_same_order_in_every_store(store: ConnectionStore) -> None:
    for name in ("b", "a", "B", "Ä", "_", "a b"):
        await added(store, name=name, id=f"id-{name.encode().hex()}")
    page = await store.find(SYSTEM, Query(sort="name"))
    assert [c.name for c in page.items] == ["_", "a", "a b", "B", "b", "Ä"]


# ── Changing ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_change_makes_the_next_version_with_the_fields_it_names(
    store: ConnectionStore,
) -> None:
    stored = await added(store, api_key=KEY)
    changed = await store.change(SYSTEM, stored.id, {"priority": 5, "tags": ("z",)}, version=1)
    assert (changed.priority, changed.tags, changed.version) == (5, ("z",), 2)
    assert (changed.name, changed.created_at) == (stored.name, stored.created_at)
    assert await store.get(SYSTEM, stored.id) == changed
    assert (await store.get(SYSTEM, stored.id, secrets=True)).api_key == KEY


async def test_a_stale_change_is_refused_with_the_current_version(
    store: ConnectionStore,
) -> None:
    stored = await added(store)
    await store.change(SYSTEM, stored.id, {"priority": 1})
    for attempt in (
        store.change(SYSTEM, stored.id, {"priority": 2}, version=1),
        store.remove(SYSTEM, stored.id, version=1),
    ):
        with pytest.raises(StaleError, match="version 2") as caught:
            await attempt
        assert caught.value.current == 2
    assert (await store.get(SYSTEM, stored.id)).priority == 1


async def test_a_change_to_the_same_values_makes_no_version(store: ConnectionStore) -> None:
    stored = await added(store, priority=1)
    revision = await store.revision()
    assert await store.change(SYSTEM, stored.id, {"priority": 1}) == stored
    assert await store.change(SYSTEM, stored.id, {}) == stored
    assert await store.revision() == revision
    assert len(await store.audit(SYSTEM)) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prioriti": 1}, "there is no field 'prioriti'"),
        ({"id": "x"}, "id cannot be edited"),
        ({"version": 7}, "version cannot be edited"),
        ({"status": "active"}, "status cannot be edited"),
        ({"timeout": 0.0}, "timeout must be above 0 s"),
        ({"base_url": "ftp://x"}, "base_url must look like"),
    ],
)
async def test_an_invalid_change_changes_nothing(
    store: ConnectionStore, changes: dict[str, Any], said: str
) -> None:
    stored = await added(store)
    with pytest.raises(ConfigurationError, match=said):
        await store.change(SYSTEM, stored.id, {"priority": 9, **changes})
    assert await store.get(SYSTEM, stored.id) == stored
    assert len(await store.audit(SYSTEM)) == 1


async def test_secrets_are_replaced_and_removed(store: ConnectionStore) -> None:
    stored = await added(store, api_key=KEY, headers=HEADERS)
    changed = await store.change(SYSTEM, stored.id, {"api_key": "sk-abcdefghijkl-new1"})
    assert changed.api_key_last4 == "new1"
    opened = await store.get(SYSTEM, stored.id, secrets=True)
    assert (opened.api_key, opened.headers) == ("sk-abcdefghijkl-new1", HEADERS)
    bare = await store.change(SYSTEM, stored.id, {"api_key": None, "headers": {}})
    assert (bare.api_key_last4, bare.header_names) == (None, ())
    opened = await store.get(SYSTEM, stored.id, secrets=True)
    assert (opened.api_key, opened.headers) == (None, {})


async def test_a_removed_connection_is_gone_and_its_name_free(store: ConnectionStore) -> None:
    stored = await added(store)
    await store.remove(SYSTEM, stored.id, version=1)
    for attempt in (
        store.get(SYSTEM, stored.id),
        store.change(SYSTEM, stored.id, {"priority": 1}),
        store.remove(SYSTEM, stored.id),
        tried(store, stored.id),
        store.checks(SYSTEM, stored.id),
    ):
        with pytest.raises(NotFoundError, match=stored.id):
            await attempt
    await added(store, id=stored.id)


async def test_a_new_status_raises_the_revision_but_not_the_version(store: ConnectionStore) -> None:
    stored = await added(store)
    revision = await store.revision()
    await tried(store, stored.id, "overloaded", "refused\n\x00 " + "x" * 1000)
    found = await store.get(SYSTEM, stored.id)
    assert (found.status, found.version) == ("error", stored.version)
    assert found.status_reason.startswith("refused xxx")
    assert len(found.status_reason) == 500
    assert await store.revision() > revision
    assert (await store.change(SYSTEM, stored.id, {"priority": 1}, version=1)).status == "error"


async def test_an_unchanged_status_raises_no_revision(store: ConnectionStore) -> None:
    stored = await added(store)
    await tried(store, stored.id, "overloaded", "refused")
    revision = await store.revision()
    await tried(store, stored.id, "overloaded", "refused")
    assert await store.revision() == revision
    assert len(await store.audit(SYSTEM)) == 2


async def test_the_last_use_only_moves_forward_and_raises_no_revision(
    store: ConnectionStore,
) -> None:
    stored, other = await added(store), await added(store, name="b")
    revision = await store.revision()
    later = NOON.astimezone(timezone(timedelta(hours=5))) + timedelta(seconds=1.5)
    await store.touch(SYSTEM, {stored.id: later, "nobody": NOON, other.id: NOON})
    await store.touch(SYSTEM, {stored.id: NOON})
    found = await store.get(SYSTEM, stored.id)
    assert found.last_used_at == later
    assert found.last_used_at.utcoffset() == timedelta(0)
    assert (found.version, found.updated_at) == (stored.version, stored.updated_at)
    assert await store.revision() == revision


# ── Concurrency ──────────────────────────────────────────────────────────────────────────────────


async def test_fifty_tasks_edit_one_connection_and_no_update_is_lost(
    store: ConnectionStore,
) -> None:
    stored = await added(store)
    refused = 0

    async def raise_priority() -> None:
        nonlocal refused
        while True:
            seen = await store.get(SYSTEM, stored.id)
            try:
                new = {"priority": seen.priority + 1}
                await store.change(SYSTEM, stored.id, new, version=seen.version)
            except StaleError:
                refused += 1
            else:
                return

    await asyncio.gather(*(raise_priority() for _ in range(50)))
    found = await store.get(SYSTEM, stored.id)
    assert (found.priority, found.version) == (50, 51)
    assert len(await store.audit(SYSTEM, limit=1000)) == 51
    print(f"{refused} were refused as stale and tried again")


async def test_a_cancelled_change_is_done_or_not_done(store: ConnectionStore) -> None:
    stored = await added(store)
    for steps in range(40):
        task = asyncio.create_task(store.change(SYSTEM, stored.id, {"priority": steps + 1}))
        for _ in range(steps):
            await checkpoint()
        task.cancel()
        await asyncio.wait([task])
    found = await store.get(SYSTEM, stored.id)
    entries = await store.audit(SYSTEM)
    assert found.version == len(entries)
    assert found.priority == entries[0].after.get("priority", 0)
    assert (await store.change(SYSTEM, stored.id, {"priority": 99})).version == found.version + 1


async def test_changes_yields_the_revision_of_each_change(store: ConnectionStore) -> None:
    await added(store)
    async with aclosing(store.changes()) as changes, asyncio.timeout(20):
        assert await anext(changes) == await store.revision()
        for name in "bc":
            waiting = asyncio.ensure_future(anext(changes))
            await added(store, name=name)
            assert await waiting == await store.revision()


async def test_a_deactivation_says_who_made_it_and_why(store: ConnectionStore) -> None:
    one, other = await added(store), await added(store, name="b")
    off = {"is_active": False}
    steps = [
        Change(id=one.id, changes=off, reason="its\nserver moves"),
        Change(id=other.id, changes=off),
    ]
    stored = await store.apply(SYSTEM, steps)
    assert [c.status_reason for c in stored] == ["by system: its server moves", "by system"]
    again = Change(id=one.id, changes={"is_active": True}, reason="it is back")
    (on,) = await store.apply(SYSTEM, [again])
    assert (on.status, on.status_reason) == ("untested", "")
