"""Sessions of other LiveKit agents are read out of their traces and logs."""

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from agent.insights.spans import UnreadableError, read_logs, read_traces
from tests.reports import line, logs, span, traces

JOB = {"job_id": "AJ_1", "lk.agent_name": "theirs"}
NS = 10**9


def test_turns_are_items_with_the_times_of_their_nodes() -> None:
    asked = span("user_turn", "01", 10, {"lk.pii.user_transcript": "Are you open?"} | JOB)
    word = {"lk.response.ttft": 0.4, "gen_ai.request.model": "m"}
    model = span("llm_node", "03", 12, word | JOB, "02")
    voice = span("tts_node", "04", 12, {"lk.response.ttfb": 0.1} | JOB, "02")
    said = {"lk.pii.response.text": "At nine.", "lk.e2e_latency": 0.9, "lk.interrupted": True}
    answered = span("agent_turn", "02", 13, said | JOB)
    [news] = read_traces(traces(model, answered, voice, asked))
    assert (news.job, news.agent, news.ended) == ("AJ_1", "theirs", None)
    question, answer = news.items
    assert (question.role, question.text, question.id) == ("user", "Are you open?", "01")
    assert (answer.role, answer.text, answer.interrupted_at) == ("assistant", "At nine.", 2)
    assert answer.receipt == {
        "first_word": 0.4,
        "model": "m",
        "times": {"e2e_latency": 0.9, "tts_node_ttfb": 0.1},
    }
    assert news.began is not None
    assert news.began.timestamp() == 9


def test_tools_and_the_end_of_a_session_are_read() -> None:
    called = {
        "lk.function_tool.name": "book",
        "lk.pii.function_tool.arguments": "{}",
        "lk.pii.function_tool.output": "full",
        "lk.function_tool.is_error": True,
    }
    tool = span("function_tool", "01", 3, called | JOB)
    closed = span("session_close", "02", 4, {"lk.close_reason": "participant_disconnected"} | JOB)
    session = span("agent_session", "03", 5, {"lk.pii.room_name": "their room"} | JOB)
    [news] = read_traces(traces(tool, closed, session))
    [call] = news.items[0].tool_calls
    assert (call["name"], call["output"], call["is_error"]) == ("book", "full", True)
    assert (news.reason, news.room) == ("caller left", "their room")
    assert news.ended is not None
    assert news.ended.timestamp() == 5


def test_the_report_of_a_session_has_its_whole_history() -> None:
    message = {"message": {"id": "item_1", "role": "ASSISTANT", "content": [{"text": "At nine."}]}}
    odd = {"message": {"id": 3, "role": ["USER"], "content": "x"}}
    [news] = read_logs(
        logs(
            line("chat item", 2, {"chat.item": message}),
            line("chat item", 2, {"chat.item": odd}),
            line("some other line", 2, {}),
            line("session report", 3, {"agent_name": "theirs"}),
            job_id="AJ_1",
            room="their room",
        )
    )
    assert [(one.id, one.role, one.text) for one in news.items] == [
        ("item_1", "assistant", "At nine.")
    ]
    assert (news.source, news.agent, news.room) == ("report", "theirs", "their room")
    assert news.ended is not None


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"job_id": 7},
        {"job_id": "AJ_1", "lk.pii.user_transcript": 4.5},
        {"job_id": "AJ_1", "lk.pii.user_transcript": ""},
    ],
)
def test_odd_spans_say_nothing(attributes: dict[str, object]) -> None:
    found = read_traces(traces(span("user_turn", "01", 1, attributes)))
    assert not any(news.items for news in found)


def test_times_beyond_the_calendar_and_texts_without_end_are_bounded() -> None:
    long = {"lk.pii.user_transcript": "x" * 50_000 + "\0", "lk.end_of_turn_delay": float("nan")}
    late = span("user_turn", "01", 1, long | JOB)
    late.end_time_unix_nano = 2**64 - 1
    [news] = read_traces(traces(late))
    assert len(news.items[0].text) == 32_000
    assert news.items[0].receipt == {}
    many = [span("user_turn", f"{n:04}", 1, {"job_id": f"AJ_{n}"}) for n in range(300)]
    assert len(read_traces(traces(*many))) == 100


def test_a_deep_value_and_what_is_no_otlp_do_no_harm() -> None:
    with pytest.raises(UnreadableError):
        read_traces(b"\xff" * 100)
    deep = AnyValue()
    inner = deep
    for _ in range(40):
        inner = inner.array_value.values.add()
    inner.string_value = "x"
    one = span("user_turn", "01", 1, JOB)
    one.attributes.append(KeyValue(key="deep", value=deep))
    assert len(read_traces(traces(one))) == 1
