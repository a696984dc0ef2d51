"""Tests assistants over HTTP: created, changed, restored, compared."""

from typing import Any

import pytest

from tests.contracts.gateway import Gateway, problem

SHOP = {"name": "shop", "greeting": "The shop.", "languages": ["en"], "tools": ["end_call"]}


async def shop(gateway: Gateway) -> dict[str, Any]:
    answer = await gateway.call("editor", "POST", "/assistants", SHOP)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_an_assistant_is_created_and_read(gateway: Gateway) -> None:
    made = await shop(gateway)
    assert {name: made[name] for name in SHOP} == SHOP
    assert (made["version"], made["author"], made["instructions"]) == (1, "editor", None)
    read = await gateway.call("operator", "GET", "/assistants/shop")
    assert read.json() == made
    page = await gateway.call("operator", "GET", "/assistants")
    assert page.json() == {"items": [made], "total": 1, "limit": 50, "offset": 0}
    problem(await gateway.call("editor", "POST", "/assistants", SHOP), 409)


async def test_a_change_names_its_fields_and_null_clears_one(gateway: Gateway) -> None:
    await shop(gateway)
    body = {"greeting": None, "speed": 1.2, "version": 1}
    answer = await gateway.call("editor", "PATCH", "/assistants/shop", body)
    changed = answer.json()
    assert (changed["greeting"], changed["speed"], changed["version"]) == (None, 1.2, 2)
    assert changed["languages"] == ["en"]
    problem(await gateway.call("editor", "PATCH", "/assistants/shop", body), 409)


async def test_versions_are_listed_compared_and_restored(gateway: Gateway) -> None:
    first = await shop(gateway)
    await gateway.call("admin", "PATCH", "/assistants/shop", {"greeting": "Hello."})
    versions = (await gateway.call("operator", "GET", "/assistants/shop/versions")).json()
    assert [(v["version"], v["author"]) for v in versions["items"]] == [(2, "admin"), (1, "editor")]
    old = await gateway.call("operator", "GET", "/assistants/shop/versions/1")
    assert old.json() == first
    diff = await gateway.call("operator", "GET", "/assistants/shop/diff?before=1")
    assert diff.json() == {"fields": {"greeting": {"before": "The shop.", "after": "Hello."}}}
    body = {"to": 1, "version": 2}
    back = (await gateway.call("editor", "POST", "/assistants/shop/rollback", body)).json()
    assert (back["version"], back["restored"], back["greeting"]) == (3, 1, "The shop.")
    problem(await gateway.call("editor", "POST", "/assistants/shop/rollback", body), 409)


async def test_what_is_deleted_is_gone_with_its_versions(gateway: Gateway) -> None:
    await shop(gateway)
    problem(await gateway.call("editor", "DELETE", "/assistants/shop?version=7"), 409)
    assert (await gateway.call("editor", "DELETE", "/assistants/shop")).status_code == 204
    for path in ("/assistants/shop", "/assistants/shop/versions", "/assistants/shop/versions/1"):
        problem(await gateway.call("operator", "GET", path), 404)


@pytest.mark.parametrize(
    "body",
    [
        {"name": "The Shop"},
        {"name": "shop", "greting": "Hi"},
        {"name": "shop", "speed": 9},
        {"name": "shop", "speed": "1"},
        {"name": "shop", "keep_days": 0},
        {"name": "shop", "endpointing_min_delay": 2, "endpointing_max_delay": 1},
    ],
)
async def test_what_cannot_be_an_assistant_is_refused(
    gateway: Gateway, body: dict[str, Any]
) -> None:
    problem(await gateway.call("editor", "POST", "/assistants", body), 422)


async def test_an_edit_must_leave_the_whole_in_order(gateway: Gateway) -> None:
    await shop(gateway)
    await gateway.call("editor", "PATCH", "/assistants/shop", {"endpointing_max_delay": 1})
    body = {"endpointing_min_delay": 2}
    said = problem(await gateway.call("editor", "PATCH", "/assistants/shop", body), 422)
    assert "endpointing_min_delay must not be above" in said["detail"]
