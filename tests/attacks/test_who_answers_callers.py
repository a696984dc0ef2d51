"""Tests that no editor has callers answered, inherits another's usage or sends a key elsewhere."""

from typing import Any

import pytest

from llm_router.connections.access import SYSTEM, WORKER
from llm_router.connections.store import ConnectionStore, Query
from llm_router.errors import ConfigurationError, ForbiddenError, TakenError
from tests.contracts.gateway import PUBLIC, Gateway, problem
from tests.contracts.stores import ANNA, BEN, CARL, CLEO, KEY, TEAM_WORKER, added, connection


async def answering(store: ConnectionStore) -> set[str]:
    page = await store.find(WORKER, Query(limit=None))
    return {c.name for c in page.items}


async def test_only_those_with_the_right_have_callers_answered(store: ConnectionStore) -> None:
    await added(store, ANNA, "private")
    await added(store, ANNA, "shared", visibility="everyone")
    await added(store, ANNA, "team", visibility="team", team="red")
    assert await answering(store) == set()
    assert not (await store.find(TEAM_WORKER, Query())).items
    await added(store, CARL, "with the right")
    await added(store, SYSTEM, "the operator's")
    await added(store, CARL, "not for calls", use_in_livekit=False)
    assert await answering(store) == {"with the right", "the operator's"}


async def test_an_admin_approves_a_connection_and_its_owner_may_not(store: ConnectionStore) -> None:
    stored = await added(store, ANNA)
    for changes in ({"use_in_livekit": True}, {"visibility": "everyone"}, {"is_active": True}):
        await store.change(ANNA, stored.id, changes)
    for managed in ("is_approved_for_calls", "is_guarded"):
        with pytest.raises(ConfigurationError, match="cannot be edited"):
            await store.change(ANNA, stored.id, {managed: True})
    assert await answering(store) == set()
    await store.change(SYSTEM, stored.id, {"priority": 5})
    assert await answering(store) == set()
    changed = await store.change(SYSTEM, stored.id, {"use_in_livekit": True})
    assert changed.is_approved_for_calls
    assert await answering(store) == {"a"}
    newest = (await store.audit(SYSTEM, limit=1))[0]
    assert newest.after == {"is_approved_for_calls": True}


@pytest.mark.parametrize(
    "changes",
    [
        {"base_url": "http://elsewhere:8000/v1"},
        {"base_url": "http://host:8000/other/v1"},
        {"model_name": "another"},
        {"provider": "ollama"},
        {"server": "vllm"},
        {"deployment": "d"},
        {"extra_body": {"messages": []}},
        {"headers": {"X-Route": "another"}},
        {"use_in_livekit": False},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_an_approval_ends_when_its_owner_changes_what_answers(
    store: ConnectionStore, changes: dict[str, Any]
) -> None:
    stored = await added(store, ANNA)
    await store.change(SYSTEM, stored.id, {"use_in_livekit": True})
    await store.change(ANNA, stored.id, {"priority": 3, "description": "x"})
    assert await answering(store) == {"a"}
    await store.change(ANNA, stored.id, changes)
    await store.change(ANNA, stored.id, {"use_in_livekit": True})
    assert await answering(store) == set()


async def test_the_id_of_a_removed_connection_stays_its_owners(store: ConnectionStore) -> None:
    await added(store, ANNA, id="mine")
    await store.remove(ANNA, "mine")
    for actor in (BEN, SYSTEM):
        with pytest.raises(TakenError, match="removed connection of another owner"):
            await added(store, actor, id="mine")
    again = await added(store, ANNA, id="mine")
    assert (again.id, again.version) == ("mine", 1)


@pytest.mark.parametrize(
    "address",
    ["http://host:8000/v2", "http://host:8000", "http://host:8000/v1?x=1", "https://host:8000/v1"],
)
async def test_a_key_goes_to_no_path_that_it_was_not_given_for(
    store: ConnectionStore, address: str
) -> None:
    stored = await added(store, ANNA, api_key=KEY, visibility="team", team="red")
    for actor in (ANNA, BEN):
        with pytest.raises(ConfigurationError, match="give it again"):
            await store.change(actor, stored.id, {"base_url": address})
    await store.change(ANNA, stored.id, {"base_url": "http://host:8000/v1/"})  # the same
    await store.change(ANNA, stored.id, {"base_url": address, "api_key": KEY})


async def test_a_plan_confirms_no_guess_at_anothers_key(gateway: Gateway) -> None:
    made = await gateway.connection(
        "stranger", name="theirs", visibility="everyone", api_key="sk-theirs-0123456789"
    )
    answers = []
    for guess in ("sk-theirs-0123456789", "sk-a-wrong-guess-0123"):
        row = {"id": made["id"], "name": "theirs", "base_url": PUBLIC, "model": "m"}
        row |= {"visibility": "everyone", "api_key": guess}
        answer = await gateway.call(
            "editor", "POST", "/connections/apply", [row], params={"dry_run": "true"}
        )
        problem(answer, 403, "forbidden")
        answers.append(answer.text)
    assert answers[0] == answers[1]


async def test_a_key_says_whether_its_holder_may_have_callers_answered(gateway: Gateway) -> None:
    plain: dict[str, Any] = {"name": "plain", "role": "editor"}
    right: dict[str, Any] = {"name": "right", "role": "editor", "may_serve_calls": True}
    for body in (plain, right):
        made = (await gateway.call("admin", "POST", "/keys", body)).json()
        gateway.keys[body["name"]] = made["key"]
    assert not (await gateway.connection("plain", name="p"))["is_approved_for_calls"]
    assert (await gateway.connection("right", name="r"))["is_approved_for_calls"]
    assert await answering(gateway.store) == {"r"}
    problem(await gateway.call("right", "POST", "/keys", right), 403)


async def test_others_connections_cannot_be_taken_over(store: ConnectionStore) -> None:
    stored = await added(store, ANNA, visibility="everyone")
    with pytest.raises(ForbiddenError):
        await store.change(CLEO, stored.id, {"use_in_livekit": True})
    with pytest.raises(TakenError):
        await store.add(CLEO, [connection("b", id=stored.id)])


@pytest.mark.parametrize("field", ["name", "pool", "model_name"])
@pytest.mark.parametrize("twin", ["de\u200bsk", "\u202eksed", "desk\u3164", "desk\U000e0041"])
async def test_no_name_looks_like_another_by_invisible_characters(
    gateway: Gateway, field: str, twin: str
) -> None:
    await gateway.connection(**{field: "desk"})
    new = {"name": "other", "base_url": PUBLIC, field: f"a {twin} b"}
    for method, path, body in (
        ("POST", "/connections", new),
        ("POST", "/connections/import", [new]),
    ):
        found = problem(await gateway.call("stranger", method, path, body), 422)
        assert "invisible" in found["detail"]


@pytest.mark.parametrize(
    "name", ["Büro \U0001f469\u200d\U0001f4bb", "می\u200cخواهم", "受付", "☎\ufe0f desk"]
)
async def test_names_of_all_scripts_are_stored(gateway: Gateway, name: str) -> None:
    assert (await gateway.connection(name=name))["name"] == name
