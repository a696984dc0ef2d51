"""Eligibility: the size of a prompt, and the endpoints that an earlier failure rules out."""

from collections.abc import Mapping
from typing import Any

import pytest

from llm_router.connections.record import Connection
from llm_router.failures import Failure, FailureClass
from llm_router.routing.eligibility import may_ask, may_follow, prompt_characters
from llm_router.routing.endpoint import Endpoint
from llm_router.testing import HANG, ScriptedProvider
from llm_router.types import ChatRequest

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
SILENT = Failure(FailureClass.SILENT, "no word by the deadline")
REFUSED = Failure(FailureClass.REFUSED_CONTENT, "the server's filter")


def endpoint(name: str = "a", **fields: Any) -> Endpoint:
    return Endpoint(Connection(name=name, **fields), ScriptedProvider([[HANG]]))


def test_text_is_counted_in_messages_of_either_form() -> None:
    messages: list[Mapping[str, Any]] = [
        {"role": "system", "content": "12345"},
        {"role": "user", "content": [{"type": "text", "text": "678"}, PICTURE]},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "assistant"},
    ]
    assert prompt_characters(ChatRequest(messages=messages)) == 8


@pytest.mark.parametrize(
    ("kind", "other", "may"),
    [
        (FailureClass.SILENT, {}, True),
        (FailureClass.BUG, {}, True),
        (FailureClass.CANCELLED, {}, False),
        (FailureClass.TOO_LONG, {"context_length": 8_000}, True),
        (FailureClass.TOO_LONG, {"context_length": 4_000}, False),
        (FailureClass.TOO_LONG, {"context_length": 2_000}, False),
        (FailureClass.TOO_LONG, {}, True),
        (FailureClass.BAD_REQUEST, {"base_url": "http://one.test/v1"}, False),
        (FailureClass.BAD_REQUEST, {"base_url": "http://two.test/v1"}, True),
        (FailureClass.BAD_REQUEST, {"base_url": "http://one.test/v1", "server": "vllm"}, True),
        (FailureClass.BAD_REQUEST, {"provider": "offline"}, True),
    ],
)
def test_an_endpoint_may_follow_a_failure_elsewhere_or_not(
    kind: FailureClass, other: dict[str, Any], may: bool
) -> None:
    failed = endpoint("a", base_url="http://one.test/v1", context_length=4_000)
    assert may_follow(endpoint("b", **other), failed, Failure(kind, "a reason")) is may


def test_an_endpoint_may_be_asked_again_after_a_failure_of_one_request_only() -> None:
    failed, other = endpoint("a"), endpoint("b")
    rejected = Failure(FailureClass.REJECTED_KEY, "a reason")
    assert may_ask(failed, {failed: SILENT}, move_on_refused_content=True)
    assert not may_ask(failed, {failed: rejected}, move_on_refused_content=True)
    assert may_ask(other, {failed: SILENT}, move_on_refused_content=True)


@pytest.mark.parametrize("may", [True, False])
def test_refused_content_moves_on_where_the_options_allow_it(may: bool) -> None:
    failed, other = endpoint("a"), endpoint("b")
    assert may_ask(other, {failed: REFUSED}, move_on_refused_content=may) is may
