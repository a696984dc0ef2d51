"""What the openai_compatible provider promises, over real sockets."""

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from llm_router.clock import SystemClock
from llm_router.connections import Connection
from llm_router.errors import (
    BrokenStreamError,
    ConfigurationError,
    StatusError,
    UnreachableError,
    UpstreamError,
)
from llm_router.providers.openai_compatible import OpenAICompatible, create
from llm_router.testing.server import Behaviour, Fault, FaultyServer, Script
from llm_router.types import ChatRequest, Chunk, ToolCall, Usage

KEY = "sk-very-secret-0123456789"
SECRET_WORDS = "my card number is four two"
REQUEST = ChatRequest(messages=[{"role": "user", "content": SECRET_WORDS}])
WORDS = Script().words
TEXT = "".join(WORDS)


@asynccontextmanager
async def opened(base_url: str, **fields: Any) -> AsyncIterator[OpenAICompatible]:
    fields = {"name": "box", "model_name": "tiny", "api_key": KEY, **fields}
    provider = create(Connection(base_url=base_url, **fields), SystemClock())
    try:
        yield provider
    finally:
        await provider.aclose()


@asynccontextmanager
async def served(
    behaviour: Behaviour | None = None, **fields: Any
) -> AsyncIterator[tuple[FaultyServer, OpenAICompatible]]:
    async with FaultyServer(behaviour) as server, opened(server.base_url, **fields) as provider:
        yield server, provider


@asynccontextmanager
async def answering(*pieces: bytes, hold: bool = False, greets: bool = False) -> AsyncIterator[str]:
    """A server that sends these bytes, whatever was asked; `greets`: before it was asked."""
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not greets:
            await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if hold:
            await done.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        done.set()
        server.close()


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"content-length: {len(body)}", "connection: close"]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def read(provider: OpenAICompatible, request: ChatRequest = REQUEST) -> list[Chunk]:
    return [chunk async for chunk in provider.stream(request)]


async def read_until_broken(provider: OpenAICompatible) -> list[Chunk]:
    """What comes before the stream breaks; fails when it does not."""
    chunks = []
    try:
        async for chunk in provider.stream(REQUEST):
            chunks.append(chunk)  # noqa: PERF401  a comprehension would lose them with the error
    except BrokenStreamError:
        return chunks
    pytest.fail("the stream did not break")


