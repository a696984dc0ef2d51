"""Tests that every store enforces visibility and permissions, and audits changes."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from llm_router.connections.access import SYSTEM, Action, Actor, can_see, may_act
from llm_router.connections.store import Check, ConnectionStore, Query
from llm_router.errors import ConfigurationError, ForbiddenError, NotFoundError
from llm_router.options import HealthOptions
from tests.contracts.stores import (
    ANNA,
    BEN,
    CLEO,
    EVERYBODY,
    HEADERS,
    KEY,
    OTTO,
    VERA,
    WORKER,
    added,
    tried,
)

MANY: list[dict[str, Any]] = [
    {"owner": owner, "team": team, "visibility": visibility, "use_in_livekit": flagged}
    for owner in ("anna", "cleo", "")
    for team in ("red", "blue", "")
    for visibility in ("private", "team", "everyone")
    for flagged in (True, False)
]


@pytest.fixture
async def many(store: ConnectionStore) -> ConnectionStore:
    for number, fields in enumerate(MANY):
        await added(store, name=f"{number:02}", id=f"{number:02}", **fields)
    return store


async def test_every_store_shows_each_actor_its_visible_connections(many: ConnectionStore) -> None:
    everything = (await many.find(SYSTEM, Query(limit=None))).items
    assert len(everything) == len(MANY)
    for actor in EVERYBODY:
        seen = {c.id for c in everything if can_see(actor, c)}
        page = await many.find(actor, Query(limit=None))
        assert {c.id for c in page.items} == seen, actor.name
        assert page.total == len(seen)


async def test_an_invisible_connection_is_not_found_by_any_method(many: ConnectionStore) -> None:
    everything = (await many.find(SYSTEM, Query(limit=None))).items
    hidden = next(c for c in everything if not can_see(CLEO, c))
    for attempt in (
        many.get(CLEO, hidden.id),
        many.get(CLEO, hidden.id, secrets=True),
        many.change(CLEO, hidden.id, {"priority": 1}),
        many.remove(CLEO, hidden.id),
        many.record_check(CLEO, hidden.id, WELL, HealthOptions()),
        many.checks(CLEO, hidden.id),
    ):
        with pytest.raises(NotFoundError):
            await attempt
    await many.touch(CLEO, {hidden.id: hidden.created_at} if hidden.created_at else {})
    assert await many.get(SYSTEM, hidden.id) == hidden


WELL = Check(at=datetime(2100, 1, 1, tzinfo=UTC), kind="test")
ATTEMPTS: dict[Action, Any] = {
    "use": lambda store, actor, of: store.get(actor, of.id, secrets=True),
    "test": lambda store, actor, of: store.record_check(actor, of.id, WELL, HealthOptions()),
    "activate": lambda store, actor, of: store.change(actor, of.id, {"is_active": False}),
    "edit": lambda store, actor, of: store.change(actor, of.id, {"priority": 7}),
    "remove": lambda store, actor, of: store.remove(actor, of.id),
    "transfer": lambda store, actor, of: store.change(actor, of.id, {"owner": "zoe"}),
}


@pytest.mark.parametrize("action", ATTEMPTS)
async def test_every_store_enforces_the_permissions_of_each_actor(
    store: ConnectionStore, action: Action
) -> None:
    for number, actor in enumerate(EVERYBODY):
        of = await added(store, name=f"{number}", owner="ben", team="red", visibility="everyone")
        attempt = ATTEMPTS[action](store, actor, of)
        if may_act(actor, action, of):
            await attempt
        else:
            with pytest.raises(ForbiddenError, match=f"{actor.name} may not "):
                await attempt
            assert await store.get(SYSTEM, of.id) == of


@pytest.mark.parametrize("actor", [VERA, OTTO, WORKER])
async def test_only_editors_and_admins_add(store: ConnectionStore, actor: Actor) -> None:
    with pytest.raises(ForbiddenError, match="may not add connection 'a'"):
        await added(store, actor)


async def test_the_actor_who_adds_a_connection_owns_it(store: ConnectionStore) -> None:
    assert (await added(store, ANNA, owner="ben")).owner == "anna"
    assert (await added(store, SYSTEM, owner="ben")).owner == "ben"
    with pytest.raises(ForbiddenError, match="to its own team"):
        await added(store, ANNA, "b", team="blue")
    with pytest.raises(ForbiddenError, match="has no owner"):
        await added(store, Actor("nobody", "editor"))


async def test_an_owner_may_share_a_connection_only_with_its_own_team(
    store: ConnectionStore,
) -> None:
    stored = await added(store, ANNA)
    assert (await store.change(ANNA, stored.id, {"team": "red"})).team == "red"
    with pytest.raises(ForbiddenError):
        await store.change(ANNA, stored.id, {"team": "blue"})


@pytest.mark.parametrize(
    "moved", [{"base_url": "http://mine/v1"}, {"base_url": ""}, {"provider": "livekit_plugin"}]
)
async def test_a_key_is_not_carried_over_to_another_server(
    store: ConnectionStore, moved: dict[str, Any]
) -> None:
    fields: dict[str, Any] = {
        "team": "red",
        "visibility": "team",
        "api_key": KEY,
        "headers": HEADERS,
    }
    stored = await added(store, ANNA, **fields)
    with pytest.raises(ConfigurationError, match="api_key was given for another server"):
        await store.change(BEN, stored.id, moved)
    with pytest.raises(ConfigurationError, match="headers was given for another server"):
        await store.change(BEN, stored.id, {**moved, "api_key": "sk-ben"})
    await store.change(BEN, stored.id, {**moved, "api_key": "sk-ben", "headers": {}})
    opened = await store.get(BEN, stored.id, secrets=True)
    assert (opened.api_key, opened.headers) == ("sk-ben", {})


async def test_a_key_is_carried_over_on_the_same_server_and_for_an_admin(
    store: ConnectionStore,
) -> None:
    stored = await added(store, ANNA, api_key=KEY)
    await store.change(ANNA, stored.id, {"base_url": "http://HOST:8000/v1/"})
    await store.change(SYSTEM, stored.id, {"base_url": "http://new-host/v1"})
    assert (await store.get(ANNA, stored.id, secrets=True)).api_key == KEY


# ── Audit log ────────────────────────────────────────────────────────────────────────────────────


async def test_every_change_is_audited_without_a_secret(store: ConnectionStore) -> None:
    stored = await added(store, ANNA, api_key=KEY, headers=HEADERS, tags=("x",))
    changes = {"priority": 4, "api_key": KEY + "new", "headers": {}, "tags": ("x", "y")}
    await store.change(ANNA, stored.id, changes)
    await tried(store, stored.id, "overloaded", "refused")
    await store.remove(ANNA, stored.id)
    remove, status, edit, add = await store.audit(SYSTEM)
    assert [e.action for e in (add, edit, status, remove)] == [
        "add",
        "edit",
        "set status",
        "remove",
    ]
    assert {(e.kind, e.target) for e in (add, edit, remove)} == {("connection", stored.id)}
    assert (edit.actor, edit.role, edit.origin) == ("anna", "editor", "10.0.0.1")
    assert edit.before == {"priority": 0, "api_key": "set", "headers": "set", "tags": ["x"]}
    assert edit.after == {
        "priority": 4, "api_key": "changed", "headers": "removed", "tags": ["x", "y"],
    }  # fmt: skip
    assert (add.before, remove.after) == ({}, {})
    assert add.after["name"] == remove.before["name"] == "a"
    assert status.after == {"status": "error", "status_reason": "refused"}
    assert add.at <= edit.at <= status.at <= remove.at
    written = json.dumps([[e.before, e.after] for e in (add, edit, status, remove)])
    assert not any(secret in written for secret in (KEY, HEADERS["X-Secret"], "wxyz"))


async def test_only_administrators_read_the_audit_log(store: ConnectionStore) -> None:
    one = await added(store, ANNA)
    other = await added(store, ANNA, "b")
    (entry,) = await store.audit(SYSTEM, target=one.id)
    assert entry.target == one.id
    (latest,) = await store.audit(SYSTEM, limit=1)
    assert latest.target == other.id
    with pytest.raises(ForbiddenError, match="anna may not administer"):
        await store.audit(ANNA)
