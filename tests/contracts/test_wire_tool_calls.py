"""Tool calls come out of a provider once and whole, or not at all.

What is said byte for byte here is chat completions; Ollama's is in test_wire_ollama.py.
"""

from typing import Any

import pytest

from llm_router.testing.server import Fault, Script
from llm_router.types import ChatRequest, ToolCall
from tests.contracts.wire import (
    HISTORY,
    TEXT,
    answer,
    call,
    calls,
    delta,
    read_until_broken,
    said,
    served,
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


async def test_words_before_a_tool_call_are_said(wire: str) -> None:
    chunks = await answer(Script(tool_calls=[ToolCall("c", "f", '{"x": 1}')]), provider=wire)
    assert text(chunks) == TEXT
    ((call_,),) = [chunk.tool_calls for chunk in chunks if chunk.tool_calls]
    assert (call_.name, call_.arguments) == ("f", '{"x": 1}')
    assert call_.id
    assert chunks[-1].finish_reason == "tool_calls"


@pytest.mark.parametrize("fault", [Fault.HALF_TOOL_CALL, Fault.BROKEN_TOOL_JSON])
async def test_of_a_call_that_a_fault_cuts_nothing_is_given_out(fault: Fault, wire: str) -> None:
    async with served(Script(words=(), fault=fault), provider=wire) as (_, provider):
        assert text(await read_until_broken(provider)) == ""


@pytest.mark.parametrize(
    "script",
    [
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
