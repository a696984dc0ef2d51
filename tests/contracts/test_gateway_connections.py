"""Tests connections over HTTP: requests, answers and problems."""

import asyncio
import json
from typing import Any

import pytest

from llm_router.connections.access import SYSTEM
from llm_router.gateway.middleware import MAX_BODY, MAX_CHAT_BODY, most_bytes
from tests.contracts.gateway import HOST, PUBLIC, Gateway, problem

KEY = "sk-0123456789-wxyz"


async def test_a_new_connection_comes_back_with_the_fields_of_the_store(
    each_gateway: Gateway,
) -> None:
    fields: dict[str, Any] = {
        "tags": ["a", "b"],
        "temperature": 0.5,
        "extra_body": {"seed": 1},
        "priority": 3,
    }
    made = await each_gateway.connection(**fields, api_key=KEY, headers={"X-Org": "secret-7"})
    got = await each_gateway.call("editor", "GET", f"/connections/{made['id']}")
    assert got.json() == made
    assert made.items() >= fields.items()
    assert (made["owner"], made["status"], made["version"]) == ("editor", "untested", 1)
    assert (made["api_key_set"], made["api_key_last4"]) == (True, "wxyz")
    assert made["header_names"] == ["X-Org"]
    assert {"api_key", "headers"}.isdisjoint(made)


async def test_the_answer_names_the_location_of_a_new_connection(gateway: Gateway) -> None:
    body = {"name": "desk", "base_url": PUBLIC}
    answer = await gateway.call("editor", "POST", "/connections", body)
    assert answer.headers["location"] == f"/api/connections/{answer.json()['id']}"
    assert answer.headers["cache-control"] == "no-store"


async def test_a_change_leaves_the_rest_alone(each_gateway: Gateway) -> None:
    made = await each_gateway.connection(api_key=KEY, description="d", top_p=0.4)
    path = f"/connections/{made['id']}"
    changed = await each_gateway.call("editor", "PATCH", path, {"priority": 7, "top_p": None})
    changes = {
        "priority": 7,
        "top_p": None,
        "version": 2,
        "updated_at": changed.json()["updated_at"],
    }
    assert changed.json() == made | changes


async def test_a_change_of_an_older_version_is_refused_with_the_present_one(
    each_gateway: Gateway,
) -> None:
    path = f"/connections/{(await each_gateway.connection())['id']}"
    await each_gateway.call("editor", "PATCH", path, {"priority": 1, "version": 1})
    late = await each_gateway.call("editor", "PATCH", path, {"priority": 2, "version": 1})
    assert problem(late, 409, "stale-version")["current_version"] == 2
    assert (await each_gateway.call("editor", "GET", path)).json()["priority"] == 1
    gone = await each_gateway.call("editor", "DELETE", path, params={"version": 1})
    assert problem(gone, 409)["current_version"] == 2


async def test_of_many_changes_at_once_one_wins_and_the_others_are_stale(
    each_gateway: Gateway,
) -> None:
    path = f"/connections/{(await each_gateway.connection())['id']}"
    changes = [{"priority": n, "version": 1} for n in range(1, 6)]
    answers = await asyncio.gather(
        *(each_gateway.call("editor", "PATCH", path, change) for change in changes)
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    (won,) = [answer.json() for answer in answers if answer.status_code == 200]
    assert (await each_gateway.call("editor", "GET", path)).json() == won


async def test_a_name_is_the_owners_once(each_gateway: Gateway) -> None:
    await each_gateway.connection()
    again = await each_gateway.call(
        "editor", "POST", "/connections", {"name": "desk", "base_url": PUBLIC}
    )
    assert problem(again, 409, "name-taken")["field"] == "name"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "a", "colour": "red"}, "colour"),
        ({"name": "a", "priority": "7"}, "priority"),
        ({"name": "a", "supports_tools": 1}, "supports_tools"),
        ({"name": "a", "timeout": 0}, "timeout"),
        ({"name": "a", "temperature": 3}, "temperature"),
        ({"name": "a", "connection_type": "cloud"}, "connection_type"),
        ({"name": "a", "id": "mine"}, "id"),
        ({"name": "a", "status": "active"}, "status"),
        ([], "body"),
    ],
)
async def test_a_field_that_is_wrong_is_named(gateway: Gateway, body: Any, field: str) -> None:
    refused = problem(await gateway.call("editor", "POST", "/connections", body), 422)
    assert [error["field"] for error in refused["errors"]] == [field]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"base_url": "ftp://host/"}, "base_url must look like"),
        ({"base_url": "http://me:pw@host/v1"}, "must not contain a user name"),
        ({"provider": "telepathy"}, "unknown provider 'telepathy'"),
        ({"server": "abacus"}, "unknown server 'abacus'"),
        ({"tags": ["a", "a"]}, "tags must differ"),
        ({"api_key": "sk-\ninjected"}, "must not contain control characters"),
        ({"name": "a\nb"}, "control characters"),
    ],
)
async def test_a_record_that_cannot_work_is_refused_when_added_and_when_changed(
    gateway: Gateway, fields: dict[str, Any], said: str
) -> None:
    body = {"name": "new", "base_url": PUBLIC, **fields}
    assert (
        said in problem(await gateway.call("editor", "POST", "/connections", body), 422)["detail"]
    )
    path = f"/connections/{(await gateway.connection())['id']}"
    assert said in problem(await gateway.call("editor", "PATCH", path, fields), 422)["detail"]