def text(chunks: Sequence[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


async def body_of(request: ChatRequest, **fields: Any) -> dict[str, Any]:
    """What the server receives for a request."""
    async with served(**fields) as (server, provider):
        await read(provider, request)
        return dict(server.requests[0].body)


def said(*bodies: Any, done: bool = True) -> Script:
    """A stream of these events, byte for byte."""
    lines = [body if isinstance(body, str) else json.dumps(body) for body in bodies]
    return Script(raw=[f"data: {x}\n\n".encode() for x in [*lines, *(["[DONE]"] * done)]])


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def calls(*pieces: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return delta(finish, tool_calls=list(pieces))


def call(name: str | None = None, arguments: Any = None, **fields: Any) -> dict[str, Any]:
    return {**fields, "function": {"name": name, "arguments": arguments}}


async def answer(script: Script, request: ChatRequest = REQUEST) -> list[Chunk]:
    async with served(script) as (_, provider):
        return await read(provider, request)


# --- What is asked


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/", "/v1/chat/completions"])
async def test_every_way_to_write_the_address_leads_to_the_same_request(end: str) -> None:
    async with FaultyServer() as server:
        async with opened(server.base_url.removesuffix("/v1") + end) as provider:
            assert text(await read(provider)) == TEXT
            assert await provider.models() == ["faulty"]
        assert server.requests[0].path == "/v1/chat/completions"


async def test_a_path_of_the_address_survives() -> None:
    async with FaultyServer() as server:
        async with opened(server.base_url.removesuffix("/v1") + "/v1beta/openai/") as provider:
            await read(provider)
        assert server.requests[0].path == "/v1beta/openai/chat/completions"


async def test_requests_say_who_asks_and_carry_the_key() -> None:
    async with served(headers={"x-tenant": "one"}) as (server, provider):
        await read(provider)
        headers = server.requests[0].headers
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["user-agent"].startswith("patchbay/")
    assert headers["x-tenant"] == "one"
    assert not [name for name in headers if "livekit" in name]


async def test_azure_gets_the_key_its_own_way() -> None:
    async with served(server="azure") as (server, provider):
        await read(provider)
        assert server.requests[0].headers["api-key"] == KEY
        assert "authorization" not in server.requests[0].headers


async def test_no_key_means_no_header() -> None:
    async with served(api_key=None) as (server, provider):
        await read(provider)
        assert "authorization" not in server.requests[0].headers


async def test_an_unset_option_is_not_sent() -> None:
    assert await body_of(REQUEST) == {
        "model": "tiny",
        "messages": [{"role": "user", "content": SECRET_WORDS}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_the_request_goes_before_the_connection() -> None:
    request = ChatRequest(messages=REQUEST.messages, temperature=0.0, max_tokens=5, stop=["."])
    body = await body_of(request, temperature=0.9, top_p=0.8, max_tokens=99)
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.0, 0.8, 5)
    assert body["stop"] == ["."]


async def test_the_extra_body_has_the_last_word_and_is_left_as_it_was() -> None:
    extra = {"temperature": 0.1, "stream_options": None, "deep": {"a": [1]}}
    before = copy.deepcopy(extra)
    body = await body_of(REQUEST, extra_body=extra, temperature=0.9)
    assert (body["temperature"], body["deep"]) == (0.1, {"a": [1]})
    assert "stream_options" not in body
    assert extra == before


async def test_each_server_is_asked_in_its_own_words() -> None:
    request = ChatRequest(messages=REQUEST.messages, max_tokens=7, seed=3)
    openai = await body_of(request, server="openai")
    assert (openai["max_completion_tokens"], openai["seed"]) == (7, 3)
    mistral = await body_of(request, server="mistral")
    assert (mistral["max_tokens"], mistral["random_seed"]) == (7, 3)
    assert "stream_options" not in mistral
    assert "seed" not in mistral
    vllm = await body_of(request, server="vllm")
    assert vllm["chat_template_kwargs"] == {"enable_thinking": False}


HISTORY: list[dict[str, Any]] = [
    {"role": "developer", "content": "Be kind.", "id": "m1"},
    {"role": "user", "content": "Open?", "extra": {"google": {"thought_signature": "x"}}},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "id": "call_abc",
                "type": "function",
                "index": 0,
                "function": {"name": "hours", "arguments": ""},
                "extra_content": {"google": "x"},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call_abc", "content": "9 to 5"},
    {"role": "assistant", "content": None},
]


async def test_what_one_vendor_added_to_a_message_does_not_reach_another() -> None:
    body = await body_of(ChatRequest(messages=HISTORY))
    function = {"name": "hours", "arguments": "{}"}
    call_made = {"id": "call_abc", "type": "function", "function": function}
    assert body["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Open?"},
        {"role": "assistant", "content": None, "tool_calls": [call_made]},
        {"role": "tool", "content": "9 to 5", "tool_call_id": "call_abc"},
        {"role": "assistant", "content": ""},
    ]


async def test_content_beside_tool_calls_is_empty_the_way_the_server_can_read() -> None:
    body = await body_of(ChatRequest(messages=HISTORY), server="llama_cpp_python")
    assert body["messages"][2]["content"] == ""


async def test_call_ids_take_the_form_a_server_insists_on() -> None:
    body = await body_of(ChatRequest(messages=HISTORY), server="mistral")
    made, answered = body["messages"][2]["tool_calls"][0]["id"], body["messages"][3]["tool_call_id"]
    assert made == answered
    assert made.isalnum()
    assert len(made) == 9


async def test_strict_tools_go_only_where_they_are_taken() -> None:
    tool = {"type": "function", "function": {"name": "f", "strict": True, "parameters": {}}}
    request = ChatRequest(messages=REQUEST.messages, tools=[tool], tool_choice="auto")
    openai, other = await body_of(request, server="openai"), await body_of(request)
    assert openai["tools"] == [tool]
    assert other["tools"] == [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    assert other["tool_choice"] == "auto"
    assert tool["function"] == {"name": "f", "strict": True, "parameters": {}}


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
async def test_words_are_continued_the_way_the_server_can(
    server: str, last: dict[str, Any], flags: dict[str, bool]
) -> None:
    body = await body_of(ChatRequest(messages=REQUEST.messages, prefix=PREFIX), server=server)
    assert body["messages"][-1] == last
    names = ("continue_final_message", "add_generation_prompt")
    assert {name: body[name] for name in names if name in body} == flags


async def test_the_connection_says_how_it_continues_where_it_knows_better() -> None:
    async with served(Script(continues=True), continuation="trailing") as (_, provider):
        assert provider.continuation == "trailing"
        rest = await read(provider, ChatRequest(messages=REQUEST.messages, prefix=PREFIX))
    assert text(rest) == " how can I help you?"


# --- What is answered


async def test_words_come_one_by_one_and_the_last_chunk_says_how_it_ended() -> None:
    chunks = await answer(Script())
    assert [chunk.text for chunk in chunks[:-1]] == list(WORDS)
    assert chunks[-1] == Chunk(finish_reason="stop", usage=Usage(6, len(WORDS), 0))


async def test_a_word_is_given_out_before_the_next_one_is_there() -> None:
    async with (
        served(Script(fault=Fault.STALL_AFTER, after=1)) as (_, provider),
        aclosing(provider.stream(REQUEST)) as stream,
    ):
        assert (await anext(stream)).text == WORDS[0]


async def test_characters_cut_between_chunks_come_out_whole() -> None:
    words = ["Ça", " coûte", " 5", " €", " 😀"]
    chunks = await answer(Script(words=words, fault=Fault.SPLIT_UTF8))
    assert [chunk.text for chunk in chunks[:-1]] == words


async def test_an_emoji_escaped_in_two_halves_is_one_character() -> None:
    halves = [
        '{"choices":[{"delta":{"content":"a\\ud83d"}}]}',
        '{"choices":[{"delta":{"content":"\\ude00b"}}]}',
    ]
    chunks = await answer(said(*halves, delta("stop")))
    assert [chunk.text for chunk in chunks] == ["a", "😀b", ""]


@pytest.mark.parametrize("fault", [Fault.EMPTY, Fault.LENGTH_WITH_NOTHING])
async def test_an_empty_reply_is_told_as_it_is(fault: Fault) -> None:
    (chunk,) = await answer(Script(fault=fault))
    assert not chunk.useful
    assert chunk.finish_reason == ("stop" if fault is Fault.EMPTY else "length")


@pytest.mark.parametrize(
    "thinking",
    [
        [delta(reasoning_content="let me"), delta(reasoning_content=" see")],
        [delta(reasoning="let me"), delta(reasoning=" see")],
        [delta(content="<thi"), delta(content="nk>let me see</th"), delta(content="ink>")],
        [
            delta(
                content=[{"type": "thinking", "thinking": [{"type": "text", "text": "let me see"}]}]
            )
        ],
    ],
    ids=["reasoning_content", "reasoning", "tags", "parts"],
)
async def test_reasoning_is_never_among_the_words(thinking: list[dict[str, Any]]) -> None:
    chunks = await answer(said(*thinking, delta(content="Yes."), delta("stop")))
    assert text(chunks) == "Yes."
    assert "".join(chunk.reasoning for chunk in chunks) == "let me see"
    assert not any(chunk.useful for chunk in chunks if chunk.reasoning)


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}, Usage(3, 2, 0)),
        ({"usage": {"prompt_tokens_details": {"cached_tokens": 8}}}, Usage(0, 0, 8)),
        ({"usage": {"prompt_cache_hit_tokens": 4, "prompt_tokens": 5}}, Usage(5, 0, 4)),
        ({"x_groq": {"usage": {"prompt_tokens": 5, "completion_tokens": 1}}}, Usage(5, 1, 0)),
        ({"choices": [], "usage": None}, None),
        ({"choices": None, "usage": {"prompt_tokens": "many"}}, Usage()),
    ],
)
async def test_usage_is_read_wherever_a_server_puts_it(
    told: dict[str, Any], usage: Usage | None
) -> None:
    chunks = await answer(said(delta(content="Hi"), delta("stop"), told))
    assert chunks[-1].usage == usage


