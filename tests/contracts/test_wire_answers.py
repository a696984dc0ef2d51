"""Tests of how providers parse replies, complete or broken.

Replies given in bytes are chat completions here; Ollama's are in test_wire_ollama.py.
"""

import json
from contextlib import aclosing
from typing import Any

import pytest

from llm_router.errors import (
    BrokenStreamError,
    StatusError,
)
from llm_router.testing.server import Fault, Script
from llm_router.types import Chunk, ToolCall, Usage
from tests.contracts.wire import (
    CALLING,
    REQUEST,
    WORDS,
    call,
    delta,
    read_until_broken,
    reply_to,
    serve,
    sse,
    text,
)


async def test_words_come_one_by_one_and_the_last_chunk_has_the_finish_reason(wire: str) -> None:
    chunks = await reply_to(Script(), provider=wire)
    assert [chunk.text for chunk in chunks[:-1]] == list(WORDS)
    assert chunks[-1] == Chunk(finish_reason="stop", usage=Usage(6, len(WORDS), 0))


async def test_a_word_is_yielded_before_the_next_one_arrives(wire: str) -> None:
    async with (
        serve(Script(fault=Fault.STALL_AFTER, after=1), provider=wire) as (_, provider),
        aclosing(provider.stream(REQUEST)) as stream,
    ):
        assert (await anext(stream)).text == WORDS[0]


async def test_characters_split_between_chunks_are_joined(wire: str) -> None:
    words = ["Ça", " coûte", " 5", " €", " 😀"]
    chunks = await reply_to(Script(words=words, fault=Fault.SPLIT_UTF8), provider=wire)
    assert [chunk.text for chunk in chunks[:-1]] == words


async def test_an_emoji_escaped_in_two_halves_is_one_character() -> None:
    halves = [
        '{"choices":[{"delta":{"content":"x\\ud83d"}}]}',
        '{"choices":[{"delta":{"content":"\\ude00b"}}]}',
    ]
    chunks = await reply_to(sse(*halves, delta("stop")))
    assert [chunk.text for chunk in chunks] == ["x", "😀b", ""]


@pytest.mark.parametrize("fault", [Fault.EMPTY, Fault.LENGTH_WITH_NOTHING])
async def test_an_empty_reply_is_reported_as_empty(fault: Fault, wire: str) -> None:
    (chunk,) = await reply_to(Script(fault=fault), provider=wire)
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
async def test_reasoning_is_never_part_of_the_text(thinking: list[dict[str, Any]]) -> None:
    chunks = await reply_to(sse(*thinking, delta(content="Yes."), delta("stop")))
    assert text(chunks) == "Yes."
    assert "".join(chunk.reasoning for chunk in chunks) == "let me see"
    assert not any(chunk.useful for chunk in chunks if chunk.reasoning)


@pytest.mark.parametrize(
    ("event", "usage"),
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
    event: dict[str, Any], usage: Usage | None
) -> None:
    chunks = await reply_to(sse(delta(content="Hi"), delta("stop"), event))
    assert chunks[-1].usage == usage


async def test_a_finish_reason_in_every_event_does_not_end_the_reply_early() -> None:
    chunks = await reply_to(sse(delta("stop", content="Hello"), delta("stop", content=" you")))
    assert text(chunks) == "Hello you"
    assert [chunk.finish_reason for chunk in chunks] == [None, None, "stop"]


@pytest.mark.parametrize("fault", [Fault.STALL_AFTER, Fault.RESET_AFTER])
@pytest.mark.parametrize("done", [True, False])
async def test_a_complete_reply_is_valid_however_the_connection_ends(
    fault: Fault, *, done: bool
) -> None:
    raw = sse(delta(content="Hello"), delta("stop"), done=done).raw
    chunks = await reply_to(Script(raw=raw, fault=fault))
    assert text(chunks) == "Hello"
    assert chunks[-1].finish_reason == "stop"


async def test_a_reply_that_is_not_streamed_is_accepted() -> None:
    message = {"role": "assistant", "content": "Hello", "tool_calls": [call("f", "{}", id="c1")]}
    whole = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": {}}
    raw = json.dumps(whole, indent=1).encode()
    script = Script(raw=[b"\n", raw[:20], raw[20:]], content_type="application/json")
    chunks = await reply_to(script, CALLING)
    assert text(chunks) == "Hello"
    assert chunks[-1].tool_calls == (ToolCall("c1", "f", "{}"),)


@pytest.mark.parametrize(
    "script",
    [
        Script(raw=[b'{"error": {"code": "overloaded", "type": "server", "message": "busy"}}']),
        Script(raw=[b'[{"error": {"code": "overloaded", "type": "server", "message": "busy"}}]']),
        sse({"error": {"code": "overloaded", "type": "server", "message": "busy"}}),
        sse({"object": "error", "code": "overloaded", "type": "server", "message": "busy"}),
        Script(raw=[b'event: error\ndata: {"code": "overloaded", "message": "busy"}\n\n']),
    ],
)
async def test_an_error_inside_a_200_is_an_error(script: Script) -> None:
    with pytest.raises(StatusError) as caught:
        await reply_to(script)
    assert (caught.value.status, caught.value.code) == (0, "overloaded")
    assert caught.value.detail == "busy"


@pytest.mark.parametrize(
    "script",
    [
        sse(delta(content="Hello"), done=False),
        sse("[]"),
        sse("7"),
        sse(),
        Script(raw=[]),
        Script(raw=[b"<html>502 Bad Gateway</html>"], content_type="text/html"),
        Script(raw=[b"upstream connect error"], content_type="text/plain"),
        Script(raw=[b'{"choices": [{"message": {"content": "Hel']),
        Script(raw=[b"data: " + b"[" * 100_000 + b"\n\n"]),
        Script(raw=[b"data: " + b"x" * 65536] * 17),
    ],
)
async def test_a_reply_that_breaks_off_or_is_malformed_is_broken(script: Script) -> None:
    with pytest.raises(BrokenStreamError):
        await reply_to(script)


@pytest.mark.parametrize(
    "fault",
    [
        Fault.GARBAGE_LINE,
        Fault.NO_FINISH_REASON,
        Fault.RESET_BEFORE_WORD,
        Fault.RESET_AFTER,
    ],
)
async def test_a_stream_that_a_fault_breaks_is_broken(fault: Fault, wire: str) -> None:
    with pytest.raises(BrokenStreamError):
        await reply_to(Script(fault=fault), provider=wire)


async def test_an_error_in_the_middle_of_a_reply_is_an_error(wire: str) -> None:
    with pytest.raises(StatusError) as caught:
        await reply_to(Script(fault=Fault.ERROR_EVENT), provider=wire)
    assert (caught.value.status, caught.value.detail) == (0, "The engine is overloaded")


async def test_reasoning_in_tags_is_never_part_of_the_text(wire: str) -> None:
    chunks = await reply_to(Script(reasoning=["let me", " see"]), provider=wire)
    assert text(chunks) == "".join(WORDS)
    assert "".join(chunk.reasoning for chunk in chunks) == "let me see"


async def test_text_from_before_a_stream_broke_is_not_lost(wire: str) -> None:
    async with serve(Script(fault=Fault.RESET_AFTER, after=3), provider=wire) as (_, provider):
        chunks = await read_until_broken(provider)
    assert [chunk.text for chunk in chunks] == list(WORDS[:3])
