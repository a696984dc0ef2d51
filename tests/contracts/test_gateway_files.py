"""Tests presets, and connections as files, over HTTP."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from llm_router.connections.access import SYSTEM
from llm_router.connections.store import Query
from tests.contracts.databases import Files
from tests.contracts.gateway import PUBLIC, Gateway, gateway_on, problem

KEY = "sk-0123456789-wxyz"
MINE = "sk-of-the-process-itself"
RULES = {"name": "a", "provider": "offline", "base_url": "", "model_name": ""}


@pytest.fixture
async def keyed(files: Files) -> AsyncIterator[Gateway]:
    """Opens an API whose process has a key in its environment."""
    async with gateway_on(await files.new(), environ={"OPENAI_API_KEY": MINE}) as gateway:
        yield gateway


async def import_text(
    gateway: Gateway, text: str | bytes, who: str = "editor", **params: str
) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {gateway.keys[who]}", "Content-Type": "text/plain"}
    return await gateway.client.post(
        "/api/connections/import", content=text, params=params, headers=headers
    )


async def names(gateway: Gateway) -> list[str]:
    page = await gateway.store.find(SYSTEM, Query(limit=None, sort="name"))
    return [connection.name for connection in page.items]


async def test_a_file_with_comments_and_a_byte_order_mark_is_imported(
    each_gateway: Gateway,
) -> None:
    first = {"id": "cellar", "base_url": f"{PUBLIC}/", "model": "m", "api_key": KEY}
    second = {"name": "b", "provider": "offline"}
    rows = f"[{json.dumps(first)}, // ours\n{json.dumps(second)},]"
    text = f'\ufeff{{"connections": {rows}}}'
    answer = await import_text(each_gateway, text)
    assert answer.status_code == 201, answer.text
    assert [item["name"] for item in answer.json()["items"]] == ["cellar", "b"]
    assert answer.json()["items"][0]["id"] == "cellar"
    assert KEY not in answer.text
    assert (await each_gateway.store.get(SYSTEM, "cellar", secrets=True)).api_key == KEY


async def test_each_model_of_a_provider_becomes_a_connection(gateway: Gateway) -> None:
    models = [{"apiName": "m1", "uiName": "One"}, {"apiName": "m2", "supportsTools": False}]
    data = [{"provider": "box", "baseUrl": PUBLIC, "apiKey": KEY, "models": models}]
    answer = await import_text(gateway, json.dumps(data), format="openai_compatible")
    assert answer.status_code == 201, answer.text
    assert await names(gateway) == ["box m2", "box One"] or await names(gateway) == [
        "box One",
        "box m2",
    ]


async def test_lines_of_an_env_file_are_imported(gateway: Gateway) -> None:
    text = f"# mine\nLLM_BACKEND_TYPE=vllm\nVLLM_BASE_URL={PUBLIC}\nDEFAULT_MODEL='qwen'\n"
    answer = await import_text(gateway, text, format="env")
    (item,) = answer.json()["items"]
    assert (item["name"], item["base_url"], item["model_name"]) == ("vllm", PUBLIC, "qwen")


async def test_a_field_of_another_program_is_left_out_with_a_warning(gateway: Gateway) -> None:
    text = json.dumps({"name": "a", "base_url": PUBLIC, "created_at": "2026", "icon": "sk-1"})
    answer = (await import_text(gateway, text)).json()
    assert [item["name"] for item in answer["items"]] == ["a"]
    assert sorted(answer["warnings"]) == [
        "the body[0]: field 'created_at' is left out: it is none of a connection's",
        "the body[0]: field 'icon' is left out: it is none of a connection's",
    ]


@pytest.mark.parametrize(
    ("text", "format_", "said"),
    [
        ("{", "connections", "the body, line 1, column 2: not JSON"),
        ("", "connections", "not JSON"),
        ('[{"name": "a", "pririty": 1}]', "connections", 'the body[0]: unknown field "pririty"'),
        ('[{"base_url": "http://h"}]', "connections", '"name": is missing'),
        (f'[{{"name": "a", "base_url": "{PUBLIC}"}}, 7]', "connections", "the body[1]: must be"),
        ("{}", "openai_compatible", "must be an array of providers"),
        ("COLOUR=red", "env", "names no server"),
        ("LLM_BACKEND_TYPE=abacus", "env", "LLM_BACKEND_TYPE: must be one of"),
        (b"\xff\xfe", "connections", "is not UTF-8"),
    ],
)
async def test_an_error_is_named_and_nothing_is_imported(
    gateway: Gateway, text: str | bytes, format_: str, said: str
) -> None:
    assert said in problem(await import_text(gateway, text, format=format_), 422)["detail"]
    assert await names(gateway) == []


async def test_of_a_file_with_one_name_that_is_in_use_nothing_is_imported(
    each_gateway: Gateway,
) -> None:
    await each_gateway.connection(name="b")
    rows = [{"name": name, "base_url": PUBLIC} for name in ("a", "b")]
    assert problem(await import_text(each_gateway, json.dumps(rows)), 409)["field"] == "name"
    assert await names(each_gateway) == ["b"]


async def test_a_variable_of_the_process_is_for_admins(keyed: Gateway) -> None:
    text = json.dumps({"name": "a", "base_url": PUBLIC, "api_key": "env:OPENAI_API_KEY"})
    refused = await import_text(keyed, text)
    assert "OPENAI_API_KEY" in problem(refused, 422)["detail"]
    assert await names(keyed) == []
    answer = await import_text(keyed, text, "admin")
    assert MINE not in answer.text
    stored = await keyed.store.get(SYSTEM, answer.json()["items"][0]["id"], secrets=True)
    assert stored.api_key == MINE


async def test_an_export_can_be_imported_again_without_its_keys(gateway: Gateway) -> None:
    fields: dict[str, Any] = {"tags": ["a"], "priority": 4, "extra_body": {"seed": 1}}
    made = await gateway.connection(**fields, api_key=KEY, headers={"X-Secret": "hdr-012345"})
    out = await gateway.call("editor", "GET", "/connections/export")
    assert "llm_connections.json" in out.headers["content-disposition"]
    assert KEY not in out.text
    assert "hdr-" not in out.text
    (row,) = out.json()["connections"]
    assert row.items() >= {**fields, "id": made["id"], "name": "desk"}.items()
    await gateway.call("editor", "DELETE", f"/connections/{made['id']}")
    (back,) = (await import_text(gateway, out.content)).json()["items"]
    changed = {"created_at", "updated_at", "api_key_set", "api_key_last4", "header_names"}
    assert {n for n, value in back.items() if value != made[n]} == changed


# ── Presets ──────────────────────────────────────────────────────────────────────────────────────


async def test_presets_say_what_they_need(gateway: Gateway) -> None:
    presets = {p["name"]: p for p in (await gateway.call("viewer", "GET", "/presets")).json()}
    assert set(presets) == {"local-dev", "production", "multi-cloud"}
    assert presets["production"]["connections"] == ["anthropic", "openai", "groq"]
    assert presets["production"]["keys"]["openai"] == "OPENAI_API_KEY"
    assert presets["local-dev"]["keys"] == {}


async def test_a_preset_is_applied_whole_or_not_at_all(each_gateway: Gateway) -> None:
    keys = {"anthropic": "sk-1", "openai": "sk-2"}
    path = "/presets/production/apply"
    refused = await each_gateway.call("editor", "POST", path, {"keys": keys})
    assert "GROQ_API_KEY" in problem(refused, 422)["detail"]
    assert await names(each_gateway) == []
    keys["groq"] = KEY
    answer = await each_gateway.call("editor", "POST", path, {"keys": keys})
    assert [item["name"] for item in answer.json()["items"]] == ["anthropic", "openai", "groq"]
    assert KEY not in answer.text
    problem(await each_gateway.call("editor", "POST", path, {"keys": keys}), 409)


async def test_a_key_of_the_process_serves_the_presets_of_admins_alone(keyed: Gateway) -> None:
    keys = {"anthropic": "sk-1", "groq": "sk-3"}
    path = "/presets/production/apply"
    refused = await keyed.call("editor", "POST", path, {"keys": keys})
    assert "OPENAI_API_KEY" in problem(refused, 422)["detail"]
    answer = await keyed.call("admin", "POST", path, {"keys": keys})
    stored = await keyed.store.get(SYSTEM, answer.json()["items"][1]["id"], secrets=True)
    assert stored.api_key == MINE


async def test_a_preset_of_this_machine_is_for_admins(gateway: Gateway) -> None:
    problem(await gateway.call("editor", "POST", "/presets/local-dev/apply"), 403)
    answer = await gateway.call("admin", "POST", "/presets/local-dev/apply")
    assert [item["name"] for item in answer.json()["items"]] == ["ollama", "llama.cpp"]


async def test_an_unknown_preset_or_connection_is_named(gateway: Gateway) -> None:
    unknown = await gateway.call("editor", "POST", "/presets/moon/apply")
    assert "known: local-dev" in problem(unknown, 404)["detail"]
    strange = {"keys": {"moon": KEY}}
    refused = await gateway.call("editor", "POST", "/presets/production/apply", strange)
    assert "moon" in problem(refused, 422)["detail"]
    assert KEY not in refused.text


# ── A file applied as a whole ────────────────────────────────────────────────────────────────────


async def applied(gateway: Gateway, who: str, *rows: dict[str, Any], **params: Any) -> Any:
    return await gateway.call(who, "POST", "/connections/apply", [*rows], params=params)


async def test_a_plan_that_is_out_of_date_is_refused(each_gateway: Gateway) -> None:
    row = {"name": "a", "provider": "offline", "priority": 4}
    await each_gateway.connection(**RULES)
    shown = (await applied(each_gateway, "editor", row, dry_run=True)).json()
    assert shown["applied"] is False
    (changed,) = shown["changed"]
    assert changed["fields"] == {"priority": {"before": 0, "after": 4}}
    await each_gateway.call("editor", "PATCH", f"/connections/{changed['id']}", {"priority": 2})
    refused = problem(await applied(each_gateway, "editor", row, plan=shown["plan"]), 409)
    assert "make the plan again" in refused["detail"]
    again = (await applied(each_gateway, "editor", row, dry_run=True)).json()
    assert (await applied(each_gateway, "editor", row, plan=again["plan"])).json()["applied"]


async def test_connections_of_others_are_neither_changed_nor_pruned(each_gateway: Gateway) -> None:
    theirs = await each_gateway.connection("admin", name="a", visibility="everyone")
    row = {"name": "a", "provider": "offline"}
    plan = (await applied(each_gateway, "editor", row, prune=True)).json()
    assert (plan["added"], plan["removed"]) == (["a"], [])
    assert (await each_gateway.store.get(SYSTEM, theirs["id"])).version == 1
    assert (await each_gateway.store.find(SYSTEM, Query())).total == 2


async def test_a_connection_that_a_file_switches_off_says_so(each_gateway: Gateway) -> None:
    made = await each_gateway.connection(**RULES)
    await applied(each_gateway, "editor", {"name": "a", "provider": "offline", "is_active": False})
    stored = await each_gateway.store.get(SYSTEM, made["id"])
    assert (stored.status, stored.status_reason) == ("deactivated", "by editor")


async def test_one_refused_address_refuses_the_whole_file(
    each_gateway: Gateway,
) -> None:
    rows = {"name": "a", "provider": "offline"}, {"name": "b", "base_url": "http://169.254.169.254"}
    problem(await applied(each_gateway, "editor", *rows), 403)
    assert (await each_gateway.store.find(SYSTEM, Query())).total == 0