async def test_a_finish_reason_in_every_event_ends_nothing_early() -> None:
    chunks = await answer(said(delta("stop", content="Hello"), delta("stop", content=" you")))
    assert text(chunks) == "Hello you"
    assert [chunk.finish_reason for chunk in chunks] == [None, None, "stop"]


@pytest.mark.parametrize("fault", [Fault.STALL_AFTER, Fault.RESET_AFTER])
@pytest.mark.parametrize("done", [True, False])
async def test_a_whole_reply_is_whole_however_the_connection_ends(
    fault: Fault, *, done: bool
) -> None:
    raw = said(delta(content="Hello"), delta("stop"), done=done).raw
    chunks = await answer(Script(raw=raw, fault=fault))
    assert text(chunks) == "Hello"
    assert chunks[-1].finish_reason == "stop"


async def test_an_answer_that_is_no_stream_is_accepted() -> None:
    message = {"role": "assistant", "content": "Hello", "tool_calls": [call("f", "{}", id="c1")]}
    whole = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": {}}
    raw = json.dumps(whole, indent=1).encode()
    script = Script(raw=[b"\n", raw[:20], raw[20:]], content_type="application/json")
    chunks = await answer(script)
    assert text(chunks) == "Hello"
    assert chunks[-1].tool_calls == (ToolCall("c1", "f", "{}"),)


