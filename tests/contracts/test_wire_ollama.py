"""Ollama's own wire: what is asked, how lines are read, and how a model comes into memory."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from llm_router.connections.record import Connection
from llm_router.errors import (
    BrokenStreamError,
    ConfigurationError,
    StatusError,
)
from llm_router.failures import FailureClass, classify
from llm_router.testing.server import Fault, FaultyServer, Script
from llm_router.types import ChatRequest, ToolCall, Usage
from tests.contracts.wire import (
    HISTORY,
    REQUEST,
    TEXT,
    answer,
    answering,
    http,
    made,
    opened,
    read,
    served,
    text,
)

OLLAMA: dict[str, Any] = {"provider": "ollama", "model_name": "tiny"}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
OTHER = {"type": "function", "function": {"name": "g", "parameters": {}}}


async def asked(request: ChatRequest = REQUEST, **fields: Any) -> dict[str, Any]:
    """What the server receives for a request."""
    async with served(**OLLAMA, **fields) as (server, provider):
        await read(provider, request)
        return dict(server.requests[0].body)


async def options(request: ChatRequest = REQUEST, **fields: Any) -> Mapping[str, Any]:
    told: Mapping[str, Any] = (await asked(request, **fields))["options"]
    return told


def lines(*said: Any) -> Script:
    """An answer of these lines."""
    text = "".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in said)
    return Script(raw=[text.encode()])


def message(done: str | None = None, **fields: Any) -> dict[str, Any]:
    end = {} if done is None else {"done": True, "done_reason": done}
    return {"message": {"role": "assistant", "content": "", **fields}, **end}


# --- What is asked


@pytest.mark.parametrize("end", ["", "/", "/api", "/api/", "/api/chat", "/v1", "/v1/"])
async def test_every_way_to_write_the_address_leads_to_the_same_request(end: str) -> None:
    async with FaultyServer() as server:
        root = server.base_url.removesuffix("/v1")
        async with opened(root + end, **OLLAMA) as provider:
            assert text(await read(provider)) == TEXT
            assert await provider.models() == ["faulty:latest"]
        async with opened(f"{root}/box/ollama{end}", **OLLAMA) as provider:
            await read(provider)
    assert [r.path for r in server.requests] == ["/api/chat", "/box/ollama/api/chat"]


async def test_an_unset_option_is_not_sent_and_nothing_is_thought_aloud() -> None:
    assert await asked() == {
        "model": "tiny",
        "messages": [dict(message) for message in REQUEST.messages],
        "stream": True,
        "think": False,
        "options": {},
    }


async def test_options_are_put_into_ollama_s_words() -> None:
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


async def test_the_extra_body_has_the_last_word_wherever_it_belongs() -> None:
    extra = {
        "keep_alive": "1h",
        "think": True,
        "top_k": 40,
        "temperature": None,
        "options": {"num_ctx": 512},
    }
    body = await asked(extra_body=extra, temperature=0.9, context_length=8192)
    assert (body["keep_alive"], body["think"]) == ("1h", True)
    assert body["options"] == {"top_k": 40, "num_ctx": 512}


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"type": "json_object"}, "json"),
        ({"type": "json_schema", "json_schema": {"schema": {"type": "x"}}}, {"type": "x"}),
        ({"type": "text"}, None),
    ],
)  # fmt: skip
async def test_the_wish_for_json_is_told_as_a_format(wanted: dict[str, Any], told: Any) -> None:
    body = await asked(ChatRequest(messages=REQUEST.messages, response_format=wanted))
    assert body.get("format") == told


async def test_the_history_keeps_its_tool_calls_and_loses_what_vendors_added() -> None:
    body = await asked(ChatRequest(messages=HISTORY))
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


async def test_a_picture_goes_beside_the_words() -> None:
    seen = {"role": "user", "content": [{"type": "text", "text": "What is this?"}, PICTURE]}
    body = await asked(ChatRequest(messages=[seen]))
    assert body["messages"] == [{"role": "user", "content": "What is this?", "images": ["QUJD"]}]


async def test_a_picture_by_address_is_for_another_kind_of_server() -> None:
    away = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    with pytest.raises(StatusError) as caught:
        await answer(
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
async def test_a_tool_that_may_not_be_chosen_is_not_shown(choice: Any, shown: list[str]) -> None:
    request = ChatRequest(messages=REQUEST.messages, tools=[TOOL, OTHER], tool_choice=choice)
    tools = (await asked(request)).get("tools", [])
    assert [tool["function"]["name"] for tool in tools] == shown


async def test_words_to_go_on_with_are_the_last_message() -> None:
    request = ChatRequest(messages=REQUEST.messages, prefix="Hello there, ")
    body = await asked(request)
    assert body["messages"][-1] == {"role": "assistant", "content": "Hello there,"}
    assert len((await asked(request, continuation="words"))["messages"]) == 1


async def test_a_continuation_that_ollama_has_not_is_refused() -> None:
    with pytest.raises(ConfigurationError, match='use "trailing" or "words"'):
        made(Connection(name="box", base_url="http://box", continuation="flags", **OLLAMA))


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
async def test_a_model_without_a_chat_format_goes_on_with_a_text(
    said: list[tuple[str, str]], prompt: str, stop: list[str] | None
) -> None:
    messages = [{"role": role, "content": content} for role, content in said]
    async with served(**OLLAMA, extra_body={"raw": True}) as (server, provider):
        chunks = await read(provider, ChatRequest(messages=messages, prefix=" a time"))
        asked = server.requests[0]
    assert text(chunks) == TEXT
    assert asked.path == "/api/generate"
    assert (asked.body["prompt"], asked.body["raw"]) == (prompt, True)
    assert asked.body["options"].get("stop") == stop


# --- How lines are read


async def test_tool_calls_come_whole_each_with_an_id_of_its_own() -> None:
    calls = [{"function": {"name": "f", "arguments": {"x": n}}} for n in (1, 2)]
    script = lines(message(tool_calls=calls[:1]), message(tool_calls=calls[1:]), message("stop"))
    known = [{**HISTORY[2], "tool_calls": [{**HISTORY[2]["tool_calls"][0], "id": "call_1"}]}]
    chunks = await answer(script, ChatRequest(messages=[*REQUEST.messages, *known]), **OLLAMA)
    assert chunks[-1].tool_calls == (
        ToolCall("call_2", "f", '{"x": 1}'),
        ToolCall("call_3", "f", '{"x": 2}'),
    )
    assert chunks[-1].finish_reason == "tool_calls"


@pytest.mark.parametrize("reason", ["stop", "length", "load", "unload"])
async def test_it_is_told_how_an_answer_ended(reason: str) -> None:
    (*_, last) = await answer(lines(message(content="Hi"), message(reason)), **OLLAMA)
    assert last.finish_reason == reason


async def test_tokens_are_those_that_the_server_counted() -> None:
    counted = {"prompt_eval_count": 12, "eval_count": 3, "eval_duration": 5}
    chunks = await answer(lines({**message("stop", content="Hi"), **counted}), **OLLAMA)
    assert (text(chunks), chunks[-1].usage) == ("Hi", Usage(12, 3, 0))


async def test_tags_around_thoughts_are_read_where_a_model_writes_them_itself() -> None:
    script = lines(message(content="<think>hm</th"), message("stop", content="ink>Yes."))
    chunks = await answer(script, **OLLAMA)
    assert text(chunks) == "Yes."
    assert "".join(chunk.reasoning for chunk in chunks) == "hm"


async def test_a_line_may_be_cut_anywhere_and_the_last_may_lack_its_end() -> None:
    whole = lines(message(content="für "), message("stop", content="5 €")).raw
    assert whole is not None
    data = whole[0].decode().encode()[:-1]
    script = Script(raw=[data[place : place + 1] for place in range(len(data))])
    assert text(await answer(script, **OLLAMA)) == "für 5 €"


async def test_a_whole_reply_is_whole_however_the_connection_ends() -> None:
    raw = lines(message(content="Hello"), message("stop")).raw
    chunks = await answer(Script(raw=raw, fault=Fault.STALL_AFTER), **OLLAMA)
    assert (text(chunks), chunks[-1].finish_reason) == ("Hello", "stop")


@pytest.mark.parametrize(
    "script",
    [
        lines(message(content="Hi"), message("")),
        lines("[1]"),
        lines("<html>"),
        lines(message("stop", content=["Hi"])),
        lines(message(tool_calls="f()"), message("stop")),
        lines(message(tool_calls=[{"function": {"name": "f", "arguments": {}}}], done="length")),
        Script(raw=[b"x" * 65536] * 17),
        Script(raw=[]),
    ],
)
async def test_what_makes_no_sense_is_a_broken_stream(script: Script) -> None:
    with pytest.raises(BrokenStreamError):
        await answer(script, **OLLAMA)


async def test_a_model_that_is_not_there_is_missing_with_what_to_do() -> None:
    said = json.dumps({"error": 'model "nope" not found, try pulling it first'}).encode()
    async with answering(http("404 Not Found", said)) as url, opened(url, **OLLAMA) as provider:
        with pytest.raises(StatusError) as caught:
            await read(provider)
    failure = classify(caught.value)
    assert failure.kind is FailureClass.MODEL_MISSING
    assert "must have pulled it" in failure.advice
