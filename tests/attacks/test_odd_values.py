"""Puts odd values in every place of a request below /v1: it is a request still, or refused."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from llm_router.gateway.completions.body import read_body
from llm_router.gateway.completions.call import Call
from llm_router.gateway.completions.older import read_older_call
from llm_router.gateway.completions.problems import ChatProblem
from llm_router.gateway.completions.request import read_chat_call
from llm_router.gateway.messages.request import read_message_call
from llm_router.gateway.responses.request import read_response_call
from llm_router.gateway.schemas.forwarded import EmbeddingCreate, SpeechCreate
from llm_router.gateway.text_completions.request import read_completion_call

SCHEMA = {"type": "object", "properties": {"a": {"type": "string", "default": 1}}}
FUNCTION = {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CHAT: dict[str, Any] = {
    "model": "auto",
    "messages": [
        {"role": "system", "content": "s", "name": "n"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c", "content": "ok"},
    ],
    "tools": [{"type": "function", "function": FUNCTION}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
    "temperature": 0.5, "top_p": 1, "max_tokens": 5, "stop": ["x"], "seed": 1, "n": 1, "user": "u",
    "metadata": {"a": "b"}, "logit_bias": {"1": 1}, "logprobs": True, "top_logprobs": 1,
    "stream": True, "stream_options": {"include_usage": True}, "patchbay": {"receipt": True},
    "parallel_tool_calls": True, "prompt_cache_key": "x", "provider": {"order": ["a"]},
}  # fmt: skip
RESPONSES: dict[str, Any] = {
    "model": "auto",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "x"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "x"},
    ],
    "tools": [{"type": "function", **FUNCTION}],
    "tool_choice": {"type": "function", "name": "f"},
    "text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}},
    "reasoning": {"effort": "low"}, "instructions": "i", "max_output_tokens": 16, "temperature": 1,
    "metadata": {"a": "b"}, "include": [], "truncation": "auto", "user": "u", "store": False,
}  # fmt: skip
MESSAGES: dict[str, Any] = {
    "model": "auto",
    "max_tokens": 5,
    "system": [{"type": "text", "text": "s"}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"a": 1}}]},
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "x"}]},
        ]},
    ],
    "tools": [{"name": "f", "input_schema": SCHEMA}],
    "tool_choice": {"type": "tool", "name": "f"},
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "stop_sequences": ["x"], "temperature": 1, "metadata": {"user_id": "x"}, "top_k": 1,
}  # fmt: skip
TEXT: dict[str, Any] = {
    "model": "auto", "prompt": ["x"], "max_tokens": 5, "stop": "y", "seed": 1, "user": "u",
    "stream_options": {"include_usage": True}, "logprobs": 0, "min_p": 0.1,
}  # fmt: skip
OLDER: dict[str, Any] = {"messages": CHAT["messages"], "model": "auto", "stream": False}
ODD = (
    "NaN", "Infinity", "-Infinity", "1e999", "-1e999", '{"a": [1e999]}', "1e308", "-0.0",
    str(10**30), str(2**63), str(2**31), "9" * 5_000, "-1", "0", "1.5", "true", "null", "[]", "{}",
    "[null]", "[[]]", "[{}]", '[{"type": []}]', '{"type": []}', '{"type": {}}', '{"type": null}',
    '{"": 1}', '""', '"x"', r'"\ud800"', r'{"\udc00": 1}', r'"a\u0000b"', r'"\r\nx: y"',
    r'"\u202e"', "[" * 3_000 + "]" * 3_000, '{"a":' * 70 + "1" + "}" * 70,
)  # fmt: skip
HOLE = "@@hole@@"

Read = Callable[[bytes, str], Call]


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yields the way to every value within a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, inner in items:
        yield (*way, name)
        if isinstance(inner, dict | list):
            yield from places(inner, (*way, name))


def bodies(body: dict[str, Any]) -> Iterator[bytes]:
    """Yields the body with each odd value in each place, and in one of its own."""
    for way in [*places(body), ("unknown",)]:
        changed = json.loads(json.dumps(body))
        holder = changed
        for name in way[:-1]:
            holder = holder[name]
        holder[way[-1]] = HOLE
        text = json.dumps(changed)
        for odd in ODD:
            yield text.replace(f'"{HOLE}"', odd).encode()


@pytest.mark.parametrize(
    ("read", "body"),
    [
        (read_chat_call, CHAT),
        (read_response_call, RESPONSES),
        (read_message_call, MESSAGES),
        (read_completion_call, TEXT),
        (read_older_call, OLDER),
    ],
)
def test_a_request_with_an_odd_value_is_a_request_or_refused(
    read: Read, body: dict[str, Any]
) -> None:
    assert read(json.dumps(body).encode(), "k").request.messages
    accepted = refused = 0
    for changed in bodies(body):
        try:
            call = read(changed, "k")
        except ChatProblem:
            refused += 1
            continue
        request = call.request
        sent = [request.messages, request.tools, request.response_format, request.extra_body]
        json.dumps(sent, allow_nan=False, ensure_ascii=False).encode()
        accepted += 1
    assert accepted > len(ODD)
    assert refused > len(ODD)


@pytest.mark.parametrize(
    ("schema", "body"),
    [
        (EmbeddingCreate, {"model": "auto", "input": ["x"], "dimensions": 3, "user": "u"}),
        (SpeechCreate, {"model": "auto", "input": "x", "voice": "a", "speed": 1.5}),
    ],
)
def test_what_is_passed_on_is_json_whatever_was_sent(schema: Any, body: dict[str, Any]) -> None:
    for changed in bodies(body):
        with suppress(ChatProblem):
            fields = read_body(changed, schema)
            json.dumps(fields.model_dump(exclude_unset=True), allow_nan=False)
