"""Tests that calls are put together from index, id, name and arguments, whichever a server lacks.

Each row is the bytes of a public report, or a sibling of one. `p` makes a piece of a call, a list
the pieces of one event, a row the events of a reply.
"""

import json
from typing import Any

import pytest

from llm_router.testing.server import Script
from llm_router.types import ChatRequest
from tests.contracts.wire import (
    REQUEST,
    call,
    calls,
    delta,
    read_until_broken,
    reply_to,
    serve,
    sse,
)


def _tool(name: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


OFFERED = ChatRequest(
    messages=REQUEST.messages,
    tools=[_tool(name) for name in ("get_weather", "add", "multiply", "get", "hang_up")],
)
PARIS = '{"city": "Paris"}'
OSLO = '{"city": "Oslo"}'
WEATHER = [("get_weather", PARIS)]
BOTH = [("get_weather", PARIS), ("get_weather", OSLO)]
SUMS = [("add", '{"a": 2}'), ("multiply", '{"a": 3}')]


def p(
    name: str | None = None, arguments: Any = None, index: Any = None, call_id: Any = None
) -> dict[str, Any]:
    return call(name, arguments, **({} if index is None else {"index": index}), id=call_id)


async def made(*events: Any, finish: str = "tool_calls") -> list[tuple[str, Any]]:
    """Returns name and arguments of the calls that a reply of these events makes."""
    said = [calls(*(one if isinstance(one, list) else [one])) for one in events]
    chunks = await reply_to(sse(*said, delta(finish)), OFFERED)
    found = [call for chunk in chunks for call in chunk.tool_calls]
    assert len({call.id for call in found}) == len(found)
    return [(call.name, call.arguments) for call in found]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param(
            [
                p("add", "", 0, "a"),
                p(None, '{"a": 2}', 0),
                p("multiply", "", 2, "b"),
                p(None, '{"a": 3', 1),
                p(None, "}", 1),
            ],
            SUMS,
            id="the tool's index first, the call's own after (sglang#6310)",
        ),
        pytest.param(
            [
                p("multiply", "", 1, "a"),
                p(None, '{"a": 3}', 0),
                p("add", "", 0, "b"),
                p(None, '{"a": 2}', 1),
            ],
            SUMS[::-1],
            id="the same, the other way round",
        ),
        pytest.param(
            [p("add", "", 0, "a"), p(None, '{"a": 2}', 1, "a")],
            SUMS[:1],
            id="a known id at another index (langchain-oracle#254)",
        ),
        pytest.param(
            [p("add", '{"a"', 0, "a"), p(None, ": 2", 1), p(None, "}", 2)],
            SUMS[:1],
            id="the index counts the pieces",
        ),
        pytest.param(
            [
                p("add", '{"a"', 0, "a"),
                p("multiply", '{"a"', 1, "b"),
                p(None, ": 2}", 0),
                p(None, ": 3}", 1),
            ],
            SUMS,
            id="interleaved by index",
        ),
        pytest.param(
            [
                p("add", '{"a"', 0, "a"),
                p("multiply", '{"a"', 0, "b"),
                p(None, ": 2}", 0, "a"),
                p(None, ": 3}", 0, "b"),
            ],
            SUMS,
            id="interleaved by id, one index",
        ),
        pytest.param(
            [
                p("add", '{"a"', None, "a"),
                p("multiply", '{"a"', None, "b"),
                p(None, ": 3}", None, "b"),
                p(None, ": 2}", None, "a"),
            ],
            SUMS,
            id="interleaved by id, no index",
        ),
        pytest.param(
            [p("add", '{"a"', "0", "a"), p("multiply", '{"a": 3}', "1"), p(None, ": 2}", "0")],
            SUMS,
            id="the index is a text",
        ),
        pytest.param(
            [p("add", '{"a"'), p(None, ": 2}"), p("multiply", '{"a": 3'), p(None, "}")],
            SUMS,
            id="neither index nor id",
        ),
        pytest.param(
            [
                p("add", "", 0),
                p(None, '{"a": 2}', 0),
                p("multiply", "", 0),
                p(None, '{"a": 3}', 0),
            ],
            SUMS,
            id="one index for all, no id",
        ),
        pytest.param(
            [
                p("get_weather", "", 0),
                p(None, PARIS, 0),
                p("get_weather", "", 0),
                p(None, OSLO, 0),
            ],
            BOTH,
            id="one index, no id, the same tool twice",
        ),
        pytest.param(
            [
                p("get_weather", "", 0, "a"),
                p(None, PARIS, 0),
                p("get_weather", "", 0, "b"),
                p(None, OSLO, 0),
            ],
            BOTH,
            id="one index, ids at the first pieces",
        ),
        pytest.param(
            [[p("get_weather", PARIS, 0), p("get_weather", OSLO, 0)]],
            BOTH,
            id="whole, in one event, one index",
        ),
        pytest.param(
            [p("add", '{"a": 2', 0), p(None, "}", 0, "late")],
            SUMS[:1],
            id="the id comes last",
        ),
        pytest.param(
            [p("add", '{"a"', 0, "x"), p("add", ": 2", 0, "y"), p("add", "}", 0, "z")],
            SUMS[:1],
            id="a new id and the name with every piece",
        ),
        pytest.param(
            [p("hang_up", "", 0, "a"), p("get_weather", "", 1, "b"), p(None, PARIS, 1)],
            [("hang_up", "{}"), *WEATHER],
            id="no arguments, then another",
        ),
        pytest.param(
            [p("hang_up", "", 0), p("get_weather", PARIS, 0)],
            [("hang_up", "{}"), *WEATHER],
            id="no arguments, then another, one index and no id",
        ),
        pytest.param(
            [{"name": "add", "arguments": {"a": 2}}],
            SUMS[:1],
            id="no `function` around it",
        ),
        pytest.param(
            [[{"function": {"name": "hang_up", "arguments": {}, "index": n}} for n in (0, 1)]],
            [("hang_up", "{}")] * 2,
            id="the index inside the function (Ollama)",
        ),
        pytest.param(
            [None, {"id": 7, "index": 0, **p("add", {"a": 2})}, None], SUMS[:1], id="null"
        ),
        pytest.param([p("add", '{"a": 2}', True)], SUMS[:1], id="the index is no number"),
    ],
)
async def test_a_piece_belongs_to_the_call_that_all_signs_together_name(
    events: list[Any], expected: list[tuple[str, Any]]
) -> None:
    assert await made(*events) == expected


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([p("get_", "", 0, "a"), p("weather", PARIS, 0)], id="in two (continue#5849)"),
        pytest.param(
            [p("get", "", 0, "a"), p("_wea", "", 0), p("ther", "", 0), p(None, PARIS, 0)],
            id="in three, its beginning another tool's name",
        ),
        pytest.param(
            [p("get_", '{"city": ', 0, "a"), p("weather", '"Paris"}', 0, "a")],
            id="the arguments beside it",
        ),
        pytest.param([p("get_", "", 0, "a"), p("weather", PARIS, 1)], id="the index counts up"),
        pytest.param([p("get_", "", 0, "a"), p("get_weather", PARIS, 0)], id="the whole so far"),
        pytest.param(
            [p("get_weather", "", 0, "a")] * 2 + [p("get_weather", PARIS, 0, "a")],
            id="again and again (hermes-agent#11984)",
        ),
        pytest.param([p("get_weatherget_weather", PARIS, 0, "a")], id="twice in one (vllm#16340)"),
        pytest.param(
            [p(None, '{"city": ', 0, "a"), p("get_weather", '"Paris"}', 0)],
            id="after the arguments have begun (opencode#24137)",
        ),
        pytest.param([p("", "", 0, "a"), p("get_weather", PARIS, 0)], id="empty at first"),
        pytest.param([p("functions.", "", 0), p("get_weather", PARIS, 0)], id="after a namespace"),
    ],
)
async def test_a_name_in_pieces_is_one_name(events: list[Any]) -> None:
    assert await made(*events) == WEATHER


