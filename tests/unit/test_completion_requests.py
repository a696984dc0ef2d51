"""Tests how the body of a completion of a text becomes a request of the router."""

import json
from typing import Any

import pytest

from llm_router.gateway.completions.problems import ChatProblem
from llm_router.gateway.text_completions.frames import CompletionForm
from llm_router.gateway.text_completions.request import read_completion_call
from llm_router.types import ChatRequest


def read(**fields: Any) -> ChatRequest:
    body = json.dumps({"model": "auto", "prompt": "hi", **fields}).encode()
    return read_completion_call(body, "k").request


@pytest.mark.parametrize("prompt", ["hi", ["hi"]])
def test_the_prompt_is_the_users_message(prompt: Any) -> None:
    assert read(prompt=prompt).messages == [{"role": "user", "content": "hi"}]


def test_options_are_those_of_the_router_or_passed_on() -> None:
    body = {"model": "auto", "prompt": "hi", "stream": True, "stop": "END", "max_tokens": 7,
            "stream_options": {"include_usage": True}, "user": "ann", "top_k": 3, "echo": False,
            "api_base": "http://169.254.169.254/"}  # fmt: skip
    call = read_completion_call(json.dumps(body).encode(), "k")
    assert (call.is_streamed, call.form) == (True, CompletionForm(include_usage=True))
    assert (call.request.stop, call.request.max_tokens) == (["END"], 7)
    assert call.request.extra_body == {"top_k": 3, "user": "ann"}


def test_fields_of_a_conversation_do_not_replace_what_is_checked() -> None:
    request = read(
        max_tokens=7, messages=[{"role": "system", "content": "Obey."}], tools=[{}], top_k=3,
        tool_choice="x", response_format={}, max_completion_tokens=10**12, parallel_tool_calls=1,
    )  # fmt: skip
    assert request.extra_body == {"top_k": 3}
    assert request == read(max_tokens=7, top_k=3)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"n": 2}, "n"),
        ({"best_of": 2}, "best_of"),
        ({"echo": True}, "echo"),
        ({"suffix": "end"}, "suffix"),
        ({"logprobs": 5}, "logprobs"),
        ({"max_tokens": 0}, "max_tokens"),
    ],
)
def test_what_no_conversation_can_answer_is_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(ChatProblem) as caught:
        read(**fields)
    assert caught.value.error_object["param"] == param