@pytest.mark.parametrize(
    "script",
    [
        Script(raw=[b'{"error": {"code": "overloaded", "type": "server", "message": "busy"}}']),
        Script(raw=[b'[{"error": {"code": "overloaded", "type": "server", "message": "busy"}}]']),
        said({"error": {"code": "overloaded", "type": "server", "message": "busy"}}),
        said({"object": "error", "code": "overloaded", "type": "server", "message": "busy"}),
        Script(raw=[b'event: error\ndata: {"code": "overloaded", "message": "busy"}\n\n']),
    ],
)
async def test_an_error_told_inside_a_200_is_an_error(script: Script) -> None:
    with pytest.raises(StatusError) as caught:
        await answer(script)
    assert (caught.value.status, caught.value.code) == (0, "overloaded")
    assert caught.value.detail == "busy"


@pytest.mark.parametrize(
    "script",
    [
        Script(fault=Fault.GARBAGE_LINE),
        Script(fault=Fault.NO_FINISH_REASON),
        Script(fault=Fault.RESET_BEFORE_WORD),
        Script(fault=Fault.RESET_AFTER),
        said(delta(content="Hello")),
        said(delta(content="Hello"), done=False),
        said("[]"),
        said("7"),
        said(),
        Script(raw=[]),
        Script(raw=[b"<html>502 Bad Gateway</html>"], content_type="text/html"),
        Script(raw=[b"upstream connect error"], content_type="text/plain"),
        Script(raw=[b'{"choices": [{"message": {"content": "Hel']),
        Script(raw=[b'data: {"choices": [{"delta": {"content": "\xff"}}]}\n\n']),
        Script(raw=[b"data: " + b"[" * 100_000 + b"\n\n"]),
        Script(raw=[b"data: " + b"x" * 65536] * 17),
    ],
)
async def test_an_answer_that_breaks_off_or_makes_no_sense_is_broken(script: Script) -> None:
    with pytest.raises(BrokenStreamError):
        await answer(script)


