"""Tests of the requests that providers send, and of invalid connections.

The bodies are those of chat completions; Ollama's are in test_wire_ollama.py.
"""

import copy
from typing import Any

import pytest

from llm_router.connections.record import Connection
from llm_router.errors import (
    ConfigurationError,
)
from llm_router.testing.server import FaultyServer, Script
from llm_router.types import ChatRequest
from tests.contracts.wire import (
    HISTORY,
    KEY,
    REQUEST,
    SECRET_WORDS,
    TEXT,
    connect,
    create,
    read,
    request_body,
    serve,
    text,
)


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/", "/v1/chat/completions"])
async def test_every_spelling_of_the_address_gives_the_same_request(end: str) -> None:
    async with FaultyServer() as server:
        async with connect(server.base_url.removesuffix("/v1") + end) as provider:
            assert text(await read(provider)) == TEXT
            assert await provider.models() == ["faulty"]
        assert server.requests[0].path == "/v1/chat/completions"


async def test_a_path_in_the_address_is_preserved() -> None:
    async with FaultyServer() as server:
        async with connect(server.base_url.removesuffix("/v1") + "/v1beta/openai/") as provider:
            await read(provider)
        assert server.requests[0].path == "/v1beta/openai/chat/completions"


async def test_requests_have_a_user_agent_and_the_key(wire: str) -> None:
    async with serve(headers={"x-tenant": "one"}, provider=wire) as (server, provider):
        await read(provider)
        headers = server.requests[0].headers
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["user-agent"].startswith("patchbay/")
    assert headers["x-tenant"] == "one"
    assert not [name for name in headers if "livekit" in name]


async def test_azure_gets_the_key_in_its_own_header() -> None:
    async with serve(server="azure") as (server, provider):
        await read(provider)
        assert server.requests[0].headers["api-key"] == KEY
        assert "authorization" not in server.requests[0].headers


async def test_no_key_means_no_header(wire: str) -> None:
    async with serve(api_key=None, provider=wire) as (server, provider):
        await read(provider)
        assert "authorization" not in server.requests[0].headers


async def test_an_unset_option_is_not_sent() -> None:
    assert await request_body(REQUEST) == {
        "model": "tiny",
        "messages": [{"role": "user", "content": SECRET_WORDS}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_the_request_takes_precedence_over_the_connection() -> None:
    request = ChatRequest(messages=REQUEST.messages, temperature=0.0, max_tokens=5, stop=["."])
    body = await request_body(request, temperature=0.9, top_p=0.8, max_tokens=99)
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.0, 0.8, 5)
    assert body["stop"] == ["."]


async def test_the_extra_body_takes_precedence_and_stays_unchanged() -> None:
    extra = {"temperature": 0.1, "stream_options": None, "deep": {"a": [1]}}
    before = copy.deepcopy(extra)
    body = await request_body(REQUEST, extra_body=extra, temperature=0.9)
    assert (body["temperature"], body["deep"]) == (0.1, {"a": [1]})
    assert "stream_options" not in body
    assert extra == before


async def test_each_server_gets_its_own_field_names() -> None:
    request = ChatRequest(messages=REQUEST.messages, max_tokens=7, seed=3)
    openai = await request_body(request, server="openai")
    assert (openai["max_completion_tokens"], openai["seed"]) == (7, 3)
    mistral = await request_body(request, server="mistral")
    assert (mistral["max_tokens"], mistral["random_seed"]) == (7, 3)
    assert "stream_options" not in mistral
    assert "seed" not in mistral
    vllm = await request_body(request, server="vllm")
    assert vllm["chat_template_kwargs"] == {"enable_thinking": False}


async def test_one_vendors_extras_do_not_reach_another() -> None:
    body = await request_body(ChatRequest(messages=HISTORY))
    function = {"name": "hours", "arguments": "{}"}
    call_made = {"id": "call_abc", "type": "function", "function": function}
    assert body["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Open?"},
        {"role": "assistant", "content": None, "tool_calls": [call_made]},
        {"role": "tool", "content": "9 to 5", "tool_call_id": "call_abc"},
        {"role": "assistant", "content": ""},
    ]


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ('{"day": "Mo"}', '{"day": "Mo"}'),
        ('{"day":', "{}"),
        ("null", "{}"),
        ("[]", "{}"),
        ("{'day': 'Mo'}", '{"day": "Mo"}'),
        ("{" + " " * 50_000, "{" + " " * 50_000),
    ],
    ids=["sound", "cut", "null", "a list", "Python's", "too long to read"],
)
async def test_arguments_in_the_history_are_an_object(arguments: str, sent: str) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    history: list[dict[str, Any]] = [
        {"role": "user", "content": "Open?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "9 to 5"},
    ]
    body = await request_body(ChatRequest(messages=history))
    assert body["messages"][1]["tool_calls"][0]["function"]["arguments"] == sent
    assert call["function"] == {"name": "f", "arguments": arguments}


async def test_content_beside_tool_calls_is_empty_in_the_servers_form() -> None:
    body = await request_body(ChatRequest(messages=HISTORY), server="llama_cpp_python")
    assert body["messages"][2]["content"] == ""


async def test_call_ids_have_the_form_that_a_server_requires() -> None:
    body = await request_body(ChatRequest(messages=HISTORY), server="mistral")
    made, answered = body["messages"][2]["tool_calls"][0]["id"], body["messages"][3]["tool_call_id"]
    assert made == answered
    assert made.isalnum()
    assert len(made) == 9


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (None, {"type": "object", "properties": {}}),
        ({}, {"type": "object", "properties": {}}),
        ({"type": "object"}, {"type": "object", "properties": {}}),
        ({"type": None, "required": []}, {"type": "object", "properties": {}, "required": []}),
        ({"type": "object", "properties": {"a": {}}}, {"type": "object", "properties": {"a": {}}}),
        ({"type": "object", "properties": None}, {"type": "object", "properties": {}}),
        ({"type": "object", "properties": []}, {"type": "object", "properties": {}}),
        (
            {"type": "object", "properties": {"a": {}}, "required": None},
            {"type": "object", "properties": {"a": {}}},
        ),
    ],
)
async def test_every_tool_has_a_schema_of_an_object(given: Any, sent: Any) -> None:
    function = {"name": "f"} if given is None else {"name": "f", "parameters": given}
    tool = {"type": "function", "function": function}
    body = await request_body(ChatRequest(messages=REQUEST.messages, tools=[tool]))
    assert body["tools"] == [{"type": "function", "function": {"name": "f", "parameters": sent}}]
    assert tool == {"type": "function", "function": function}


