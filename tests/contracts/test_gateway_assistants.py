"""Tests assistants over HTTP: created, changed, restored, compared."""

from typing import Any

import pytest

from llm_router.connections.access import WORKER
from llm_router.errors import ConfigurationError
from llm_router.voice.assistant import parse_assistant
from tests.contracts.databases import Files
from tests.contracts.gateway import Gateway, gateway_on, problem

SHOP = {
    "name": "shop", "greeting": "The shop.", "languages": ["en"], "tools": ["end_call"],
    "visibility": "everyone",
}  # fmt: skip


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


# ── Owners ───────────────────────────────────────────────────────────────────────────────────────


async def test_an_assistant_is_its_owners_and_private_until_that_is_changed(
    gateway: Gateway,
) -> None:
    body = {**SHOP, "visibility": "private"}
    made = (await gateway.call("editor", "POST", "/assistants", body)).json()
    assert (made["owner"], made["team"], made["source"]) == ("editor", "", "stored")
    for path in ("", "/versions", "/versions/1", "/diff"):
        problem(await gateway.call("operator", "GET", f"/assistants/shop{path}"), 404)
    listed = (await gateway.call("operator", "GET", "/assistants")).json()
    assert (listed["items"], listed["total"]) == ([], 0)
    # Calls and admins reach every assistant.
    assert (await gateway.call("admin", "GET", "/assistants/shop")).status_code == 200
    assert (await gateway.services.assistants.open(WORKER)).records.keys() == {"shop"}
    shared = {"visibility": "team", "team": "red"}
    changed = (await gateway.call("editor", "PATCH", "/assistants/shop", shared)).json()
    assert (changed["visibility"], changed["version"]) == ("team", 1)
    assert (await gateway.call("operator", "GET", "/assistants/shop")).json() == changed


async def test_only_the_owner_its_team_and_admins_change_an_assistant(gateway: Gateway) -> None:
    await gateway.call("admin", "POST", "/assistants", {**SHOP, "owner": "someone", "team": "red"})
    await gateway.call("admin", "POST", "/assistants", {**SHOP, "name": "desk", "team": "blue"})
    edit = {"greeting": "Hello."}
    answer = await gateway.call("editor", "PATCH", "/assistants/shop", edit)
    assert answer.status_code == 200, answer.text  # its team's
    for method, path, body in (
        ("PATCH", "desk", edit),
        ("POST", "desk/rollback", {"to": 1}),
        ("DELETE", "desk", None),
        ("PATCH", "shop", {"owner": "editor"}),
        ("PATCH", "shop", {"team": "blue"}),
    ):
        refused = problem(await gateway.call("editor", method, f"/assistants/{path}", body), 403)
        assert "ask an admin" in refused["detail"]
    moved = await gateway.call("admin", "PATCH", "/assistants/shop", {"owner": "editor"})
    assert moved.json()["owner"] == "editor"
    entry, *_ = (await gateway.call("admin", "GET", "/audit?target=shop")).json()["items"]
    assert (entry["action"], entry["before"]["owner"], entry["after"]["owner"]) == (
        "transfer", "someone", "editor",
    )  # fmt: skip


async def test_an_editor_adds_no_assistant_to_another_team(gateway: Gateway) -> None:
    problem(await gateway.call("editor", "POST", "/assistants", {**SHOP, "team": "blue"}), 403)
    body = {**SHOP, "owner": "someone"}
    made = (await gateway.call("editor", "POST", "/assistants", body)).json()
    assert made["owner"] == "editor"


# ── The file ─────────────────────────────────────────────────────────────────────────────────────


async def test_assistants_of_the_file_are_listed_after_the_stored_ones_and_marked(
    files: Files,
) -> None:
    names = ("shop", "desk", "night")
    in_file = {name: parse_assistant({"name": name, "greeting": "File."}) for name in names}
    async with gateway_on(await files.new(), assistants_in_file=lambda: in_file) as gateway:
        await shop(gateway)
        page = (await gateway.call("operator", "GET", "/assistants")).json()
        rows = [(item["name"], item["source"], item["version"]) for item in page["items"]]
        assert rows == [("shop", "stored", 1), ("desk", "file", 0), ("night", "file", 0)]
        assert page["total"] == 3
        second = (await gateway.call("operator", "GET", "/assistants?limit=1&offset=1")).json()
        assert [item["name"] for item in second["items"]] == ["desk"]
        one = (await gateway.call("operator", "GET", "/assistants/desk")).json()
        assert (one["greeting"], one["at"]) == ("File.", None)
        assert (await gateway.call("operator", "GET", "/assistants/shop")).json()["version"] == 1
        problem(await gateway.call("viewer", "GET", "/assistants/desk"), 403)
        problem(await gateway.call("admin", "PATCH", "/assistants/desk", {"speed": 1.1}), 404)


async def test_an_assistant_of_the_file_is_copied_and_changed_from_then_on(files: Files) -> None:
    in_file = {"desk": parse_assistant({"name": "desk", "greeting": "File."})}
    async with gateway_on(await files.new(), assistants_in_file=lambda: in_file) as gateway:
        copied = await gateway.call("editor", "POST", "/assistants/desk/copy")
        assert (copied.status_code, copied.json()["source"]) == (201, "stored")
        assert copied.json()["greeting"] == "File."
        changed = await gateway.call("editor", "PATCH", "/assistants/desk", {"greeting": "Mine."})
        assert (changed.json()["version"], changed.json()["greeting"]) == (2, "Mine.")
        again = await gateway.call("editor", "POST", "/assistants/desk/copy")
        assert again.status_code == 409


async def test_a_file_that_is_spoilt_leaves_the_stored_ones(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    def spoilt() -> Any:
        raise ConfigurationError("assistants.toml: is not valid TOML")

    async with gateway_on(await files.new(), assistants_in_file=spoilt) as gateway:
        await shop(gateway)
        page = (await gateway.call("operator", "GET", "/assistants")).json()
        assert page["total"] == 1
    assert "assistants.toml: is not valid TOML" in caplog.text