async def test_half_an_emoji_is_refused_before_it_breaks_an_answer(gateway: Gateway) -> None:
    for field in ('"name": "\\ud83d"', '"name": "a", "extra_body": {"a": "\\ud83d"}'):
        answer = await gateway.client.post(
            "/api/connections",
            content=f"{{{field}}}",
            headers={
                "Authorization": f"Bearer {gateway.keys['editor']}",
                "Content-Type": "application/json",
            },
        )
        problem(answer, 422)


async def test_a_refusal_never_repeats_a_key(gateway: Gateway) -> None:
    for body in (
        {"name": "a", "api_key": [KEY]},
        {"name": "a", "api_key": KEY, "timeout": "x"},
        {"name": "a", "api_key": KEY, "headers": {"a": 7, "b": KEY}},
        {"name": "a", "api_key": KEY + "\x00"},
    ):
        answer = await gateway.call("editor", "POST", "/connections", body)
        assert KEY not in answer.text
        problem(answer, 422)


# ── Lists ─────────────────────────────────────────────────────────────────────────────


async def test_connections_are_found_by_what_is_asked_of_them(each_gateway: Gateway) -> None:
    await each_gateway.connection(name="a", tags=["gpu", "eu"], pool="fast", priority=2)
    await each_gateway.connection(name="b", tags=["gpu"], use_in_mcp=False, priority=1)
    await each_gateway.connection(name="c", is_active=False, description="The Cellar", priority=3)

    async def names(**params: Any) -> list[str]:
        answer = await each_gateway.call("editor", "GET", "/connections", params=params)
        assert answer.status_code == 200, answer.text
        return [item["name"] for item in answer.json()["items"]]

    assert await names() == ["b", "a", "c"]
    assert await names(sort="name", order="desc") == ["c", "b", "a"]
    assert await names(tag="gpu", sort="name") == ["a", "b"]
    assert await names(tag=["gpu", "eu"]) == ["a"]
    assert await names(pool="fast") == ["a"]
    assert await names(use_in_mcp="false") == ["b"]
    assert await names(is_active="false") == ["c"]
    assert await names(text="cellar") == ["c"]
    assert await names(name="a") == ["a"]
    assert await names(connection_type="openai") == []
    assert await names(limit=1, offset=1) == ["a"]


async def test_a_page_says_how_many_there_are_in_all(gateway: Gateway) -> None:
    for name in ("a", "b", "c"):
        await gateway.connection(name=name)
    page = (await gateway.call("editor", "GET", "/connections", params={"limit": 2})).json()
    assert len(page["items"]) == 2
    assert (page["total"], page["limit"], page["offset"]) == (3, 2, 0)


@pytest.mark.parametrize(
    "params", [{"tags": "x"}, {"limit": 0}, {"limit": 201}, {"sort": "secret"}, {"text": "\0"}]
)
async def test_a_question_that_makes_no_sense_is_refused(
    gateway: Gateway, params: dict[str, Any]
) -> None:
    problem(await gateway.call("editor", "GET", "/connections", params=params), 422)


# ── Switched, given a new key, removed ───────────────────────────────────────────────────────────


async def test_a_connection_is_switched_off_and_on(each_gateway: Gateway) -> None:
    path = f"/connections/{(await each_gateway.connection())['id']}"
    off = (await each_gateway.call("editor", "POST", f"{path}/deactivate")).json()
    assert (off["is_active"], off["status"]) == (False, "deactivated")
    assert off["status_reason"] == "by editor"
    on = (await each_gateway.call("editor", "PATCH", path, {"is_active": True})).json()
    assert (on["is_active"], on["status"], on["status_reason"]) == (True, "untested", "")


async def test_an_operator_may_switch_what_is_its_teams_and_nothing_else(gateway: Gateway) -> None:
    path = f"/connections/{(await gateway.connection(team='red', visibility='team'))['id']}"
    assert (await gateway.call("operator", "PATCH", path, {"is_active": False})).status_code == 200
    problem(await gateway.call("operator", "PATCH", path, {"is_active": True, "priority": 2}), 403)


async def test_a_key_is_replaced_and_taken_away(each_gateway: Gateway) -> None:
    made = await each_gateway.connection(api_key=KEY)
    path = f"/connections/{made['id']}"
    new = await each_gateway.call(
        "editor", "POST", f"{path}/rotate-key", {"api_key": "sk-abcdefghij-1234"}
    )
    assert new.json()["api_key_last4"] == "1234"
    stored = await each_gateway.store.get(SYSTEM, made["id"], secrets=True)
    assert stored.api_key == "sk-abcdefghij-1234"
    stale = {"api_key": "sk-other", "version": 1}
    problem(await each_gateway.call("editor", "POST", f"{path}/rotate-key", stale), 409)
    for nothing in (None, ""):
        await each_gateway.call("editor", "POST", f"{path}/rotate-key", {"api_key": "sk-other"})
        body = {"api_key": nothing}
        gone = await each_gateway.call("editor", "POST", f"{path}/rotate-key", body)
        assert gone.json()["api_key_set"] is False


