"""Tests how the body of a response to be created becomes a request of the router."""

import json
from typing import Any

import pytest

from llm_router.gateway.completions.call import Call, Ending, Head, WholeReply
from llm_router.gateway.completions.problems import ChatProblem
from llm_router.gateway.responses.request import read_response_call
from llm_router.types import Usage

PIXEL = "data:image/png;base64,AA=="
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}


def read(key: str = "k", **fields: Any) -> Call:
    body = json.dumps({"model": "auto", "input": "hi", **fields}).encode()
    return read_response_call(body, key)


def refused(**fields: Any) -> ChatProblem:
    with pytest.raises(ChatProblem) as caught:
        read(**fields)
    assert caught.value.status == 400
    return caught.value


def test_a_text_is_the_users() -> None:
    call = read()
    assert (call.model, call.is_streamed, call.include_receipt) == ("auto", False, False)
    assert call.request.messages == [{"role": "user", "content": "hi"}]


def test_instructions_come_first() -> None:
    assert read(instructions="Be brief.").request.messages[0] == {
        "role": "system", "content": "Be brief.",
    }  # fmt: skip


def test_items_are_the_messages_of_a_conversation() -> None:
    items = [
        {"role": "developer", "content": "Be brief."},
        {"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": "What is this?"},
            {"type": "input_image", "image_url": PIXEL, "detail": "low"},
        ]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
        {"type": "message", "role": "assistant", "phase": "commentary", "content": [
            {"type": "output_text", "text": "I see ", "annotations": []},
            {"type": "refusal", "refusal": "nothing."},
        ]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "c2", "name": "g", "arguments": ""},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {"type": "function_call_output", "call_id": "c2", "output": [
            {"type": "input_text", "text": "two"},
            {"type": "input_image", "image_url": PIXEL},
        ]},
        {"role": "user", "content": "And?"},
    ]  # fmt: skip
    assert read(input=items).request.messages == [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
        ]},
        {"role": "assistant", "content": "I see nothing.", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ]},
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
        {"role": "tool", "tool_call_id": "c2", "content": "two"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PIXEL}}]},
        {"role": "user", "content": "And?"},
    ]  # fmt: skip


def test_tools_and_the_choice_have_the_form_of_chat_completions() -> None:
    request = read(tools=[TOOL], tool_choice={"type": "function", "name": "f"}).request
    function = {name: TOOL[name] for name in ("name", "parameters", "strict")}
    assert request.tools == [{"type": "function", "function": function}]
    assert request.tool_choice == {"type": "function", "function": {"name": "f"}}
    assert read(tools=[TOOL], tool_choice="required").request.tool_choice == "required"
    assert read(tools=[], tool_choice="required").request.tool_choice is None


def test_only_allowed_tools_are_offered() -> None:
    allowed = {"type": "allowed_tools", "mode": "required",
               "tools": [{"type": "function", "name": "g"}]}  # fmt: skip
    request = read(tools=[TOOL, {**TOOL, "name": "g"}], tool_choice=allowed).request
    assert [tool["function"]["name"] for tool in request.tools] == ["g"]
    assert request.tool_choice == "required"


def test_tools_that_are_no_functions_are_left_out_beside_functions() -> None:
    """Codex names some of them in every request."""
    others = [{"type": "custom", "name": "apply_patch"}, {"type": "web_search"}]
    call = read(tools=[others[0], TOOL, others[1]])
    assert [tool["function"]["name"] for tool in call.request.tools] == ["f"]
    head = Head(id="a", created=0, model="m", prompt_tokens=0)
    ending = Ending(ended=0, usage=Usage(), receipt=None)
    shown = call.form.whole(head, WholeReply(text="", calls=(), reason="stop", ending=ending))
    assert [tool["name"] for tool in shown["tools"]] == ["f"]
    assert refused(tools=others).error_object["param"] == "tools.0.type"
    assert refused(tools=[TOOL, "web_search"]).error_object["param"] == "tools.1"


def test_options_are_those_of_the_router_or_passed_on() -> None:
    schema = {"type": "json_schema", "name": "a", "schema": {"type": "object"}, "strict": True}
    call = read(
        stream=True, temperature=0.5, top_p=1, max_output_tokens=7, parallel_tool_calls=False,
        reasoning={"effort": "low", "summary": "auto"}, text={"format": schema, "verbosity": "low"},
        user="ann", store=True, unknown=1, patchbay={"receipt": True},
    )  # fmt: skip
    request = call.request
    assert (call.is_streamed, call.include_receipt) == (True, True)
    assert (request.temperature, request.top_p, request.max_tokens) == (0.5, 1, 7)
    assert request.parallel_tool_calls is False
    assert request.response_format == {
        "type": "json_schema",
        "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": True},
    }
    assert request.extra_body == {"reasoning_effort": "low", "verbosity": "low", "user": "ann"}
    assert request.session_id
    assert request.session_id != read("other", user="ann").request.session_id
    assert read(text={"format": {"type": "text"}}).request.response_format is None


def item(**fields: Any) -> dict[str, Any]:
    return {"input": [fields]}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": []}, "input"),
        ({"input": 7}, "input"),
        ({"input": ["hi"]}, "input.0"),
        (item(type="reasoning"), "input"),
        (item(role="wizard", content="x"), "input.0.role"),
        (item(role="user"), "input.0.content"),
        (item(role="user", content=[{"type": "input_text"}]), "input.0.content.0.text"),
        (item(role="user", content=[{"type": "input_file", "file_id": "x"}]),
         "input.0.content.0.type"),
        (item(role="user", content=[{"type": "input_image", "image_url": "file:///etc/passwd"}]),
         "input.0.content.0.image_url"),
        (item(type="function_call", call_id="c", name="f"), "input.0.arguments"),
        (item(type="function_call_output", call_id="c"), "input.0.output"),
        (item(type="item_reference", id="msg_1"), "input.0"),
        (item(type="web_search_call", id="ws_1"), "input.0.type"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"tools": [{"type": "function"}]}, "tools.0.name"),
        ({"tools": [{**TOOL, "parameters": 7}]}, "tools.0.parameters"),
        ({"tools": [TOOL], "tool_choice": "any"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "web_search"}}, "tool_choice.type"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "gone"}}, "tool_choice"),
        ({"text": {"format": {"type": "xml"}}}, "text.format"),
        ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format.schema"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"background": True}, "background"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"model": None}, "model"),
    ],
)  # fmt: skip
def test_an_invalid_field_is_named_and_its_value_is_not_repeated(
    fields: dict[str, Any], param: str
) -> None:
    problem = refused(**fields)
    assert problem.error_object["param"] == param
    assert "passwd" not in problem.detail