@pytest.mark.parametrize(
    "name",
    [
        " get_weather\n",
        "functions.get_weather",
        "functions.get_weather:0",
        "default_api.get_weather",
        "`get_weather`",
        "get_weather()",
        "getWeather",
        "get-weather",
        "Get_Weather",
        "get_weather<|channel|>commentary",
        "get_weather <|constrain|>json",
        "to=functions.get_weather",
        "get_weather</name>",
    ],
)
async def test_what_is_clearly_the_name_of_a_tool_is_it(name: str) -> None:
    assert await made(p(name, PARIS, 0, "a")) == WEATHER


@pytest.mark.parametrize(
    "name", ["get_forecast", "weather", "get_weather_v2", "ad", "json", "<|channel|>", "(", "行"]
)
async def test_a_tool_that_was_not_offered_is_not_called(name: str) -> None:
    said = sse(calls(p(name, PARIS, 0, "a")), delta("tool_calls"))
    async with serve(said) as (_, provider):
        assert await read_until_broken(provider, OFFERED) == []


@pytest.mark.parametrize(
    "piece",
    [
        {"index": 0, "id": "a", "function": {"name": "get_weather", "args": {"city": "Paris"}}},
        {"index": 0, "id": "a", "name": "get_weather", "function": {"arguments": PARIS}},
        {"index": 0, "id": "a", "name": "get_weather", "params": {"city": "Paris"}},
    ],
    ids=["args", "the name outside", "flat"],
)
async def test_a_call_is_read_under_other_names_of_its_fields(piece: dict[str, Any]) -> None:
    assert await made([piece]) == WEATHER


