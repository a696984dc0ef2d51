"""Tests the doors of older programs: chat of a vLLM proxy, and local models with an Ollama."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llm_router.gateway.buckets import TokenBuckets
from llm_router.gateway.rates import RateLimit
from llm_router.testing.server import Fault, FaultyServer, Script
from tests.contracts.databases import Files
from tests.contracts.gateway import STRANGER, Gateway, gateway_on, one_server, openai_error, problem

LOCAL = ("127.0.0.0/8",)
WORDS = "".join(Script().words)
MESSAGES = [{"role": "user", "content": "Hi?"}]
CHATS = ("/chat", "/local-llm/proxy", "/local-llm/stream")


@pytest.fixture
async def gateway(files: Files) -> AsyncIterator[Gateway]:
    async with gateway_on(
        await files.new(), allowed_addresses=LOCAL, local_llm_may_pull=True
    ) as gateway:
        yield gateway


def frames(text: str) -> list[Any]:
    """Parses a stream, which ends with [DONE]."""
    parts = text.removesuffix("\n\n").split("\n\n")
    assert parts.pop() == "data: [DONE]"
    return [json.loads(part.removeprefix("data: ")) for part in parts]


def said(frames: list[Any]) -> str:
    return "".join(frame["choices"][0]["delta"].get("content") or "" for frame in frames)


# ── Chat ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "fields", "is_streamed"),
    [
        ("/chat", {}, True),
        ("/chat", {"stream": None}, True),
        ("/chat", {"stream": True, "model": "m"}, True),
        ("/chat", {"stream": False}, False),
        ("/local-llm/proxy", {}, False),
        ("/local-llm/proxy", {"stream": True}, False),
        ("/local-llm/stream", {"model": "m", "provider": "desk"}, True),
        ("/local-llm/stream", {"stream": False}, True),
    ],
)
async def test_each_door_streams_as_its_programs_expect(
    gateway: Gateway, path: str, fields: dict[str, Any], is_streamed: bool
) -> None:
    async with one_server(gateway) as server:
        answer = await gateway.call("editor", "POST", path, {"messages": MESSAGES, **fields})
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-patchbay-connection"] == "desk"
        [sent] = server.requests
    assert "provider" not in sent.body
    if is_streamed:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert said(frames(answer.text)) == WORDS
    else:
        assert answer.json()["choices"][0]["message"]["content"] == WORDS


@pytest.mark.parametrize("path", CHATS)
async def test_errors_are_problems_that_name_the_field(gateway: Gateway, path: str) -> None:
    async with one_server(gateway):
        for body, status, kind, param in (
            ({}, 400, "missing-required-parameter", "messages"),
            ({"messages": MESSAGES, "temperature": 3}, 400, "invalid-value", "temperature"),
            ({"messages": MESSAGES, "model": "none"}, 404, "model-not-found", "model"),
            ({"messages": MESSAGES, "functions": [{}]}, 400, "unsupported-parameter", "functions"),
        ):
            said = problem(await gateway.call("editor", "POST", path, body), status, kind)
            assert said["param"] == param
        answer = await gateway.call("viewer", "POST", path, {"messages": MESSAGES})
        problem(answer, 403)


async def test_a_reply_that_no_connection_gives_is_a_problem(gateway: Gateway) -> None:
    async with one_server(gateway, Script(fault=Fault.STATUS, status=401)):
        answer = await gateway.call("editor", "POST", "/chat", {"messages": MESSAGES})
    assert "desk" in problem(answer, 502, "no-connection-answered")["detail"]


async def test_a_broken_stream_goes_on_at_another_connection(gateway: Gateway) -> None:
    breaks = Script(fault=Fault.RESET_AFTER, after=3)
    async with one_server(gateway, breaks, priority=1), FaultyServer() as other:
        await gateway.connection(name="attic", base_url=other.base_url, priority=2)
        answer = await gateway.call("editor", "POST", "/chat", {"messages": MESSAGES})
        assert answer.headers["x-patchbay-connection"] == "desk"
        assert len(other.requests) == 1
    assert frames(answer.text)[-1]["choices"][0]["finish_reason"] == "stop"


async def test_models_are_those_of_the_newer_door(gateway: Gateway) -> None:
    async with one_server(gateway):
        older = await gateway.call("editor", "GET", "/models")
        newer = await gateway.call("editor", "GET", "/v1/models")
    assert older.json() == newer.json()
    assert [model["id"] for model in older.json()["data"]] == ["auto", "desk", "default", "m"]


# ── Providers ────────────────────────────────────────────────────────────────────────────────────


async def test_a_connection_is_listed_as_a_provider_without_its_key(gateway: Gateway) -> None:
    async with one_server(gateway, api_key="sk-0123456789-wxyz", supports_tools=False) as server:
        [row] = (await gateway.call("editor", "GET", "/connections")).json()["items"]
        before = (await gateway.call("editor", "GET", "/local-llm/providers")).json()
        await gateway.call("editor", "POST", f"/connections/{row['id']}/test", {})
        checked = await gateway.call("editor", "GET", "/local-llm/providers")
        theirs = await gateway.call(STRANGER, "GET", "/local-llm/providers")
    assert before["providers"][0]["health"]["status"] == "unknown"
    [provider] = checked.json()["providers"]
    latency = provider["health"].pop("latencyMs")
    assert isinstance(latency, int)
    assert provider == {
        "provider": "desk",
        "baseUrl": server.base_url,
        "models": [{"apiName": "m", "uiName": "desk", "supportsTools": False}],
        "health": {
            "provider": "desk", "baseUrl": server.base_url, "status": "ok", "error": None
        },
    }  # fmt: skip
    assert "wxyz" not in checked.text
    assert theirs.json() == {"providers": []}


async def test_a_provider_of_several_models_is_meant_by_the_first_words_of_their_names(
    gateway: Gateway,
) -> None:
    models = [{"apiName": name, "uiName": name.upper()} for name in ("a", "b")]
    async with FaultyServer() as cellar, one_server(gateway, name="Cellarage"):
        data = [{"provider": "Cellar", "baseUrl": cellar.base_url, "models": models}]
        imported = await gateway.call(
            "editor", "POST", "/connections/import?format=openai_compatible", data
        )
        assert imported.status_code == 201, imported.text

        async def ask(**fields: str) -> Any:
            body = {"messages": MESSAGES, **fields}
            return await gateway.call("editor", "POST", "/local-llm/proxy", body)

        for fields, model in (
            ({"provider": "Cellar", "model": "b"}, "b"),
            ({"provider": "Cellar A"}, "a"),
        ):
            answer = await ask(**fields)
            assert answer.json()["model"] == model, answer.text
        refused = problem(await ask(provider="Cellar", model="m"), 404, "model-not-found")
        assert "Cellarage" not in refused["detail"]
        nowhere = problem(await ask(provider="Attic"), 404, "provider-not-found")
        assert (nowhere["param"], "Cellar A" in nowhere["detail"]) == ("provider", True)


# ── Ollama ───────────────────────────────────────────────────────────────────────────────────────


async def test_an_ollama_lists_pulls_and_deletes_models(gateway: Gateway) -> None:
    async with one_server(gateway, name="box", provider="ollama") as server:
        await gateway.connection(name="not one")
        call = gateway.call
        pulled = await call("editor", "POST", "/local-llm/ollama/pull", {"model": "tiny:1b"})
        assert pulled.status_code == 202
        assert (pulled.json()["provider"], pulled.json()["result"]["model"]) == ("box", "tiny:1b")
        while "tiny:1b" not in server.ollama.models:
            await gateway.services.clock.sleep(0.01)
        listed = (await call("editor", "GET", "/local-llm/ollama/list")).json()
        assert listed == {
            "provider": "box",
            "tags": {"models": [{"name": name, "model": name} for name in server.ollama.models]},
        }
        gone = await call("editor", "POST", "/local-llm/ollama/delete", {"model": "tiny:1b"})
        assert gone.json() == {"provider": "box", "result": {"status": "success"}}
        again = await call("editor", "POST", "/local-llm/ollama/delete", {"model": "tiny:1b"})
        assert "no model" in problem(again, 404)["detail"]


@pytest.mark.parametrize("route", ["pull", "delete"])
async def test_models_change_only_where_that_is_switched_on_and_by_editors(
    gateway: Gateway, route: str, files: Files
) -> None:
    path, body = f"/local-llm/ollama/{route}", {"model": "tiny:1b"}
    async with one_server(gateway, provider="ollama", team="red", visibility="team"):
        assert (
            "ask an admin"
            in problem(await gateway.call("operator", "POST", path, body), 403)["detail"]
        )
        problem(await gateway.call(STRANGER, "POST", path, body), 404)
        for wrong in ({"model": "a b"}, {"model": ""}, {}, {**body, "url": "http://x"}):
            problem(await gateway.call("editor", "POST", path, wrong), 422)
    async with (
        gateway_on(await files.new(), allowed_addresses=LOCAL) as other,
        one_server(other, provider="ollama") as server,
    ):
        refused = problem(await other.call("admin", "POST", path, body), 403)
        assert "LOCAL_LLM_ENABLE_PULL" in refused["detail"]
        assert not server.other_requests


async def test_an_ollama_that_is_down_or_not_set_up_is_a_problem(
    files: Files, unused_url: str
) -> None:
    async with gateway_on(await files.new(), allowed_addresses=LOCAL) as gateway:
        problem(await gateway.call("editor", "GET", "/local-llm/ollama/list"), 404)
        await gateway.connection(provider="ollama", base_url=unused_url)
        answer = await gateway.call("editor", "GET", "/local-llm/ollama/list")
        assert "unreachable" in problem(answer, 502, "model-server-failed")["detail"]
        named = await gateway.call("editor", "GET", "/local-llm/ollama/list?provider=other")
        assert "'other'" in problem(named, 404)["detail"]


# ── Limits ───────────────────────────────────────────────────────────────────────────────────────


async def test_each_user_has_a_bucket_for_each_route(files: Files) -> None:
    plenty = RateLimit("1000000/second")
    async with gateway_on(await files.new(), request_limit=plenty) as gateway:
        statuses = [
            (await gateway.call("editor", "GET", "/local-llm/providers")).status_code
            for _ in range(22)
        ]
        assert statuses[:20] == [200] * 20
        assert statuses[21] == 429
        refused = await gateway.call("editor", "GET", "/local-llm/providers")
        assert int(refused.headers["retry-after"]) >= 1
        problem(refused, 429, "rate-limited")
        other = await gateway.call("admin", "GET", "/local-llm/providers")
        assert other.status_code == 200
        await gateway.call("editor", "GET", "/local-llm/ollama/list")
        assert isinstance(gateway.services.buckets, TokenBuckets)


@pytest.mark.parametrize("path", ["/api/chat", "/api/local-llm/proxy", "/v1/chat/completions"])
async def test_a_body_with_images_may_be_as_long_as_at_the_newer_door(
    gateway: Gateway, path: str
) -> None:
    for size, status in ((3_000_000, 404), (9_000_000, 413)):
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * size}]})
        key = {"x-api-key": gateway.keys["editor"], "content-type": "application/json"}
        answer = await gateway.client.post(path, content=body, headers=key)
        if path.startswith("/v1"):
            openai_error(answer, status)
        else:
            problem(answer, status)