async def test_what_is_removed_is_gone(each_gateway: Gateway) -> None:
    path = f"/connections/{(await each_gateway.connection())['id']}"
    assert (await each_gateway.call("editor", "DELETE", path)).content == b""
    problem(await each_gateway.call("editor", "GET", path), 404)
    problem(await each_gateway.call("editor", "DELETE", path), 404)


# ── Addresses ────────────────────────────────────────────────────────────────────────────────────

INSIDE = (
    "http://127.0.0.1:8000/v1",
    "http://2130706433/v1",
    "http://[::ffff:10.0.0.1]/v1",
    "http://169.254.169.254/latest",
    "http://localhost:11434",
)


@pytest.mark.parametrize("url", INSIDE)
async def test_an_address_inside_is_for_admins(gateway: Gateway, url: str) -> None:
    body = {"name": "inside", "base_url": url}
    path = f"/connections/{(await gateway.connection())['id']}"
    for refused in (
        await gateway.call("editor", "POST", "/connections", body),
        await gateway.call("editor", "PATCH", path, {"base_url": url}),
        await gateway.call("editor", "POST", "/connections/import", body),
    ):
        assert "administrator" in problem(refused, 403, "address-refused")["detail"]
    assert (await gateway.call("admin", "POST", "/connections", body)).status_code == 201
    listed = (await gateway.call("editor", "GET", "/connections")).json()["items"]
    assert [item["base_url"] for item in listed] == [PUBLIC]


async def test_an_actor_who_may_not_edit_cannot_have_an_address_vetted(gateway: Gateway) -> None:
    path = f"/connections/{(await gateway.connection(visibility='everyone'))['id']}"
    for who in ("viewer", "operator", "stranger"):
        answer = await gateway.call(who, "PATCH", path, {"base_url": INSIDE[0]})
        assert "may not edit" in problem(answer, 403, "forbidden")["detail"]


# ── The edges of HTTP ────────────────────────────────────────────────────────────────────────────


async def test_a_body_that_is_too_long_is_refused(gateway: Gateway) -> None:
    body = {"name": "a", "description": "x" * MAX_BODY}
    problem(await gateway.call("editor", "POST", "/connections", body), 413, "body-too-large")


async def test_a_body_that_says_it_is_too_long_is_not_waited_for(gateway: Gateway) -> None:
    declared = {"Content-Length": str(10**15)}
    answer = await gateway.call("editor", "POST", "/connections", {}, headers=declared)
    problem(answer, 413, "body-too-large")


@pytest.mark.parametrize("path", ["/chats", "/chats/1/messages", "/local-llm/ollama/pull"])
async def test_a_route_beside_those_of_chat_takes_no_more_without_a_key_than_others(
    gateway: Gateway, path: str
) -> None:
    body = {"name": "x" * MAX_BODY}
    problem(await gateway.call("nobody", "POST", path, body), 413, "body-too-large")


@pytest.mark.parametrize("path", ["/chat", "/local-llm/proxy", "/local-llm/stream"])
async def test_chat_of_older_programs_may_be_longer_and_is_read_for_a_key_alone(
    gateway: Gateway, path: str
) -> None:
    assert most_bytes(f"/api{path}") == MAX_CHAT_BODY
    body = {"messages": "x" * MAX_CHAT_BODY}
    problem(await gateway.call("nobody", "POST", path, body), 401, "unauthenticated")
    problem(await gateway.call("editor", "POST", path, body), 413, "body-too-large")


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        ("{", "application/json", 422),
        ("[" * 100_000, "application/json", 400),
        ("\xff", "application/json", 400),
        (json.dumps({"name": "a", "base_url": PUBLIC}), "text/plain", 422),
    ],
)
async def test_a_body_that_is_no_json_is_a_problem(
    gateway: Gateway, content: str, kind: str, status: int
) -> None:
    headers = {"Authorization": f"Bearer {gateway.keys['editor']}", "Content-Type": kind}
    answer = await gateway.client.post(
        "/api/connections", content=content.encode("latin-1"), headers=headers
    )
    document = problem(answer, status)
    places = [error["field"] for error in document.get("errors", ())]
    assert places == ["body"] * len(places)


async def test_paths_and_methods_that_are_not_there_are_problems(gateway: Gateway) -> None:
    problem(await gateway.call("editor", "GET", "/nowhere"), 404)
    wrong = await gateway.call("editor", "PUT", "/connections")
    assert set(wrong.headers["allow"].split(", ")) >= {"GET"}
    problem(wrong, 405)


async def test_health_and_readiness_need_no_key(gateway: Gateway) -> None:
    assert (await gateway.client.get(f"{HOST}/healthz")).json() == {"status": "ok"}
    assert (await gateway.client.get(f"{HOST}/readyz")).json() == {"status": "ready"}