@pytest.mark.parametrize("nothing", ["{}", "", "null"])
async def test_a_call_without_name_and_arguments_beside_another_is_none(nothing: str) -> None:
    assert await made(p("get_weather", PARIS, 0, "a"), p("", nothing, 1, "b")) == WEATHER
    assert await made(p("", nothing, 0, "b"), p("get_weather", PARIS, 1, "a")) == WEATHER


async def test_a_call_without_a_name_alone_is_broken() -> None:
    async with serve(sse(calls(p("", "{}", 0, "a")), delta("tool_calls"))) as (_, provider):
        assert await read_until_broken(provider, OFFERED) == []


async def test_no_tool_is_called_where_none_may_be() -> None:
    said = sse(calls(p("add", "{}", 0, "a")), delta("tool_calls"))
    none = ChatRequest(messages=REQUEST.messages, tools=OFFERED.tools, tool_choice="none")
    for request in (REQUEST, none):
        async with serve(said) as (_, provider):
            assert await read_until_broken(provider, request) == []


TWICE = json.dumps(PARIS)


@pytest.mark.parametrize(
    "pieces",
    [
        [TWICE],
        [TWICE[:9], TWICE[9:]],
        ["```json\n", PARIS, "\n```"],
        [PARIS, "}"],
        ["{}", PARIS],
        [PARIS, PARIS],
        ['{"ci', '{"city": "Pa', PARIS],
        ["", PARIS, ""],
        [f" {PARIS}\n"],
        [{"city": "Paris"}],
        ["{'city': 'Paris'}"],
        [f"{PARIS}<|call|>"],
        [f"{PARIS}</tool_call>"],
        [f'{PARIS}\n{{"city": "Paris"}}'],
        ["json", PARIS],
        [f"<|constrain|>json<|message|>{PARIS}"],
        ["null", PARIS],
        ['""', PARIS],
        [f"<think>\n\n</think>\n{PARIS}"],
        [f"[{PARIS}]"],
        [f'{{"name": "get_weather", "arguments": {PARIS}}}'],
        [f'{{"name": "get_weather", "arguments": {TWICE}}}'],
        [f'{{"parameters": {PARIS}}}'],
        [f"\ufeff{PARIS}"],
    ],
    ids=[
        "encoded twice (vllm#25729)",
        "encoded twice, in pieces",
        "in a fence",
        "a brace too many",
        "an empty object first",
        "whole, once more",
        "the whole so far in each piece",
        "empty at both ends",
        "white space around",
        "an object",
        "in Python",
        "a token behind",
        "a tag behind",
        "twice in one piece",
        "the format's name before",
        "a channel before",
        "null before",
        "nothing before",
        "an empty thought before",
        "in a list",
        "the call around",
        "the call around, encoded twice",
        "around without a name",
        "a byte order mark before",
    ],
)
async def test_arguments_are_read_in_every_form(pieces: list[Any]) -> None:
    first, *rest = pieces
    ((name, arguments),) = await made(
        p("get_weather", first, 0, "a"), *(p(None, piece, 0) for piece in rest)
    )
    assert (name, json.loads(arguments)) == ("get_weather", {"city": "Paris"})


@pytest.mark.parametrize("nothing", [None, "", "  ", "null", "{}", {}, [], '""', '"{}"', "None"])
async def test_no_arguments_are_an_empty_object(nothing: Any) -> None:
    assert await made(p("hang_up", nothing, 0, "a")) == [("hang_up", "{}")]