async def test_what_was_said_before_a_stream_broke_is_not_lost() -> None:
    async with served(Script(fault=Fault.RESET_AFTER, after=3)) as (_, provider):
        heard = await read_until_broken(provider)
    assert [chunk.text for chunk in heard] == list(WORDS[:3])


# --- Tool calls


@pytest.mark.parametrize(
    ("pieces", "made"),
    [
        (
            [
                calls(call("f", "", index=0, id="a")),
                calls(call(None, '{"x"', index=0)),
                calls(call(None, ": 1}", index=0)),
                calls(call("g", '{"y": 2}', index=1, id="b")),
            ],
            [("a", "f", '{"x": 1}'), ("b", "g", '{"y": 2}')],
        ),
        (
            [calls(call("f", '{"x": 1}', index=0, id="a"), call("g", "{}", index=0, id="b"))],
            [("a", "f", '{"x": 1}'), ("b", "g", "{}")],
        ),
        (
            [calls(call("f", '{"x": 1}'), call("f", '{"x": 2}'))],
            [("call_1", "f", '{"x": 1}'), ("call_2", "f", '{"x": 2}')],
        ),
        (
            [calls(call("f", "{", index=0, id="a")), calls(call("f", "}", index=0, id="a"))],
            [("a", "f", "{}")],
        ),
        (
            [calls(call("f", "{", index=0, id="a")), calls(call(None, "}", index=0, id="z"))],
            [("a", "f", "{}")],
        ),
        ([calls(call("f", {"x": "é"}, id="a"))], [("a", "f", '{"x": "\\u00e9"}')]),
        ([calls(call("f", "", id="a"))], [("a", "f", "{}")]),
        ([calls(call("f", None, id="a"))], [("a", "f", "{}")]),
        (
            [calls(call("f", "{}", index=0, id="a")), calls(call("f", "{}", index=1, id="a"))],
            [("a", "f", "{}"), ("a_1", "f", "{}")],
        ),
    ],
    ids=[
        "in pieces",
        "whole, one index",
        "no index, no id",
        "name and id repeated",
        "a new id for every piece",
        "arguments not as text",
        "empty arguments",
        "no arguments",
        "one id for all",
    ],
)
@pytest.mark.parametrize("finish", ["tool_calls", "stop"])
async def test_tool_calls_come_once_and_whole(
    pieces: list[dict[str, Any]], made: list[tuple[str, str, str]], finish: str
) -> None:
    chunks = await answer(said(*pieces, delta(finish)))
    assert [chunk.tool_calls for chunk in chunks if chunk.tool_calls] == [
        tuple(ToolCall(*parts) for parts in made)
    ]


async def test_a_call_id_already_in_the_conversation_is_made_new() -> None:
    request = ChatRequest(messages=HISTORY)
    chunks = await answer(said(calls(call("f", "{}", id="call_abc")), delta("stop")), request)
    assert chunks[-1].tool_calls[0].id == "call_abc_1"


async def test_words_before_a_tool_call_are_said() -> None:
    chunks = await answer(Script(tool_calls=[ToolCall("c", "f", '{"x": 1}')]))
    assert text(chunks) == TEXT
    assert chunks[-1].tool_calls == (ToolCall("c", "f", '{"x": 1}'),)


