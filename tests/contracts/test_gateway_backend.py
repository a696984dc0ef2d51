"""Tests the routes of programs that know one backend, below /api and at the root."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from llm_router.testing.server import FaultyServer
from tests.contracts.databases import Files
from tests.contracts.gateway import PUBLIC, Gateway, gateway_on, problem
from tests.contracts.wire import raw_server

MODELS = {"/v1/models": {"object": "list", "data": [{"id": "old"}, {"id": "new"}]}}


@pytest.fixture
async def open_gateway(files: Files) -> AsyncIterator[Gateway]:
    """Opens an API in which every actor may have this machine called."""
    async with gateway_on(await files.new(), allowed_addresses=("127.0.0.0/8",)) as gateway:
        yield gateway


async def backend(gateway: Gateway, who: str = "editor") -> dict[str, Any]:
    answer = await gateway.call(who, "GET", "/backend/models/status")
    assert answer.status_code == 200
    said: dict[str, Any] = answer.json()
    return said


async def loaded(gateway: Gateway) -> dict[str, Any]:
    """Waits for the end of the load, and returns the backend."""
    await gateway.services.model_loader.wait()
    return await backend(gateway)


async def load(gateway: Gateway, model: str) -> dict[str, Any]:
    answer = await gateway.call("editor", "POST", "/backend/load", {"model_name_or_path": model})
    assert answer.status_code == 202, answer.text
    assert answer.json()["state"] == "loading"
    return await loaded(gateway)


async def test_without_a_connection_there_is_no_backend(gateway: Gateway) -> None:
    said = await backend(gateway)
    assert (said["status"], said["active_model"], said["backend_type"]) == ("none", "", None)
    for method, path, body in (
        ("POST", "/backend/load", {"model_name_or_path": "m"}),
        ("PATCH", "/backend/config", {"top_p": 0.5}),
    ):
        refused = problem(await gateway.call("editor", method, path, body), 404)
        assert "add one" in refused["detail"]


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"server": "vllm"}, "vllm"),
        ({"server": "ollama"}, "ollama"),
        ({"server": "instructlab"}, "instructlab"),
        ({"server": "groq"}, "openai"),
        ({}, "openai"),
    ],
)
async def test_the_first_connection_is_the_backend(
    gateway: Gateway, fields: dict[str, Any], kind: str
) -> None:
    await gateway.connection(name="later", priority=9)
    await gateway.connection(name="rules", provider="offline", base_url="", priority=-1)
    await gateway.connection(name="off", priority=-2, is_active=False)
    made = await gateway.connection(name="first", model_name="m", temperature=0.3, **fields)
    said = await backend(gateway)
    assert (said["connection_id"], said["connection"]) == (made["id"], "first")
    assert (said["backend_type"], said["backend_url"]) == (kind, PUBLIC)
    assert (said["active_model"], said["status"]) == ("m", "untested")
    assert said["config"]["temperature"] == 0.3
    assert said["loading"] is None


async def test_the_routes_answer_at_the_root_as_well(gateway: Gateway) -> None:
    made = await gateway.connection()
    headers = {"Authorization": f"Bearer {gateway.keys['editor']}"}
    said = (await gateway.client.get("/models/status", headers=headers)).json()
    assert said["connection_id"] == made["id"]
    changed = await gateway.client.patch("/config", json={"top_p": 0.5}, headers=headers)
    assert changed.json()["top_p"] == 0.5
    problem(await gateway.client.get("/models/status"), 401)
    problem(await gateway.client.post("/load", json={}, headers=headers), 422)
    document = (await gateway.client.get("/api/openapi.json")).json()
    assert "/api/backend/load" in document["paths"]
    assert "/load" not in document["paths"]


# --- Loading


async def test_a_loaded_model_is_used_from_then_on(open_gateway: Gateway) -> None:
    async with FaultyServer(pages=MODELS) as server:
        made = await open_gateway.connection(base_url=server.base_url, model_name="old")
        said = await load(open_gateway, "new")
    assert (said["active_model"], said["loading"]["state"]) == ("new", "ready")
    assert said["loading"]["progress"] == 1.0
    after = (await open_gateway.call("editor", "GET", f"/connections/{made['id']}")).json()
    assert (after["model_name"], after["version"]) == ("new", made["version"] + 1)


async def test_a_model_that_the_server_lacks_leaves_the_present_one(open_gateway: Gateway) -> None:
    async with FaultyServer(pages=MODELS) as server:
        await open_gateway.connection(base_url=server.base_url, model_name="old")
        said = await load(open_gateway, "nothing")
    assert (said["active_model"], said["loading"]["state"]) == ("old", "failed")
    assert said["loading"]["detail"] == "the server does not serve 'nothing'; it serves: old, new"


async def test_a_server_that_is_down_fails_the_load_with_advice(
    open_gateway: Gateway, unused_url: str
) -> None:
    await open_gateway.connection(base_url=unused_url, model_name="old")
    said = await load(open_gateway, "new")
    assert said["loading"]["detail"].startswith("unreachable")
    assert "is the server running" in said["loading"]["detail"]


async def test_one_model_is_loaded_at_a_time(open_gateway: Gateway) -> None:
    async with raw_server(hold=True) as url:
        await open_gateway.connection(base_url=url, model_name="old")
        first, second = [
            await open_gateway.call("editor", "POST", "/backend/load", {"model_name_or_path": name})
            for name in ("new", "old")
        ]
        assert first.status_code == 202
        assert "'new' is being loaded" in problem(second, 409)["detail"]
        assert (await backend(open_gateway))["status"] == "loading"
        await open_gateway.services.model_loader.aclose()
    assert (await backend(open_gateway))["loading"]["detail"] == "it was given up"


async def test_a_load_is_in_the_audit_log(open_gateway: Gateway) -> None:
    async with FaultyServer(pages=MODELS) as server:
        made = await open_gateway.connection(base_url=server.base_url)
        await load(open_gateway, "new")
    entries = (await open_gateway.call("admin", "GET", f"/audit?target={made['id']}")).json()[
        "items"
    ]
    assert {entry["action"] for entry in entries} >= {"load"}


async def test_the_backend_of_another_owner_cannot_be_changed(gateway: Gateway) -> None:
    await gateway.connection("admin", visibility="everyone")
    for method, path, body in (
        ("POST", "/backend/load", {"model_name_or_path": "m"}),
        ("PATCH", "/backend/config", {"top_p": 0.5}),
    ):
        problem(await gateway.call("editor", method, path, body), 403)


# --- Settings


async def test_settings_that_are_named_change_and_the_rest_stays(gateway: Gateway) -> None:
    made = await gateway.connection(temperature=0.3, top_p=0.8, extra_body={"seed": 1, "top_k": 5})
    body = {"temperature": None, "max_tokens": 99, "extra": {"top_k": 20, "seed": None}}
    said = (await gateway.call("editor", "PATCH", "/backend/config", body)).json()
    assert said == {"temperature": None, "top_p": 0.8, "max_tokens": 99, "extra": {"top_k": 20}}
    after = (await gateway.call("editor", "GET", f"/connections/{made['id']}")).json()
    assert (after["top_p"], after["max_tokens"], after["extra_body"]) == (0.8, 99, {"top_k": 20})


@pytest.mark.parametrize("body", [{"temperature": 3}, {"max_tokens": 0}, {"model": "m"}])
async def test_invalid_settings_are_refused(gateway: Gateway, body: dict[str, Any]) -> None:
    await gateway.connection()
    problem(await gateway.call("editor", "PATCH", "/backend/config", body), 422)
