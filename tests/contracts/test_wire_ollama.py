"""Tests of Ollama's own API: requests, replies and errors."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from llm_router.classification import classify
from llm_router.connections.record import Connection
from llm_router.errors import (
    BrokenStreamError,
    ConfigurationError,
    StatusError,
)
from llm_router.failures import FailureClass
from llm_router.testing.server import Fault, FaultyServer, Script
from llm_router.types import ChatRequest, ToolCall, Usage
from tests.contracts.wire import (
    CALLING,
    HISTORY,
    REQUEST,
    TEXT,
    connect,
    create,
    http,
    raw_server,
    read,
    reply_to,
    serve,
    text,
)

OLLAMA: dict[str, Any] = {"provider": "ollama", "model_name": "tiny"}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
OTHER = {"type": "function", "function": {"name": "g", "parameters": {}}}


async def request_body(request: ChatRequest = REQUEST, **fields: Any) -> dict[str, Any]:
    """Returns the body that the server receives for a request."""
    async with serve(**OLLAMA, **fields) as (server, provider):
        await read(provider, request)
        return dict(server.requests[0].body)


async def options(request: ChatRequest = REQUEST, **fields: Any) -> Mapping[str, Any]:
    sent: Mapping[str, Any] = (await request_body(request, **fields))["options"]
    return sent


def lines(*objects: Any) -> Script:
    """Returns a reply of these lines."""
    text = "".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in objects)
    return Script(raw=[text.encode()])


def message(done: str | None = None, **fields: Any) -> dict[str, Any]:
    end = {} if done is None else {"done": True, "done_reason": done}
    return {"message": {"role": "assistant", "content": "", **fields}, **end}


# --- Requests


@pytest.mark.parametrize("end", ["", "/", "/api", "/api/", "/api/chat", "/v1", "/v1/"])
async def test_every_spelling_of_the_address_gives_the_same_request(end: str) -> None:
    async with FaultyServer() as server:
        root = server.base_url.removesuffix("/v1")
        async with connect(root + end, **OLLAMA) as provider:
            assert text(await read(provider)) == TEXT
            assert await provider.models() == ["faulty:latest"]
        async with connect(f"{root}/box/ollama{end}", **OLLAMA) as provider:
            await read(provider)
    assert [r.path for r in server.requests] == ["/api/chat", "/box/ollama/api/chat"]


async def test_an_unset_option_is_not_sent_and_reasoning_is_off() -> None:
    assert await request_body() == {
        "model": "tiny",
        "messages": [dict(message) for message in REQUEST.messages],
        "stream": True,
        "think": False,
        "options": {},
    }


async def test_options_get_ollamas_names() -> None:
    request = ChatRequest(
        messages=REQUEST.messages, temperature=0.0, max_tokens=5, stop=["."], seed=7
    )
    fields = {"temperature": 0.9, "top_p": 0.8, "max_tokens": 99, "context_length": 8192}
    assert await options(request, **fields) == {
        "temperature": 0.0,
        "top_p": 0.8,
        "num_predict": 5,
        "num_ctx": 8192,
        "stop": ["."],
        "seed": 7,
    }


async def test_the_extra_body_takes_precedence_inside_and_beside_options() -> None:
    extra = {
        "keep_alive": "1h",
        "think": True,
        "top_k": 40,
        "temperature": None,
        "options": {"num_ctx": 512},
    }
    body = await request_body(extra_body=extra, temperature=0.9, context_length=8192)
    assert (body["keep_alive"], body["think"]) == ("1h", True)
    assert body["options"] == {"top_k": 40, "num_ctx": 512}


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        ({"type": "json_object"}, "json"),
        ({"type": "json_schema", "json_schema": {"schema": {"type": "x"}}}, {"type": "x"}),
        ({"type": "text"}, None),
    ],
)  # fmt: skip
async def test_a_response_format_becomes_ollamas_format(wanted: dict[str, Any], sent: Any) -> None:
    body = await request_body(ChatRequest(messages=REQUEST.messages, response_format=wanted))
    assert body.get("format") == sent


async def test_the_history_keeps_its_tool_calls_and_loses_vendors_extras() -> None:
    body = await request_body(ChatRequest(messages=HISTORY))
    assert body["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Open?"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "hours", "arguments": {}}}],
        },
        {"role": "tool", "content": "9 to 5", "tool_name": "hours"},
        {"role": "assistant", "content": ""},
    ]


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ('{"day": "Mo"}', {"day": "Mo"}),
        ('"{\\"day\\": \\"Mo\\"}"', {"day": "Mo"}),
        ('""', {}),
        ("[]", {}),
        ("{'day': 'Mo'}", {"day": "Mo"}),
        ('{"a":' * 100_000, {}),
    ],
    ids=["sound", "encoded twice", "no text", "a list", "Python's", "nested too deep"],
)
async def test_arguments_in_the_history_are_an_object(arguments: str, sent: dict[str, Any]) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    history = [*REQUEST.messages, {"role": "assistant", "content": None, "tool_calls": [call]}]
    body = await request_body(ChatRequest(messages=history))
    assert body["messages"][-1]["tool_calls"] == [{"function": {"name": "f", "arguments": sent}}]


async def test_every_tool_has_a_schema_of_an_object() -> None:
    given: dict[str, Any] = {"type": "object", "properties": [], "required": None}
    tool = {"type": "function", "function": {"name": "f", "parameters": given}}
    body = await request_body(ChatRequest(messages=REQUEST.messages, tools=[tool]))
    sent = {"type": "object", "properties": {}}
    assert body["tools"] == [{"type": "function", "function": {"name": "f", "parameters": sent}}]


async def test_a_picture_is_sent_beside_the_text() -> None:
    seen = {"role": "user", "content": [{"type": "text", "text": "What is this?"}, PICTURE]}
    body = await request_body(ChatRequest(messages=[seen]))
    assert body["messages"] == [{"role": "user", "content": "What is this?", "images": ["QUJD"]}]


async def test_a_picture_by_address_is_refused() -> None:
    away = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    with pytest.raises(StatusError) as caught:
        await reply_to(
            Script(), ChatRequest(messages=[{"role": "user", "content": [away]}]), **OLLAMA
        )
    assert classify(caught.value).consequence.next == "another kind"


@pytest.mark.parametrize(
    ("choice", "shown"),
    [
        (None, ["f", "g"]),
        ("auto", ["f", "g"]),
        ("none", []),
        ({"type": "function", "function": {"name": "g"}}, ["g"]),
    ],
)
async def test_a_tool_that_may_not_be_chosen_is_not_sent(choice: Any, shown: list[str]) -> None:
    request = ChatRequest(messages=REQUEST.messages, tools=[TOOL, OTHER], tool_choice=choice)
    tools = (await request_body(request)).get("tools", [])
    assert [tool["function"]["name"] for tool in tools] == shown


async def test_a_prefix_becomes_the_last_message() -> None:
    request = ChatRequest(messages=REQUEST.messages, prefix="Hello there, ")
    body = await request_body(request)
    assert body["messages"][-1] == {"role": "assistant", "content": "Hello there,"}
    assert len((await request_body(request, continuation="words"))["messages"]) == 1


async def test_a_continuation_that_ollama_lacks_is_refused() -> None:
    with pytest.raises(ConfigurationError, match='use "trailing" or "words"'):
        create(Connection(name="box", base_url="http://box", continuation="flags", **OLLAMA))


@pytest.mark.parametrize(
    ("said", "prompt", "stop"),
    [
        ([("user", "Once upon")], "Once upon a time", None),
        (
            [("system", "Be kind."), ("user", "Hi"), ("assistant", "Hello."), ("user", "Open?")],
            "Be kind.\nUser: Hi\nAssistant: Hello.\nUser: Open?\nAssistant:  a time",
            ["\nUser:"],
        ),
    ],
    ids=["a text", "a dialogue"],
)
async def test_a_model_without_a_chat_format_continues_a_text(
    said: list[tuple[str, str]], prompt: str, stop: list[str] | None
) -> None:
    messages = [{"role": role, "content": content} for role, content in said]
    async with serve(**OLLAMA, extra_body={"raw": True}) as (server, provider):
        chunks = await read(provider, ChatRequest(messages=messages, prefix=" a time"))
        asked = server.requests[0]
    assert text(chunks) == TEXT
    assert asked.path == "/api/generate"
    assert (asked.body["prompt"], asked.body["raw"]) == (prompt, True)
    assert asked.body["options"].get("stop") == stop


# --- Replies


async def test_tool_calls_are_complete_with_an_id_each() -> None:
    calls = [{"function": {"name": "f", "arguments": {"x": n}}} for n in (1, 2)]
    script = lines(message(tool_calls=calls[:1]), message(tool_calls=calls[1:]), message("stop"))
    known = [{**HISTORY[2], "tool_calls": [{**HISTORY[2]["tool_calls"][0], "id": "call_1"}]}]
    request = replace(CALLING, messages=[*REQUEST.messages, *known])
    chunks = await reply_to(script, request, **OLLAMA)
    assert chunks[-1].tool_calls == (
        ToolCall("call_2", "f", '{"x": 1}'),
        ToolCall("call_3", "f", '{"x": 2}'),
    )
    assert chunks[-1].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("given", "reason"),
    [("stop", "stop"), ("length", "length"), ("load", "stop"), ("unload", "stop"), ("", "stop")],
)
async def test_the_finish_reason_has_openais_name(given: str, reason: str) -> None:
    (*_, last) = await reply_to(lines(message(content="Hi"), message(given)), **OLLAMA)
    assert last.finish_reason == reason


async def test_usage_is_the_servers_count() -> None:
    counted = {"prompt_eval_count": 12, "eval_count": 3, "eval_duration": 5}
    chunks = await reply_to(lines({**message("stop", content="Hi"), **counted}), **OLLAMA)
    assert (text(chunks), chunks[-1].usage) == ("Hi", Usage(12, 3, 0))


async def test_tags_around_reasoning_in_the_text_are_read() -> None:
    script = lines(message(content="<think>hm</th"), message("stop", content="ink>Yes."))
    chunks = await reply_to(script, **OLLAMA)
    assert text(chunks) == "Yes."
    assert "".join(chunk.reasoning for chunk in chunks) == "hm"


async def test_a_line_may_be_split_anywhere_and_the_last_may_lack_its_end() -> None:
    whole = lines(message(content="für "), message("stop", content="5 €")).raw
    assert whole is not None
    data = b"".join(whole)[:-1]
    script = Script(raw=[data[place : place + 1] for place in range(len(data))])
    assert text(await reply_to(script, **OLLAMA)) == "für 5 €"


async def test_a_complete_reply_is_valid_however_the_connection_ends() -> None:
    raw = lines(message(content="Hello"), message("stop")).raw
    chunks = await reply_to(Script(raw=raw, fault=Fault.STALL_AFTER), **OLLAMA)
    assert (text(chunks), chunks[-1].finish_reason) == ("Hello", "stop")


@pytest.mark.parametrize(
    "script",
    [
        lines(message(content="Hi")),
        lines(message("")),
        lines("[1]"),
        lines("<html>"),
        lines(message("stop", content=["Hi"])),
        lines(message(tool_calls="f()"), message("stop")),
        lines(message(tool_calls=[{"function": {"name": "f", "arguments": {}}}], done="length")),
        Script(raw=[b"x" * 65536] * 17),
        Script(raw=[]),
    ],
)
async def test_a_malformed_reply_is_a_broken_stream(script: Script) -> None:
    with pytest.raises(BrokenStreamError):
        await reply_to(script, CALLING, **OLLAMA)


async def test_an_unknown_model_is_missing_with_advice() -> None:
    said = json.dumps({"error": 'model "nope" not found, try pulling it first'}).encode()
    async with (
        raw_server(http("404 Not Found", said)) as url,
        connect(url, **OLLAMA) as provider,
    ):
        with pytest.raises(StatusError) as caught:
            await read(provider)
    failure = classify(caught.value)
    assert failure.kind is FailureClass.MODEL_MISSING
    assert "must have pulled it" in failure.advice