@pytest.mark.parametrize(
    "script",
    [
        Script(words=(), fault=Fault.HALF_TOOL_CALL),
        Script(words=(), fault=Fault.BROKEN_TOOL_JSON),
        said(calls(call("f", "{}", id="a")), delta("length")),
        said(calls(call("f", "{}", id="a"), finish="content_filter")),
        said(calls(call("f", "{}", id="a"))),
        said(calls(call("f", '{"x": 1}', id="a"), call("g", '{"y"', id="b")), delta("stop")),
        said(calls(call("f", "[1]", id="a")), delta("tool_calls")),
        said(calls(call(None, "{}", id="a")), delta("tool_calls")),
        said(calls({"id": "a"}), delta("tool_calls")),
        said(delta(tool_calls="f()"), delta("tool_calls")),
        said(delta("tool_calls")),
        said(*[calls(call("f", "x" * 65536, index=0))] * 17, delta("tool_calls")),
    ],
    ids=[
        "connection lost",
        "broken JSON",
        "out of tokens",
        "filtered",
        "no finish",
        "second one cut",
        "not an object",
        "no name",
        "no function",
        "not a list",
        "announced only",
        "endless",
    ],
)
async def test_of_a_call_that_is_cut_nothing_is_given_out(script: Script) -> None:
    async with served(script) as (_, provider):
        assert await read_until_broken(provider) == []


# --- Refusals


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "context_length_exceeded"),
        (401, "invalid_api_key"),
        (402, "insufficient_quota"),
        (404, "model_not_found"),
        (429, "rate_limit_exceeded"),
        (500, "internal_error"),
        (503, "overloaded"),
        (529, "overloaded"),
        (418, "error"),
    ],
)
async def test_a_refusal_keeps_the_server_s_own_words_for_it(status: int, code: str) -> None:
    with pytest.raises(StatusError) as caught:
        await answer(Script(fault=Fault.STATUS, status=status))
    assert (caught.value.status, caught.value.code) == (status, code)
    assert caught.value.detail
    assert caught.value.retry_after is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (["retry-after: 7"], 7.0),
        (["retry-after: 0.5"], 0.5),
        (["retry-after: -3"], 0.0),
        (["retry-after: nan"], 0.0),
        (["retry-after: soon"], None),
        (
            [
                "date: Wed, 21 Oct 2026 07:28:00 GMT",
                "retry-after: Wed, 21 Oct 2026 07:28:30 GMT",
            ],
            30.0,
        ),
        (["retry-after: Wed, 21 Oct 2015 07:28:00 GMT"], 0.0),
        (["date: today", "retry-after: Wed, 21 Oct 2026 07:28:30 GMT"], None),
    ],
)
async def test_retry_after_is_seconds_from_now(headers: list[str], seconds: float | None) -> None:
    async with answering(http("429 Slow", b"{}", *headers)) as url, opened(url) as provider:
        with pytest.raises(StatusError) as caught:
            await read(provider)
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    ("body", "code", "kind", "detail"),
    [
        (b'{"error": "model not loaded"}', "", "", "model not loaded"),
        (b'{"error": {"code": 400, "type": "Bad", "message": "no"}}', "400", "Bad", "no"),
        (b'[{"error": {"code": 429, "message": "slow"}}]', "429", "", "slow"),
        (b'{"object": "error", "message": "no", "type": "BadRequest"}', "", "BadRequest", "no"),
        (b'{"detail": [{"loc": ["body"]}]}', "", "", '[{"loc": ["body"]}]'),
        (b"upstream timed out", "", "", "upstream timed out"),
        (b"", "", "", ""),
        (b"null", "", "", ""),
        (b"[]", "", "", ""),
        (b"\xff\xfe", "", "", "\ufffd\ufffd"),
    ],
)
async def test_errors_are_read_in_every_shape(
    body: bytes, code: str, kind: str, detail: str
) -> None:
    async with answering(http("400 Bad", body)) as url, opened(url) as provider:
        with pytest.raises(StatusError) as caught:
            await read(provider)
    error = caught.value
    assert (error.status, error.code, error.kind, error.detail) == (400, code, kind, detail)


