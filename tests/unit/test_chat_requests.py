"""Tests how the body of a chat completion becomes a request of the router."""

import json
from typing import Any

import pytest

from llm_router.gateway.completions.call import Call
from llm_router.gateway.completions.frames import ChatForm
from llm_router.gateway.completions.problems import ChatProblem
from llm_router.gateway.completions.request import read_chat_call

HELLO = [{"role": "user", "content": "hi"}]
PIXEL = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}, "strict": True}}


def read(key: str = "k", **fields: Any) -> Call:
    return read_chat_call(json.dumps({"model": "auto", "messages": HELLO, **fields}).encode(), key)


def refused(body: Any) -> ChatProblem:
    content = body if isinstance(body, bytes) else json.dumps({"model": "auto", **body}).encode()
    with pytest.raises(ChatProblem) as caught:
        read_chat_call(content, "k")
    assert caught.value.status == 400
    return caught.value


def test_a_plain_request_asks_any_connection_for_a_whole_reply() -> None:
    call = read()
    assert (call.model, call.is_streamed, call.form) == (
        "auto",
        False,
        ChatForm(include_usage=False),
    )
    assert call.request.messages == HELLO
    assert not call.request.speech


def test_the_fields_that_the_router_knows_are_its_own() -> None:
    call = read(
        model="desk",
        stream=True,
        stream_options={"include_usage": True},
        tools=[TOOL],
        tool_choice={"type": "function", "function": {"name": "f"}},
        parallel_tool_calls=False,
        response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {}}},
        temperature=0.5,
        top_p=1,
        max_tokens=5,
        max_completion_tokens=7,
        stop="END",
        seed=3,
    )
    request = call.request
    assert (call.model, call.is_streamed) == ("desk", True)
    assert call.form == ChatForm(include_usage=True)
    assert request.tools == [TOOL]
    assert request.tool_choice == {"type": "function", "function": {"name": "f"}}
    assert request.parallel_tool_calls is False
    assert request.response_format
    assert (request.temperature, request.top_p, request.max_tokens) == (0.5, 1, 7)
    assert (request.stop, request.seed, request.extra_body) == (["END"], 3, {})


def test_unknown_fields_are_passed_on() -> None:
    fields: dict[str, Any] = {"top_k": 5, "reasoning_effort": "low", "verbosity": None, "user": "u"}
    assert read(**fields).request.extra_body == {"top_k": 5, "reasoning_effort": "low", "user": "u"}


@pytest.mark.parametrize(
    "name",
    ["api_base", "base_url", "api_key", "extra_headers", "headers", "proxy", "fallbacks",
     "vertex_project", "aws_secret_access_key", "best_of", "extra_body"],
)  # fmt: skip
def test_fields_that_would_redirect_a_request_or_change_its_reply_are_dropped(name: str) -> None:
    assert read(**{name: "http://169.254.169.254/"}).request.extra_body == {}


def test_messages_hold_only_what_the_wire_defines() -> None:
    messages = [
        {"role": "developer", "content": "Be brief.", "extras": {"origin": "google"}},
        {"role": "user", "content": [{"type": "text", "text": "and?"}, PIXEL], "name": "ann"},
        {"role": "assistant", "content": None, "refusal": None, "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}, "index": 0}
        ]},
        {"role": "tool", "tool_call_id": "c", "content": "", "extras": 1},
    ]  # fmt: skip
    developer, user, assistant, tool = read(messages=messages).request.messages
    assert developer == {"role": "developer", "content": "Be brief."}
    assert user == messages[1]
    assert assistant["tool_calls"] == [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    ]
    assert tool == {"role": "tool", "tool_call_id": "c", "content": ""}


def test_plain_text_is_no_format_and_no_tools_need_no_choice() -> None:
    request = read(response_format={"type": "text"}, tools=[], tool_choice="none").request
    assert (request.response_format, request.tool_choice) == (None, None)


def test_only_the_allowed_tools_are_offered() -> None:
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    other = {"type": "function", "function": {"name": "g"}}
    request = read(tools=[TOOL, other], tool_choice=choice).request
    assert (request.tools, request.tool_choice) == ([TOOL], "required")


def test_an_empty_text_ends_no_reply() -> None:
    assert [read(stop=stop).request.stop for stop in ("", [""], ["", "a"])] == [[], [], ["a"]]


def test_a_fault_is_that_of_the_type_which_was_sent() -> None:
    assert "at most 16" in refused({"messages": HELLO, "stop": ["x"] * 17}).detail
    assert "valid string" in refused({"messages": HELLO, "stop": 7}).detail


def test_sessions_of_different_keys_and_users_differ_and_name_neither() -> None:
    sessions = {read(key, user=user).request.session_id for key in "ab" for user in ("u", "v")}
    assert len(sessions) == 4
    assert not any("u" in one.removeprefix("v1-") for one in sessions)
    assert read().request.session_id == ""


def test_halves_of_characters_are_replaced() -> None:
    body = (
        b'{"model": "a", "messages": [{"role": "user", "content": "a \\ud83d b \\ud83d\\ude00"}]}'
    )
    [message] = read_chat_call(body, "k").request.messages
    assert message["content"] == "a \ufffd b \U0001f600"
    json.dumps(message, ensure_ascii=False).encode()


