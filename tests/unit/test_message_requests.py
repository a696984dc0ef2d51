"""Tests how the body of a message to be created becomes a request of the router."""

import json
from typing import Any

import pytest

from llm_router.gateway.completions.call import Call
from llm_router.gateway.completions.problems import ChatProblem
from llm_router.gateway.messages.request import read_message_call

HELLO = [{"role": "user", "content": "hi"}]
PIXEL = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
SHOWN = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
TOOL = {"name": "f", "description": "F.", "input_schema": {"type": "object"}}


def read(key: str = "k", **fields: Any) -> Call:
    body = {"model": "auto", "max_tokens": 9, "messages": HELLO, **fields}
    return read_message_call(json.dumps(body).encode(), key)


def refused(**fields: Any) -> ChatProblem:
    with pytest.raises(ChatProblem) as caught:
        read(**fields)
    assert caught.value.status == 400
    return caught.value


def test_a_plain_request_asks_any_connection_for_a_whole_reply() -> None:
    call = read()
    assert (call.model, call.is_streamed, call.request.max_tokens) == ("auto", False, 9)
    assert call.request.messages == HELLO


@pytest.mark.parametrize(
    ("system", "said"),
    [("Be brief.", "Be brief."),
     ([{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
       {"type": "text", "text": "b"}], "a\nb")],
)  # fmt: skip
def test_the_system_prompt_comes_first(system: Any, said: str) -> None:
    assert read(system=system).request.messages[0] == {"role": "system", "content": said}


def test_blocks_are_the_messages_of_a_conversation() -> None:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, PIXEL]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "x"},
            {"type": "text", "text": "I see."},
            {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": "ü"}},
            {"type": "tool_use", "id": "c2", "name": "g", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "c1", "content": "one"},
            {"type": "tool_result", "tool_use_id": "c2",
             "content": [{"type": "text", "text": "two"}, PIXEL]},
            {"type": "text", "text": "And?"},
        ]},
        {"role": "assistant", "content": [{"type": "text", "text": "It"}]},
    ]  # fmt: skip
    assert read(messages=messages).request.messages == [
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, SHOWN]},
        {"role": "assistant", "content": "I see.", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": "ü"}'}},
            {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ]},
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
        {"role": "tool", "tool_call_id": "c2", "content": "two"},
        {"role": "user", "content": [SHOWN]},
        {"role": "user", "content": "And?"},
        {"role": "assistant", "content": "It"},
    ]  # fmt: skip


def test_a_result_without_content_is_empty() -> None:
    result = [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c"}]}]
    assert read(messages=result).request.messages == [
        {"role": "tool", "tool_call_id": "c", "content": ""}
    ]


@pytest.mark.parametrize(
    ("choice", "meant"),
    [({"type": "auto"}, "auto"), ({"type": "any"}, "required"), ({"type": "none"}, "none"),
     ({"type": "tool", "name": "f"}, {"type": "function", "function": {"name": "f"}})],
)  # fmt: skip
def test_tools_and_the_choice_have_the_form_of_chat_completions(choice: Any, meant: Any) -> None:
    request = read(tools=[TOOL], tool_choice=choice).request
    function = {"name": "f", "description": "F.", "parameters": {"type": "object"}}
    assert request.tools == [{"type": "function", "function": function}]
    assert request.tool_choice == meant
    assert request.parallel_tool_calls is None
    alone = read(tools=[TOOL], tool_choice={**choice, "disable_parallel_tool_use": True})
    assert alone.request.parallel_tool_calls is False


def test_options_are_those_of_the_router_or_passed_on() -> None:
    schema = {"type": "object"}
    call = read(
        stream=True, temperature=0.5, top_p=1, top_k=3, stop_sequences=["END"],
        metadata={"user_id": "ann"}, thinking={"type": "enabled", "budget_tokens": 2048},
        output_config={"effort": "low", "format": {"type": "json_schema", "schema": schema}},
    )  # fmt: skip
    request = call.request
    assert call.is_streamed
    assert (request.temperature, request.top_p, request.stop) == (0.5, 1, ["END"])
    assert request.extra_body == {"top_k": 3, "reasoning_effort": "low", "user": "ann"}
    assert request.response_format == {
        "type": "json_schema",
        "json_schema": {"name": "reply", "schema": schema, "strict": True},
    }
    assert request.session_id != read("other", metadata={"user_id": "ann"}).request.session_id


def said(*blocks: Any, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": [*blocks]}]}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": ["hi"]}, "messages.0"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        (said(7), "messages.0.content.0"),
        (said({"type": "text"}), "messages.0.content.0.text"),
        (said({"type": "document", "source": {}}), "messages.0.content.0.type"),
        (said({"type": "tool_use", "id": "c", "name": "f", "input": {}}),
         "messages.0.content.0.type"),
        (said({"type": "tool_use", "id": "c", "name": "f", "input": "{}"}, role="assistant"),
         "messages.0.content.0.input"),
        (said({"type": "tool_result"}), "messages.0.content.0.tool_use_id"),
        (said({"type": "image", "source": {"type": "file", "file_id": "x"}}),
         "messages.0.content.0.source.type"),
        (said({"type": "image", "source": {"type": "url", "url": "file:///etc/passwd"}}),
         "messages.0.content.0.source.url"),
        ({"system": [PIXEL, {"type": "x"}]}, "system.1.type"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": None}, "max_tokens"),
        ({"temperature": 1.5}, "temperature"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools.0.type"),
        ({"tools": [{"input_schema": {}}]}, "tools.0.name"),
        ({"tools": [TOOL], "tool_choice": {"type": "required"}}, "tool_choice.type"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "gone"}}, "tool_choice.name"),
        ({"mcp_servers": [{"url": "http://x"}]}, "mcp_servers"),
        ({"container": "c"}, "container"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
    ],
)  # fmt: skip
def test_an_invalid_field_is_named_and_its_value_is_not_repeated(
    fields: dict[str, Any], param: str
) -> None:
    problem = refused(**fields)
    assert problem.members["param"] == param
    assert problem.detail.startswith(param)
    assert "passwd" not in problem.detail
    assert problem.anthropic_error["error"]["type"] == "invalid_request_error"