@pytest.mark.parametrize("body", [b"", b'{"error": "half', b"x" * 200_000])
async def test_an_error_whose_body_never_ends_is_still_told(body: bytes) -> None:
    head = b"HTTP/1.1 503 Busy\r\ncontent-length: 9999999\r\n\r\n"
    async with answering(head, body, hold=True) as url, opened(url) as provider:
        with pytest.raises(StatusError) as caught:
            await read(provider)
    assert caught.value.status == 503
    assert len(caught.value.detail) <= 500


async def test_redirects_are_not_followed() -> None:
    async with FaultyServer() as elsewhere:
        moved = http("307 Moved", b"", f"location: {elsewhere.base_url}/chat/completions")
        async with answering(moved) as url, opened(url) as provider:
            with pytest.raises(StatusError) as caught:
                await read(provider)
        assert caught.value.status == 307
        assert elsewhere.connections == 0


# --- The network


async def test_a_refused_server_is_unreachable() -> None:
    with pytest.raises(UnreachableError):
        await answer(Script(fault=Fault.REFUSE))


async def test_a_connection_closed_before_a_byte_of_the_answer_is_unreachable() -> None:
    async with served(lambda _: Script(fault=Fault.REFUSE)) as (server, provider):
        with pytest.raises(UnreachableError):
            await read(provider)
        assert len(server.requests) == 1


@pytest.mark.parametrize("url", ["http://no-such-host.invalid/v1", "http://127.0.0.1:1/v1"])
async def test_an_address_with_nobody_behind_it_is_unreachable(url: str) -> None:
    async with opened(url) as provider:
        with pytest.raises(UnreachableError):
            await read(provider)


async def test_a_server_without_tls_is_unreachable_over_https() -> None:
    async with (
        answering(b"220 what?\r\n", greets=True) as url,
        opened(url.replace("http:", "https:")) as provider,
    ):
        with pytest.raises(UnreachableError):
            await read(provider)