@pytest.mark.parametrize("ghost", [p("", "{}", 1), p(None, "", 1, "b"), p("", "null", 1, "b")])
async def test_a_call_of_nothing_is_none(ghost: Any) -> None:
    assert await made(p("get_weather", PARIS, 0, "a"), ghost) == WEATHER


async def test_arguments_that_are_no_call_stay() -> None:
    for arguments in ('{"arguments": 1}', f'{{"name": "add", "arguments": {PARIS}}}'):
        assert await made(p("get_weather", arguments, 0, "a")) == [("get_weather", arguments)]


async def test_openais_wrapper_of_parallel_calls_is_the_calls() -> None:
    uses = [
        {"recipient_name": "functions.get_weather", "parameters": {"city": "Paris"}},
        {"recipient_name": "functions.add", "parameters": {"a": 2}},
    ]
    written = json.dumps({"tool_uses": uses})
    pieces = [p("multi_tool_use.parallel", written[:20], 0, "a"), p(None, written[20:], 0)]
    assert await made(*pieces) == [*WEATHER, SUMS[0]]


async def test_a_line_break_in_a_text_stays() -> None:
    ((_, arguments),) = await made(p("get_weather", '{"city": "New\nYork"}', 0, "a"))
    assert json.loads(arguments) == {"city": "New\nYork"}


@pytest.mark.parametrize("arguments", ['"Paris"', "[1]", "4", PARIS[:-3], f"{PARIS}{OSLO}", "{a}"])
async def test_arguments_that_are_no_object_are_broken(arguments: str) -> None:
    async with serve(sse(calls(p("get_weather", arguments, 0, "a")), delta("stop"))) as (_, one):
        assert await read_until_broken(one, OFFERED) == []


@pytest.mark.parametrize(
    "again",
    [
        [p("get_weather", PARIS, 0, "a"), p("add", '{"a": 2}', 1, "b")],
        [p("get_weather", PARIS, None, "a"), p("add", '{"a": 2}', None, "b")],
        [p("get_weather", PARIS), p("add", '{"a": 2}')],
        [p("get_weather", PARIS, 0, "new"), p("add", '{"a": 2}', 1, "newer")],
        [p("get_weather", PARIS, 0)],
        [p("get_weather", "", 0, "a"), p("add", "", 1, "b")],
    ],
    ids=["in full", "no index", "neither", "new ids", "one of them", "names only"],
)
async def test_calls_that_come_once_more_at_the_end_are_made_once(again: list[Any]) -> None:
    pieces = [
        p("get_weather", PARIS[:5], 0, "a"),
        p(None, PARIS[5:], 0),
        p("add", '{"a": 2}', 1, "b"),
    ]
    assert await made(*pieces, again) == [*WEATHER, SUMS[0]]


async def test_the_older_form_of_a_call_is_read() -> None:
    pieces = [{"name": "get_weather", "arguments": ""}, *({"arguments": x} for x in PARIS)]
    said = sse(*(delta(function_call=piece) for piece in pieces), delta("stop"))
    (*_, last) = await reply_to(said, OFFERED)
    assert [(call.name, call.arguments) for call in last.tool_calls] == WEATHER


MANY = [calls(p("add", json.dumps({"a": n}), n, f"c{n}")) for n in range(129)]


@pytest.mark.parametrize(
    "script",
    [
        sse(*[calls(p("add", "é" * 40_000, 0))] * 14, delta("stop")),
        sse(*[calls(p("add", f'{{"a": "{"x" * 600_000}{n}"}}', n)) for n in range(8)]),
        sse(*MANY, delta("stop")),
    ],
    ids=["bytes, not characters", "all together", "many"],
)
async def test_calls_are_bounded(script: Script) -> None:
    async with serve(script) as (_, provider):
        assert await read_until_broken(provider, OFFERED) == []


async def test_the_bounds_count_what_a_call_holds_and_not_what_is_around_it() -> None:
    arguments = json.dumps({"city": "x" * 20_000})
    pieces = [arguments[at : at + 4] for at in range(0, len(arguments), 4)]
    wordy = [{"id": None, "type": None, **p(None, piece, 0), "x": "y" * 200} for piece in pieces]
    assert await made(p("get_weather", "", 0, "a"), *wordy) == [("get_weather", arguments)]
