"""Tests responses, messages and older completions with real keys and a real store."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from llm_router.testing.script import event
from llm_router.testing.server import Fault, FaultyServer, Script
from llm_router.types import ToolCall
from tests.contracts.databases import Files
from tests.contracts.gateway import (
    STRANGER,
    Gateway,
    anthropic_error,
    chat_error,
    gateway_on,
    openai_error,
)

LOCAL = ("127.0.0.0/8",)
WORDS = "".join(Script().words)
QUESTION = [{"role": "user", "content": "Hi?"}]
BODIES: dict[str, dict[str, Any]] = {
    "/v1/responses": {"model": "auto", "input": "Hi?"},
    "/v1/messages": {"model": "auto", "max_tokens": 9, "messages": QUESTION},
    "/v1/completions": {"model": "auto", "prompt": "Hi?"},
}
each_path = pytest.mark.parametrize("path", BODIES)


@pytest.fixture
async def gateway(files: Files) -> AsyncIterator[Gateway]:
    async with gateway_on(await files.new(), allowed_addresses=LOCAL) as gateway:
        yield gateway


@pytest.fixture
async def server(gateway: Gateway) -> AsyncIterator[FaultyServer]:
    async with FaultyServer() as server:
        await gateway.connection(base_url=server.base_url, supports_images=True)
        yield server


@each_path
async def test_a_reply_comes_over_the_router_of_chat_completions(
    gateway: Gateway, server: FaultyServer, path: str
) -> None:
    answer = await gateway.call("editor", "POST", path, BODIES[path])
    assert answer.status_code == 200, answer.text
    assert WORDS in answer.text
    assert answer.json()["model"] == answer.headers["x-patchbay-model"] == "m"
    assert answer.headers["x-patchbay-connection"] == "desk"
    assert server.requests[0].messages == QUESTION


@each_path
async def test_an_unknown_model_lists_those_there_are(
    gateway: Gateway, server: FaultyServer, path: str
) -> None:
    asked = {**BODIES[path], "model": "nothing"}
    answer = await gateway.call("editor", "POST", path, asked)
    assert "desk" in chat_error(answer, 404)["message"]
    hidden = await gateway.call(STRANGER, "POST", path, BODIES[path])
    assert "desk" not in chat_error(hidden, 404)["message"]
    assert not server.requests


@each_path
async def test_bodies_and_keys_are_refused_in_the_form_of_the_route(
    gateway: Gateway, path: str
) -> None:
    chat_error(await gateway.call("", "POST", path, BODIES[path]), 401)
    chat_error(await gateway.call("editor", "PUT", path), 405)
    headers = {"x-api-key": gateway.keys["editor"]}
    for content, status in ((b"{", 400), (b" " * 8_000_001, 413)):
        answer = await gateway.client.post(path, content=content, headers=headers)
        chat_error(answer, status)


async def test_errors_of_messages_name_their_request_twice(
    gateway: Gateway, server: FaultyServer
) -> None:
    await server.behave(Script(fault=Fault.STATUS, status=500))
    answer = await gateway.call("editor", "POST", "/v1/messages", BODIES["/v1/messages"])
    assert anthropic_error(answer, 502)["type"] == "api_error"
    assert answer.headers["x-should-retry"] == "false"
    named = {answer.json()["request_id"], answer.headers["request-id"]}
    assert named == {answer.headers["x-request-id"]}


@pytest.mark.parametrize("way", ["GET", "POST", "DELETE"])
async def test_no_response_is_stored(gateway: Gateway, way: str) -> None:
    for path in ("/v1/responses/resp_1", "/v1/responses/resp_1/input_items"):
        error = openai_error(await gateway.call("editor", way, path), 404)
        assert error["code"] == "response_not_found"
        assert "`input`" in error["message"]


async def test_tools_and_images_reach_the_server(gateway: Gateway, server: FaultyServer) -> None:
    call = ToolCall("call_1", "lookup", '{"a": 1}')
    await server.behave(Script(words=(), tool_calls=[call]))
    image = {"type": "base64", "media_type": "image/png", "data": "AA=="}
    content = [{"type": "image", "source": image}, {"type": "text", "text": "Hi?"}]
    asked = {
        "model": "auto", "max_tokens": 9, "messages": [{"role": "user", "content": content}],
        "tools": [{"name": "lookup", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "any"}, "stop_sequences": ["END"], "system": "Be brief.",
    }  # fmt: skip
    answer = (await gateway.call("editor", "POST", "/v1/messages", asked)).json()
    [block] = answer["content"]
    assert (block["type"], block["id"], block["input"]) == ("tool_use", "call_1", {"a": 1})
    assert answer["stop_reason"] == "tool_use"
    body = server.requests[0].body
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert body["messages"][1]["content"][0]["image_url"]["url"] == "data:image/png;base64,AA=="
    assert body["tools"][0]["function"]["name"] == "lookup"
    assert (body["tool_choice"], body["stop"], body["max_tokens"]) == ("required", ["END"], 9)


@pytest.mark.parametrize("field", ["stop_reason", "matched_stop"])
@pytest.mark.parametrize(
    ("met", "ending"), [("END", ("stop_sequence", "END")), (7, ("end_turn", None)),
                        ("of its own", ("end_turn", None))],
)  # fmt: skip
async def test_the_stop_sequence_is_that_which_the_server_says_it_met(
    gateway: Gateway, server: FaultyServer, field: str, met: Any, ending: tuple[str, str | None]
) -> None:
    last = {"delta": {"content": "Yes."}, "finish_reason": "stop", field: met}
    asked = {"model": "auto", "max_tokens": 9, "stop_sequences": ["END"],
             "messages": [{"role": "user", "content": "Hi?"}]}  # fmt: skip
    await server.behave(Script(raw=[event({"choices": [last]}), event("[DONE]")]))
    whole = (await gateway.call("editor", "POST", "/v1/messages", asked)).json()
    assert (whole["stop_reason"], whole["stop_sequence"]) == ending
    answer = await gateway.call("editor", "POST", "/v1/messages", {**asked, "stream": True})
    data = [line.removeprefix("data: ") for line in answer.text.splitlines() if "stop_seq" in line]
    [delta] = [one["delta"] for one in map(json.loads, data) if one["type"] == "message_delta"]
    assert (delta["stop_reason"], delta["stop_sequence"]) == ending


async def test_tokens_are_counted_without_asking_a_server(
    gateway: Gateway, server: FaultyServer
) -> None:
    path = "/v1/messages/count_tokens"
    long = {"model": "auto", "messages": [{"role": "user", "content": "word " * 400}]}
    counted = []
    tool = {"name": "lookup", "input_schema": {"type": "object"}}
    for asked in (long, {**long, "system": "x" * 400}, {**long, "tools": [tool]}):
        answer: httpx2.Response = await gateway.call("editor", "POST", path, asked)
        counted.append(answer.json()["input_tokens"])
    plain, prompted, tooled = counted
    assert (plain, prompted) == (500, 600)
    assert tooled > plain
    unknown = await gateway.call("editor", "POST", path, {**long, "model": "nothing"})
    assert anthropic_error(unknown, 404)["type"] == "not_found_error"
    assert not server.requests
