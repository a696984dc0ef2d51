"""The shared data types, connections and errors."""

import pytest

from llm_router.connections.record import Connection
from llm_router.errors import ReplyFailedError, StatusError, UnknownPluginError
from llm_router.types import Chunk, ToolCall, Usage

CALL = ToolCall("1", "get_time", "{}")


@pytest.mark.parametrize(
    "chunk",
    [
        Chunk(text="We"),
        Chunk(text=" a "),
        Chunk(text="."),
        Chunk(tool_calls=(CALL,)),
        Chunk(text="We", finish_reason="stop"),
    ],
)
def test_words_and_whole_tool_calls_are_progress(chunk: Chunk) -> None:
    assert chunk.useful


@pytest.mark.parametrize(
    "chunk",
    [
        Chunk(),
        Chunk(text=" \n\t"),
        Chunk(reasoning="hmm, the caller wants"),
        Chunk(finish_reason="stop"),
        Chunk(usage=Usage(1, 2, 3)),
        Chunk(connection="a"),
    ],
)
def test_every_other_sign_of_life_is_not(chunk: Chunk) -> None:
    assert not chunk.useful


def test_a_connection_does_not_show_its_key_nor_its_headers() -> None:
    connection = Connection(name="a", api_key="sk-secret", headers={"X-Key": "sk-secret"})
    assert "sk-secret" not in repr(connection)


def test_a_connection_lists_its_capabilities() -> None:
    able = Connection(name="a", supports_tools=False, context_length=4_096).capabilities
    assert (able.tools, able.images, able.json, able.context_length) == (False, False, True, 4_096)


def test_errors_describe_themselves_in_few_words() -> None:
    assert str(StatusError(503)) == "HTTP 503"
    assert str(StatusError(429, code="slow_down", kind="limit")) == "HTTP 429 (slow_down)"
    assert str(StatusError(0, kind="overloaded")) == "an error inside a 200 (overloaded)"
    assert "secret" not in str(StatusError(400, detail="a caller's secret"))
    assert str(UnknownPluginError("policy", "x", ["a", "b"])) == "unknown policy 'x'; known: a, b"


def test_a_failed_reply_names_each_reason() -> None:
    error = ReplyFailedError([("a", "silent"), ("b", "not active")])
    assert str(error) == "no connection could answer (a: silent; b: not active)"
    assert error.reasons == (("a", "silent"), ("b", "not active"))
    assert "no connection is set up" in str(ReplyFailedError([]))