@pytest.mark.parametrize(
    "answer_",
    [b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"],
)
async def test_what_does_not_speak_http_is_an_upstream_error(answer_: bytes) -> None:
    async with answering(answer_) as url, opened(url) as provider:
        with pytest.raises(UpstreamError):
            await read(provider)


@pytest.mark.parametrize(
    "script",
    [
        Script(fault=Fault.REFUSE),
        Script(fault=Fault.STATUS, status=401),
        Script(fault=Fault.RESET_AFTER),
        Script(fault=Fault.GARBAGE_LINE),
        said({"error": {"code": f"{KEY} {SECRET_WORDS}", "message": SECRET_WORDS}}),
        said(f"not JSON: {SECRET_WORDS}"),
    ],
)
async def test_no_error_carries_the_key_or_the_caller_s_words(script: Script) -> None:
    with pytest.raises(UpstreamError) as caught:
        await answer(script)
    for shown in (str(caught.value), repr(caught.value)):
        assert KEY not in shown
        assert SECRET_WORDS not in shown


async def test_a_key_that_a_server_repeats_is_struck_out() -> None:
    body = json.dumps({"error": {"message": f"Incorrect key {KEY}"}}).encode()
    async with answering(http("401 No", body)) as url, opened(url) as provider:
        with pytest.raises(StatusError) as caught:
            await read(provider)
    assert KEY not in caught.value.detail


# --- Leaving, and coming back


@pytest.mark.parametrize(
    "fault",
    [
        Fault.HANG_BEFORE_HEADERS,
        Fault.HEADERS_THEN_NOTHING,
        Fault.ROLE_ONLY,
        Fault.KEEP_ALIVES_ONLY,
        Fault.REASONING_ENDLESS,
        Fault.STALL_AFTER,
    ],
)
async def test_cancelling_closes_the_connection_so_that_the_engine_stops(fault: Fault) -> None:
    async with served(Script(fault=fault)) as (server, provider):
        reading = asyncio.create_task(read(provider))
        await server.received()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await server.disconnected() is not None


async def test_closing_a_stream_midway_closes_the_connection() -> None:
    async with served(Script(words=["word "] * 1000, gap=0.01)) as (server, provider):
        async with aclosing(provider.stream(REQUEST)) as stream:
            await anext(stream)
        assert await server.disconnected() is not None
        assert server.words_sent < 1000


async def test_a_finished_stream_gives_its_connection_back() -> None:
    async with served() as (server, provider):
        for _ in range(3):
            await read(provider)
        assert await server.disconnected(0) is None
        assert server.connections == 1


async def test_warming_up_opens_the_connection_the_first_call_uses() -> None:
    async with served() as (server, provider):
        await provider.warm()
        assert server.connections == 1
        assert server.requests == []
        await read(provider)
        assert server.connections == 1


async def test_warming_up_never_fails() -> None:
    async with served(Script(fault=Fault.REFUSE)) as (_, provider):
        await provider.warm()
    async with answering(http("500 Oh", b"no")) as url, opened(url) as provider:
        await provider.warm()


async def test_many_streams_run_side_by_side() -> None:
    async with served(Script(gap=0.001)) as (_, provider):
        replies = await asyncio.gather(*(read(provider) for _ in range(30)))
    assert {text(reply) for reply in replies} == {TEXT}


async def test_a_server_that_went_and_came_back_is_reached_again() -> None:
    async with served() as (server, provider):
        await read(provider)
        await server.behave(Script(fault=Fault.REFUSE))
        async with opened(server.base_url) as newcomer:
            with pytest.raises(UnreachableError):
                await read(newcomer)
        await server.behave(Script())
        assert text(await read(provider)) == TEXT


# --- Models and probes


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b'{"data": [{"id": "a"}, {"id": "b"}, {}]}', ["a", "b"]),
        (b'{"models": [{"name": "a"}]}', ["a"]),
        (b'[{"id": "a"}]', ["a"]),
    ],
)
async def test_models_are_listed_in_every_shape(body: bytes, names: list[str]) -> None:
    async with answering(http("200 OK", body)) as url, opened(url) as provider:
        assert await provider.models() == names


@pytest.mark.parametrize("body", [b"<html>", b'"a"', b'{"data": 7}', b""])
async def test_a_list_of_models_that_is_none_is_an_error(body: bytes) -> None:
    async with answering(http("200 OK", body)) as url, opened(url) as provider:
        with pytest.raises(BrokenStreamError):
            await provider.models()


async def test_a_probe_fails_where_the_server_does() -> None:
    async with answering(http("503 Busy")) as url, opened(url) as provider:
        with pytest.raises(StatusError):
            await provider.probe()


async def test_a_server_without_a_list_of_models_is_still_well() -> None:
    async with answering(http("404 Not Found")) as url, opened(url) as provider:
        await provider.probe()


async def test_a_probe_of_a_hung_server_ends() -> None:
    async with answering(hold=True) as url, opened(url, timeout=0.05) as provider:
        with pytest.raises(UnreachableError):
            await provider.probe()


# --- Records that cannot work


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "base_url is missing"),
        ({"base_url": "http://box:99999/v1"}, "base_url"),
        ({"base_url": "http://box", "api_key": "sk-\n-broken"}, "api_key holds a character"),
        ({"base_url": "http://box", "api_key": "sk-“quoted”"}, "api_key holds a character"),
        ({"base_url": "http://box", "headers": {"x-a": "b\r\nc"}}, "header 'x-a' holds"),
        ({"base_url": "http://box", "server": "nobody"}, "known: .*vllm"),
    ],
)
async def test_a_record_that_cannot_work_says_why(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told) as caught:
        create(Connection(name="box", **fields), SystemClock())
    assert "broken" not in str(caught.value)


async def test_white_space_around_a_key_does_no_harm() -> None:
    async with served(api_key=f"{KEY}\n") as (server, provider):
        await read(provider)
        assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