def test_a_body_may_begin_with_the_mark_of_its_byte_order() -> None:
    body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "é"}]})
    call = read_chat_call(b"\xef\xbb\xbf" + body.replace("\\u00e9", "é").encode(), "k")
    assert call.request.messages == [{"role": "user", "content": "é"}]


@pytest.mark.parametrize("field", ["prompt_cache_key", "x"])
def test_halves_of_characters_that_no_escape_writes_are_no_json(field: str) -> None:
    text = json.dumps({"model": "auto", "messages": HELLO, field: "half"})
    raw = text.replace("half", "\ud800").encode(errors="surrogatepass")
    other_encodings = [text.replace("half", "\\ud800").encode(f"utf-{bits}") for bits in (16, 32)]
    assert [refused(body).kind for body in [raw, *other_encodings]] == ["invalid_json"] * 3


def user(content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [1]}, "messages.0"),
        ({"messages": [{"role": "wizard", "content": ""}]}, "messages.0.role"),
        ({"messages": [{"role": ["user"], "content": ""}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "tool", "content": ""}]}, "messages.0.tool_call_id"),
        ({"messages": [{"role": "assistant", "tool_calls": {}, "content": 1}]},
         "messages.0.content"),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}]},
         "messages.0.tool_calls.0.function"),
        (user([1]), "messages.0.content.0"),
        (user([{"type": "text"}]), "messages.0.content.0.text"),
        (user([{"type": "text", "text": 7}]), "messages.0.content.0.text"),
        (user([{"type": "new", "text": 7}]), "messages.0.content.0.text"),
        (user([{"type": "image_url", "image_url": "x"}]), "messages.0.content.0.image_url"),
        (user([{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]),
         "messages.0.content.0.image_url.url"),
        (user([{"type": "image_url", "image_url": {"url": "https://a/" + "b" * 9_000}}]),
         "messages.0.content.0.image_url.url"),
        ({"messages": HELLO, "max_tokens": 0}, "max_tokens"),
        ({"messages": HELLO, "max_completion_tokens": -1}, "max_completion_tokens"),
        ({"messages": HELLO, "temperature": "hot"}, "temperature"),
        ({"messages": HELLO, "temperature": 9}, "temperature"),
        ({"messages": HELLO, "n": 2}, "n"),
        ({"messages": HELLO, "stream": "yes"}, "stream"),
        ({"messages": HELLO, "stop": ["x"] * 17}, "stop"),
        ({"messages": HELLO, "model": "m" * 301}, "model"),
        ({"messages": HELLO, "model": None}, "model"),
        ({"messages": HELLO, "model": ""}, "model"),
        ({"messages": HELLO, "tools": [{"type": "web_search"}]}, "tools.0"),
        ({"messages": HELLO, "tools": [{"type": "function"}]}, "tools.0.function"),
        ({"messages": HELLO, "tools": [{"function": {"name": "f", "parameters": 1}}]},
         "tools.0.function.parameters"),
        ({"messages": HELLO, "tools": [TOOL], "tool_choice": "any"}, "tool_choice"),
        ({"messages": HELLO, "tools": [TOOL], "tool_choice": {}}, "tool_choice"),
        ({"messages": HELLO, "tools": [TOOL],
          "tool_choice": {"type": "function", "function": {"name": "gone"}}}, "tool_choice"),
        ({"messages": HELLO, "tools": [TOOL],
          "tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": ["f"]}}},
         "tool_choice"),
        ({"messages": HELLO, "tools": [TOOL],
          "tool_choice": {"type": "allowed_tools", "allowed_tools": {
              "mode": ["auto"], "tools": [TOOL]}}}, "tool_choice"),
        ({"messages": HELLO, "response_format": {"type": "xml"}}, "response_format"),
        ({"messages": HELLO, "response_format": {"type": "json_schema"}}, "response_format"),
        ({"messages": HELLO, "functions": []}, "functions"),
    ],
)  # fmt: skip
def test_an_invalid_field_is_named_and_its_value_is_not_repeated(
    fields: dict[str, Any], param: str
) -> None:
    problem = refused(fields)
    assert problem.error_object["param"] == param
    assert problem.error_object["type"] == "invalid_request_error"
    assert "passwd" not in problem.detail


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe{",
        b'{"messages": NaN}',
        b'{"seed": ' + b"9" * 5_000 + b"}",
        b"[1]",
        b"7",
    ],
)
def test_a_body_that_is_no_object_of_json_is_refused(body: bytes) -> None:
    assert refused(body).kind in {"invalid_json", "invalid_value"}


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"messages": ' + b"[" * 500 + b"]" * 500 + b"}",
        b'{"messages": [' + b"1," * 100_000 + b"1]}",
        b'{"messages": [' + b"1," * 1_000_000 + b"1]}",
        b'{"a": {' + b",".join(b'"%d": 1' % n for n in range(60_000)) + b"}}",
    ],
    ids=["very deep", "deep", "long", "very long", "wide"],
)
def test_a_body_that_is_too_deep_or_has_too_many_values_is_refused(body: bytes) -> None:
    assert refused(body).kind == "body_too_complex"
