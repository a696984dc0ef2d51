"""Tests that providers yield tool calls once and complete, or not at all.

Replies given in bytes are chat completions here; Ollama's are in test_wire_ollama.py.
"""

from dataclasses import replace
from typing import Any

import pytest

from llm_router.testing.server import Fault, Script
from llm_router.types import ToolCall
from tests.contracts import wire_parsing as parsing
from tests.contracts.wire import (
    CALLING,
    HISTORY,
    TEXT,
    call,
    calls,
    delta,
    read_until_broken,
    reply_to,
    serve,
    sse,
    text,
)


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
async def test_tool_calls_come_once_and_complete(
    pieces: list[dict[str, Any]], made: list[tuple[str, str, str]], finish: str
) -> None:
    chunks = await reply_to(sse(*pieces, delta(finish)), CALLING)
    assert [chunk.tool_calls for chunk in chunks if chunk.tool_calls] == [
        tuple(ToolCall(*parts) for parts in made)
    ]


async def test_a_call_id_that_the_conversation_has_is_replaced() -> None:
    request = replace(CALLING, messages=HISTORY)
    chunks = await reply_to(sse(calls(call("f", "{}", id="call_abc")), delta("stop")), request)
    assert chunks[-1].tool_calls[0].id == "call_abc_1"


async def test_text_before_a_tool_call_is_yielded(wire: str) -> None:
    script = Script(tool_calls=[ToolCall("c", "f", '{"x": 1}')])
    chunks = await reply_to(script, CALLING, provider=wire)
    assert text(chunks) == TEXT
    ((call_,),) = [chunk.tool_calls for chunk in chunks if chunk.tool_calls]
    assert (call_.name, call_.arguments) == ("f", '{"x": 1}')
    assert call_.id
    assert chunks[-1].finish_reason == "tool_calls"


@pytest.mark.parametrize("fault", [Fault.HALF_TOOL_CALL, Fault.BROKEN_TOOL_JSON])
async def test_a_tool_call_that_a_fault_cuts_is_not_yielded(fault: Fault, wire: str) -> None:
    async with serve(Script(words=(), fault=fault), provider=wire) as (_, provider):
        assert text(await read_until_broken(provider, CALLING)) == ""


@pytest.mark.parametrize(
    "script",
    [
        sse(calls(call("f", "{}", id="a")), delta("length")),
        sse(calls(call("f", "{}", id="a")), done=False),
        sse(calls(call("f", '{"x": 1', id="a"))),
        sse(calls(call("f", '{"x": 1}', id="a"), call("g", '{"y"', id="b")), delta("stop")),
        sse(calls(call("f", "[1]", id="a")), delta("tool_calls")),
        sse(calls(call(None, "{}", id="a")), delta("tool_calls")),
        sse(calls({"id": "a"}), delta("tool_calls")),
        sse(delta(tool_calls="f()"), delta("tool_calls")),
        sse(delta("tool_calls")),
        sse(*[calls(call("f", "x" * 65536, index=0))] * 17, delta("tool_calls")),
    ],
    ids=[
        "out of tokens",
        "no end",
        "cut, and yet the end is announced",
        "second one cut",
        "not an object",
        "no name",
        "no function",
        "not a list",
        "announced only",
        "endless",
    ],
)
async def test_a_tool_call_that_is_cut_is_not_yielded(script: Script) -> None:
    async with serve(script) as (_, provider):
        assert await read_until_broken(provider, CALLING) == []


CALL_OF_OLLAMA = {"function": {"name": "f", "arguments": {}}}


@pytest.mark.parametrize(
    ("wire", "data"),
    [
        ("openai_compatible", parsing.events(calls(call("f", '{"x"', index=0)), done=False)),
        ("openai_compatible", parsing.events(parsing.said('<tool_call>{"name": "f"'), done=False)),
        ("ollama", parsing.json_lines(parsing.line(tool_calls=[CALL_OF_OLLAMA]))),
        ("ollama", parsing.json_lines(parsing.line('<tool_call>{"name": "f"'))),
    ],
    ids=["a piece", "in the text", "ollama", "in ollama's text"],
)
def test_each_piece_of_a_tool_call_is_announced(wire: str, data: bytes) -> None:
    parser = parsing.parser_of(wire)
    words = {"openai_compatible": parsing.events(parsing.said("We open at nine."), done=False)}
    before = words.get(wire, parsing.json_lines(parsing.line("We open at nine.")))
    assert [chunk.calling for chunk in parser.feed(before)] == [False]
    assert [chunk.calling for chunk in parser.feed(data)] == [True]
    is_same_call = data == parsing.json_lines(parsing.line(tool_calls=[CALL_OF_OLLAMA]))
    assert [chunk.calling for chunk in parser.feed(data)] == ([] if is_same_call else [True])