async def test_strict_is_sent_only_to_servers_that_accept_it() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    tool = {"type": "function", "function": {"name": "f", "strict": True, "parameters": schema}}
    request = ChatRequest(messages=REQUEST.messages, tools=[tool], tool_choice="auto")
    openai, other = await request_body(request, server="openai"), await request_body(request)
    assert openai["tools"] == [tool]
    assert other["tools"] == [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    assert other["tool_choice"] == "auto"
    assert tool["function"] == {"name": "f", "strict": True, "parameters": schema}


PREFIX = "Hello there, "
LAST = {"role": "assistant", "content": "Hello there,"}


@pytest.mark.parametrize(
    ("server", "last", "flags"),
    [
        ("vllm", LAST, {"continue_final_message": True, "add_generation_prompt": False}),
        ("ollama", LAST, {}),
        ("mistral", {**LAST, "prefix": True}, {}),
        ("moonshot", {**LAST, "partial": True}, {}),
        ("openai", REQUEST.messages[0], {}),
    ],
)
async def test_a_prefix_is_sent_in_the_servers_own_form(
    server: str, last: dict[str, Any], flags: dict[str, bool]
) -> None:
    body = await request_body(ChatRequest(messages=REQUEST.messages, prefix=PREFIX), server=server)
    assert body["messages"][-1] == last
    names = ("continue_final_message", "add_generation_prompt")
    assert {name: body[name] for name in names if name in body} == flags


async def test_the_connections_continuation_takes_precedence(wire: str) -> None:
    fields = {"continuation": "trailing", "provider": wire}
    async with serve(Script(continues=True), **fields) as (_, provider):
        assert provider.continuation == "trailing"
        rest = await read(provider, ChatRequest(messages=REQUEST.messages, prefix=PREFIX))
    assert text(rest) == " how can I help you?"


# --- Invalid connections


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "base_url is missing"),
        ({"base_url": "http://box:99999/v1"}, "base_url"),
        ({"base_url": "http://box", "api_key": "sk-\n-broken"}, "api_key and headers must not"),
        ({"base_url": "http://box", "api_key": "sk-“quoted”"}, "api_key holds a character"),
        ({"base_url": "http://box", "headers": {"x-a": "b\r\nc"}}, "api_key and headers must not"),
    ],
)
async def test_an_invalid_connection_is_refused_with_the_reason(
    fields: dict[str, Any], reason: str, wire: str
) -> None:
    with pytest.raises(ConfigurationError, match=reason) as caught:
        create(Connection(name="box", provider=wire, **fields))
    assert "broken" not in str(caught.value)


async def test_an_unknown_server_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"known: .*vllm"):
        create(Connection(name="box", base_url="http://box", server="nobody"))


async def test_white_space_around_a_key_does_no_harm(wire: str) -> None:
    async with serve(api_key=f"{KEY}\n", provider=wire) as (server, provider):
        await read(provider)
        assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
