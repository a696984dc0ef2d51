"""Tests that a reply is read in every shape in which servers and gateways write its events."""

import json
from typing import Any

import pytest

from llm_router.errors import StatusError
from llm_router.types import ToolCall, Usage
from tests.contracts.wire_parsing import ended, events, parse, said

ANSWER = "We open at nine."
END = ended("stop")


def chunk(**delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


@pytest.mark.parametrize(
    "chunks",
    [
        [chunk(content=["We open", " at nine."])],
        [chunk(content=[{"type": "text", "text": {"value": ANSWER, "annotations": []}}])],
        [chunk(content="We open at "), chunk(content="nine"), chunk(content=".")],
        [{"choices": {"index": 0, "delta": {"content": ANSWER}, "finish_reason": None}}],
        [{"result": said(ANSWER)}],
        [{"code": 0, "data": said(ANSWER)}],
        [chunk(refusal="We open"), chunk(refusal=" at nine.")],
        [json.dumps(json.dumps(said(ANSWER)))],
        [json.dumps([said("We open"), said(" at nine.")])],
    ],
    ids=["texts in a list", "a text in an object", "plain", "one choice", "wrapped in result",
         "wrapped in data", "a refusal", "encoded twice", "several in a list"],
)  # fmt: skip
def test_words_are_read_wherever_they_stand(chunks: list[Any]) -> None:
    parsed = parse([events(*chunks, END)])
    assert (parsed.text, parsed.finish_reason, parsed.error) == (ANSWER, "stop", None)


def test_a_number_is_a_word() -> None:
    assert parse([events(said("It is "), chunk(content=9), said("."), END)]).text == "It is 9."


def test_a_reply_that_is_one_list_of_chunks_is_read() -> None:
    body = json.dumps([said("We open"), said(" at nine."), END]).encode()
    for pieces in ([body], [body[:20], body[20:]]):
        assert (parse(pieces).text, parse(pieces).finish_reason) == (ANSWER, "stop")


@pytest.mark.parametrize("end", ["[done]", "DONE", " [DONE] ", '"[DONE]"'])
def test_the_announced_end_is_known_in_every_writing(end: str) -> None:
    parsed = parse([events(said(ANSWER), end, done=False)])
    assert (parsed.text, parsed.finish_reason) == (ANSWER, "stop")


@pytest.mark.parametrize(
    "aside",
    [
        b"data: true\n\n",
        b"data: 1767225600\n\n",
        b'data: "ping"\n\n',
        b"event: open\ndata: ok\n\n",
        b"event: heartbeat\ndata: 2026-01-01T00:00:00Z\n\n",
        b"event: start\ndata: stream started\n\n",
        events({"code": 200, "msg": "OK"}, done=False),
        events({"status": "queued", "message": "3 before you"}, done=False),
        events({"type": "status", "message": "searching"}, done=False),
        events({"citations": ["http://x"]}, done=False),
    ],
)
def test_what_only_says_that_the_stream_lives_is_no_part_of_the_reply(aside: bytes) -> None:
    stream = [aside, events(said("We open"), done=False), aside, events(said(" at nine."), END)]
    parsed = parse(stream)
    assert (parsed.text, parsed.finish_reason, parsed.error) == (ANSWER, "stop", None)


def test_line_ends_that_were_escaped_part_events() -> None:
    lines = [json.dumps(body) for body in (said("We open"), said(" at nine."), END)]
    stream = "".join(f"data: {line}\\n\\n" for line in [*lines, "[DONE]"])
    assert parse([stream.encode()]).text == ANSWER


CALL = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": "{}"}}


def test_calls_in_a_second_choice_are_calls() -> None:
    first = {"index": 0, "delta": {"content": "One moment."}, "finish_reason": "tool_calls"}
    second = {"index": 1, "delta": {"tool_calls": [CALL]}, "finish_reason": "tool_calls"}
    message = {"index": 1, "message": {"tool_calls": [CALL]}, "finish_reason": "tool_calls"}
    for other in (second, message):
        parsed = parse([events({"choices": [first, other]})])
        assert (parsed.text, parsed.calls) == ("One moment.", (ToolCall("c1", "f", "{}"),))


COUNTS = {"prompt_tokens": 5, "completion_tokens": 2}


@pytest.mark.parametrize(
    "last",
    [
        {"choices": [], "usage": {"prompt_tokens": 5.0, "completion_tokens": 2.0}},
        {"choices": [], "usage": {"prompt_tokens": "5", "completion_tokens": "2"}},
        {"choices": [], "usage": {"input_tokens": 5, "output_tokens": 2}},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": COUNTS}]},
        {"choices": None, "usage": COUNTS},
    ],
    ids=["floats", "texts", "other names", "in the choice", "choices null"],
)
def test_usage_is_counted_in_every_writing(last: dict[str, Any]) -> None:
    assert parse([events(said(ANSWER), END, last)]).usage == Usage(5, 2)


def test_counts_that_are_none_are_zero() -> None:
    odds: list[Any] = [-1, None, True, "many", 1e400, []]
    for odd in odds:
        usage = {"prompt_tokens": 5, "completion_tokens": odd}
        parsed = parse([events(said(ANSWER), END, {"choices": [], "usage": usage})])
        assert parsed.usage == Usage(5, 0)


def test_a_last_usage_that_counts_nothing_replaces_none() -> None:
    counted = {"choices": [], "usage": COUNTS}
    zero = {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}}
    details = {"prompt_tokens": 0, "prompt_tokens_details": {"cached_tokens": 0}}
    zero_with_details = {"choices": [], "usage": details}
    for last in (zero, zero_with_details):
        assert parse([events(said(ANSWER), END, counted, last)]).usage == Usage(5, 2)
    assert parse([events(said(ANSWER), END, zero)]).usage == Usage(0, 0)


@pytest.mark.parametrize(
    "error",
    [
        b"event: error\ndata:\n\n",
        b"event: error\n\n",
        b"event: error\ndata: out of memory\n\n",
        b'error: {"code": 500, "message": "out of memory"}\n\n',
        events({"status_code": 500, "message": "out of memory"}, done=False),
        events({"code": 500, "msg": "out of memory"}, done=False),
        events({"errors": [{"message": "out of memory"}]}, done=False),
        events({"err": "out of memory"}, done=False),
        events({"error_code": 336, "error_msg": "out of memory"}, done=False),
        events({"type": "server_error", "message": "out of memory"}, done=False),
    ],
)
def test_an_error_before_the_announced_end_leaves_no_whole_answer(error: bytes) -> None:
    assert isinstance(parse([events(said("We open at"), done=False), error, events()]).error,
                      StatusError)  # fmt: skip
