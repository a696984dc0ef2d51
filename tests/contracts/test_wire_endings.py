"""Tests that a reply is whole or broken by all signs of its end together, on every wire."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.classification import classify
from llm_router.errors import BrokenStreamError, StatusError
from llm_router.failures import CONSEQUENCES, FailureClass
from llm_router.options import RouterOptions
from llm_router.providers._wire.ending import Ending, kind_of
from llm_router.testing.server import Fault, Script
from llm_router.types import ToolCall
from tests.contracts.wire import reply_to, text
from tests.contracts.wire_parsing import (
    Parsed,
    ended,
    events,
    json_lines,
    line,
    parse,
    parser_of,
    said,
)

RESET = BrokenStreamError("the answer broke off (ReadError)")
BAD_GATEWAY = {"code": 502, "message": "Upstream provider error"}
WHOLE_CALL = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": '{"a": 1}'}}
CALL = ToolCall("c1", "f", '{"a": 1}')


def calls(*pieces: Any, finish: Any = None) -> dict[str, Any]:
    delta = {"tool_calls": list(pieces)}
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def broken(parsed: Parsed) -> FailureClass:
    assert parsed.error, parsed
    assert parsed.finish_reason is None
    return classify(parsed.error).kind


# --- Reasons, in every vendor's spelling

STOPS = ["stop", "STOP", "end_turn", "stop_sequence", "eos", "eos_token", "EOS_TOKEN", "COMPLETE",
         "completed", "Stop", "finish", "REASON_STOP", "load", "eosFound",
         "stopStringFound", "eot", "<|im_end|>", "stop_word", "finished", "done", "STOPPED",
         "natural", "default"]  # fmt: skip
LENGTHS = ["length", "LENGTH", "max_tokens", "MAX_TOKENS", "MaxTokens", "max_output_tokens",
           "maxTokens", "model_length", "REASON_MAX_LEN", "token_limit", "limit", "truncated",
           "maxPredictedTokensReached", "max_new_tokens", "max_tokens_exceeded"]  # fmt: skip
TOOL_CALLS = ["tool_calls", "tool_use", "function_call", "TOOL_CALL", "tool-calls"]
NONE = ["", "null", "NULL", "None", "undefined", "FINISH_REASON_UNSPECIFIED", "unspecified",
        "not_finished", "in_progress"]  # fmt: skip
FAILURES = ["error", "ERROR", "abort", "aborted", "cancelled", "canceled", "USER_CANCEL",
            "insufficient_system_resource", "network_error", "network-error",
            "malformed_function_call", "MALFORMED_FUNCTION_CALL",
            "function_call_filter: MALFORMED_FUNCTION_CALL",
            "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE",
            "MALFORMED_RESPONSE", "malformed_model_output", "malformed_tool_use", "OTHER", "other",
            "LANGUAGE", "unknown", "pause_turn", "timeout", "TIMEOUT", "time_limit", "ERROR_LIMIT",
            "server_error", "engine_shutdown", "repetition", "incomplete", "failed", "interrupted",
            "connection_reset", "resource_exhausted", "UpstreamError", "out_of_memory",
            "preempted", "userStopped", "modelUnloaded", "worker_died", "internal", "oom",
            "no_output", "dropped", "lost", "denied", "rejected", "expired", "nan",
            "degenerate"]  # fmt: skip
FILTERS = ["content_filter", "CONTENT_FILTER", "contentFilter", "content-filter", "SAFETY",
           "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "sensitive",
           "refusal", "guardrail_intervened", "content_filtered", "MODEL_ARMOR", "moderation",
           "blocked", "policy_violation", "hate", "PII", "COPYRIGHT", "censored",
           "abuse"]  # fmt: skip


@pytest.mark.parametrize("reason", STOPS)
def test_a_reason_that_means_stop_is_stop(reason: str) -> None:
    parsed = parse([events(said("Nine."), ended(reason))])
    assert (parsed.text, parsed.finish_reason, parsed.error) == ("Nine.", "stop", None)


@pytest.mark.parametrize("reason", LENGTHS)
def test_a_reason_that_means_length_is_length(reason: str) -> None:
    parsed = parse([events(said("We open at"), ended(reason))])
    assert (parsed.text, parsed.finish_reason) == ("We open at", "length")


@pytest.mark.parametrize("reason", TOOL_CALLS)
def test_a_reason_that_means_tool_calls_is_tool_calls(reason: str) -> None:
    parsed = parse([events(calls(WHOLE_CALL), ended(reason))])
    assert (parsed.calls, parsed.finish_reason) == ((CALL,), "tool_calls")


@pytest.mark.parametrize("reason", NONE)
@pytest.mark.parametrize("done", [True, False])
def test_a_word_for_no_reason_is_none(reason: str, *, done: bool) -> None:
    parsed = parse([events(said("Nine", reason), said(" sharp", reason), done=done)])
    assert parsed.text == "Nine sharp"
    assert (parsed.finish_reason == "stop") is done
    assert bool(parsed.error) is not done


@pytest.mark.parametrize("reason", FAILURES)
@pytest.mark.parametrize("done", [True, False])
def test_a_reason_that_means_a_failure_is_one(reason: str, *, done: bool) -> None:
    parsed = parse([events(said("We open"), said(" at"), ended(reason), done=done)])
    assert parsed.text == "We open at"
    assert CONSEQUENCES[broken(parsed)].next == "any"
    with_words = parse([events(said("We open"), said(" at", reason), done=done)])
    assert CONSEQUENCES[broken(with_words)].next == "any"
    assert isinstance(parse([events(ended(reason))]).error, StatusError)


@pytest.mark.parametrize("reason", FILTERS)
def test_a_reason_that_means_a_filter_is_refused_content(reason: str) -> None:
    parsed = parse([events(said("We open"), said(" at"), ended(reason))])
    assert broken(parsed) is FailureClass.REFUSED_CONTENT
    assert broken(parse([events(ended(reason))])) is FailureClass.REFUSED_CONTENT


def test_a_context_that_ran_out_is_a_request_too_long() -> None:
    for reason in ("model_context_window_exceeded", "context_length_exceeded"):
        parsed = parse([events(said("We open"), said(" at"), ended(reason))])
        assert broken(parsed) is FailureClass.TOO_LONG


def test_a_reason_that_is_no_label_is_not_repeated() -> None:
    parsed = parse([events(said("Hi"), ended("error: my card number is four two"))])
    assert parsed.error
    assert "card" not in f"{parsed.error!r}{parsed.error}"


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ({"type": "stop", "matched": 128009}, "stop"),
        ({"type": "length", "length": 20}, "length"),
        (True, "stop"),
        ({}, None),
        ([], None),
        (False, None),
        (0, None),
    ],
)
def test_a_reason_that_is_no_text_is_read_all_the_same(reason: Any, kind: str | None) -> None:
    parsed = parse([events(said("Nine."), ended(reason), done=False)])
    assert parsed.finish_reason == kind


@given(st.text(max_size=300))
def test_no_reason_is_more_than_a_known_kind(reason: str) -> None:
    kinds = {"", "stop", "length", "tool_calls", "content_filter", "failed"}
    assert kind_of(reason[:100]) in kinds
    parsed = parse([events(said("Nine."), ended(reason))])
    assert parsed.text == "Nine."
    assert parsed.error or parsed.finish_reason in kinds


@pytest.mark.parametrize(
    "choice",
    [
        ended("error", error=BAD_GATEWAY),
        ended(None, error=BAD_GATEWAY),
        said("", error=BAD_GATEWAY),
        ended(None, error="Upstream provider error"),
        ended(None, native_finish_reason="MALFORMED_FUNCTION_CALL"),
        ended("stop", native_finish_reason="MALFORMED_FUNCTION_CALL"),
        ended("stop", native_finish_reason="abort"),
        said(" the", "stop", native_finish_reason="OTHER"),
        ended(None, finishReason="error"),
        {"choices": [{"index": 0, "delta": {"finish_reason": "network_error"}}]},
        {"choices": [], "x_groq": {"error": "over capacity"}},
        {"error": BAD_GATEWAY, "choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]},
        {"error": {"message": "timeout", "type": "timeout"}},
        {"error": "timeout"},
        {"type": "error", "message": "upstream"},
        {"detail": "Internal server error"},
        {"message": "Internal server error", "code": 500},
        {"success": False, "message": "Internal server error"},
        {"object": "error", "message": "bad"},
        {"choices": None, "error": "EngineCore encountered an issue"},
        {"choices": None, "base_resp": {"status_code": 1002, "status_msg": "rate limit"}},
        {"base_resp": {"status_code": 1027, "status_msg": "output new_sensitive"}},
    ],
)
def test_an_error_in_the_middle_is_one_wherever_it_stands(choice: dict[str, Any]) -> None:
    parsed = parse([events(said("We open"), said(" at nine in"), choice)])
    assert parsed.text.startswith("We open at nine in")
    assert isinstance(parsed.error, StatusError)


@pytest.mark.parametrize("error", [None, "", {}, {"code": 0, "message": ""}, {"code": None}])
def test_an_error_that_says_nothing_is_none(error: Any) -> None:
    fine = {"error": error, "base_resp": {"status_code": 0, "status_msg": ""}}
    parsed = parse([events({**said("Nine"), **fine}, {**ended("stop"), **fine}, fine)])
    assert (parsed.text, parsed.finish_reason, parsed.error) == ("Nine", "stop", None)


@pytest.mark.parametrize("native", ["stop", "STOP", "end_turn", "completed", "eos", None, ""])
def test_a_vendors_own_reason_that_is_no_failure_changes_nothing(native: str | None) -> None:
    parsed = parse([events(said("Nine"), ended("stop", native_finish_reason=native))])
    assert (parsed.text, parsed.finish_reason) == ("Nine", "stop")
    cut = parse([events(said("Nine"), ended("length", native_finish_reason="incomplete"))])
    assert cut.finish_reason == "length"


# --- The announced end, without a reason


@pytest.mark.parametrize(
    "stream",
    [
        events(said("Nine", ""), said(" sharp", "")),
        events(said("Nine"), said(" sharp")),
        events(said("Nine"), said(" sharp"), {"choices": [], "usage": {"prompt_tokens": 1}}),
        events({"choices": [{"delta": {"content": "Nine sharp"}}]}),
        events(said("Nine"), said(" sharp"), ended("null")),
        events(said("Nine"), said(" sharp"), "[DONE]"),
        events(said("Nine"), said(" sharp")) + b"data: more\n\n",
        events(said("Nine"), said(" sharp"), done=False) + b"event: done\ndata: {}\n\n",
        events({"code": 200, "data": said("Nine")}, {"code": 200, "data": said(" sharp")}),
        events({"choices": [{"text": "Nine"}]}, {"choices": [{"text": " sharp"}]}),
    ],
)
def test_words_and_the_announced_end_are_a_whole_answer(stream: bytes) -> None:
    parsed = parse([stream])
    assert (parsed.text, parsed.finish_reason, parsed.error) == ("Nine sharp", "stop", None)


@pytest.mark.parametrize(
    "stream",
    [
        events(said("Nine"), said(" sharp"), done=False),
        events(said("Nine."), done=False),
        events(said(""), ended(None)),
        events(),
        b"",
        events(calls({**WHOLE_CALL, "function": {"name": "f", "arguments": '{"a'}})),
        events(calls(WHOLE_CALL), done=False),
        b": ping\n\n",
    ],
)
def test_without_a_sign_of_the_end_or_without_words_an_answer_is_broken(stream: bytes) -> None:
    assert broken(parse([stream])) is FailureClass.BROKEN_STREAM


def test_a_whole_call_and_the_announced_end_are_a_whole_answer() -> None:
    parsed = parse([events(calls(WHOLE_CALL))])
    assert (parsed.calls, parsed.finish_reason) == ((CALL,), "tool_calls")


@pytest.mark.parametrize("finish", ["stop", "", None])
def test_a_plain_reply_is_whole_when_its_json_is(finish: str | None) -> None:
    body = '{"choices": [{"message": {"content": "Nine."}, "finish_reason": %s}]}'
    data = (body % ("null" if finish is None else f'"{finish}"')).encode()
    parsed = parse([data[:20], data[20:]])
    assert (parsed.text, parsed.finish_reason) == ("Nine.", "stop")
    assert broken(parse([data[:-2]])) is FailureClass.BROKEN_STREAM


# --- A reason in every chunk


def test_a_reason_in_every_chunk_is_no_end() -> None:
    parsed = parse([events(said("We open,", "stop"), said(" we close", "stop"), ended("stop"))])
    assert (parsed.text, parsed.finish_reason) == ("We open, we close", "stop")


@pytest.mark.parametrize("reason", ["unknown", "error", "length"])
def test_the_last_of_many_reasons_counts(reason: str) -> None:
    parsed = parse([events(said("Nine", reason), said(" sharp", reason), ended("stop"))])
    assert (parsed.text, parsed.finish_reason) == ("Nine sharp", "stop")


def test_a_stop_after_a_failure_heals_nothing() -> None:
    parsed = parse([events(said("We open at"), ended("error"), ended("stop"))])
    assert broken(parsed) is FailureClass.BROKEN_STREAM


def test_a_reason_before_the_words_is_no_end_of_them() -> None:
    first = {"choices": [{"delta": {"role": "assistant"}, "finish_reason": "stop"}]}
    assert parse([events(first, said("Nine"))]).text == "Nine"
    assert broken(parse([events(first, said("We open"), done=False)])) is (
        FailureClass.BROKEN_STREAM
    )


def waits(*chunks: dict[str, Any]) -> float | None:
    parser = parser_of("openai_compatible")
    list(parser.feed(events(*chunks, done=False)))
    return parser.patience


def test_more_is_waited_for_where_a_reason_may_be_in_every_chunk() -> None:
    thought = {"choices": [{"delta": {"reasoning_content": "hm"}, "finish_reason": "stop"}]}
    assert waits(said("We")) is None
    long = waits(said("We open,", "stop"))
    assert long == waits(said("We open,", "stop"), said(" we close", "stop")) == waits(thought)
    short = waits(said("We"), said(" open.", "stop"))
    assert short == waits(said("We"), ended("stop"))
    assert long is not None
    assert short is not None
    assert short < RouterOptions().clause_stall < long
    assert waits(ended("stop"), said("We")) is None
    soon = waits(said("We"), ended("error"))
    assert soon is not None
    assert soon < short


def test_the_wait_after_the_announced_end_is_the_shortest() -> None:
    ending = Ending()
    ending.is_done = True
    assert ending.patience(1) == pytest.approx(0.05)


# --- After a whole answer

AFTERMATH = {
    "an error event": events({"error": {"message": "no usage", "code": 500}}),
    "a named error event": b'event: error\ndata: {"message": "x"}\n\n',
    "not JSON": b"data: {oops\n\n",
    "half an event": b'data: {"choices": [{"del',
    "a web page": b"<html>proxy</html>\n\n",
    "bytes": b"\xff\xfe\x00 rubbish\n\n",
    "an array": events("[1, 2]"),
    "a bare error": b'{"error": "timeout"}\n\n',
    "an error in a choice": events(ended(None, error=BAD_GATEWAY)),
    "an endless line": b"data: " + b"x" * (1 << 20),
}


@pytest.mark.parametrize("after", AFTERMATH.values(), ids=AFTERMATH)
@pytest.mark.parametrize(
    "whole",
    [
        events(said("Nine o'clock"), said(" sharp"), ended("stop"), done=False),
        events(said("Nine o'clock"), said(" sharp", "stop"), done=False),
        events(said("Nine o'clock sharp", "stop"), done=False),
        events(said("Nine o'clock sharp"), ended("stop")),
        events(said("Nine o'clock sharp")),
    ],
    ids=["reason", "reason with the last words", "one chunk", "both signs", "announced only"],
)
def test_what_comes_after_a_whole_answer_does_not_harm_it(whole: bytes, after: bytes) -> None:
    parsed = parse([whole, after])
    assert (parsed.text, parsed.finish_reason) == ("Nine o'clock sharp", "stop")
    assert parse([whole + after]) == parsed


@pytest.mark.parametrize("after", AFTERMATH.values(), ids=AFTERMATH)
def test_the_same_before_the_end_breaks_the_answer(after: bytes) -> None:
    assert parse([events(said("We open at"), done=False), after]).error


@pytest.mark.parametrize(
    "stream",
    [
        events(said("Nine"), ended("stop"), done=False),
        events(said("Nine", "stop"), done=False),
        events(said("Nine")),
        events(said("We open at nine,", "stop"), said(" daily.", "stop"), done=False),
        events(calls(WHOLE_CALL), ended("tool_calls"), done=False),
    ],
)
def test_a_reset_after_a_whole_answer_does_not_harm_it(stream: bytes) -> None:
    assert parse([stream], broken=RESET).error is None


@pytest.mark.parametrize(
    "stream",
    [
        events(said("We open"), done=False),
        events(said("We open at nine,", "stop"), said(" and", "stop"), done=False),
        events(ended("stop"), done=False),
        events(ended("stop"), said("We open"), done=False),
        events(said("We open"), ended("error"), done=False),
    ],
)
def test_a_reset_before_the_end_breaks_the_answer(stream: bytes) -> None:
    assert parse([stream], broken=RESET).error


async def test_a_whole_answer_survives_a_reset_of_the_connection(wire: str) -> None:
    ends = {
        "openai_compatible": events(said("Hello"), ended("stop"), done=False),
        "ollama": json_lines(line("Hello"), line("", "stop")),
    }
    script = Script(raw=[ends[wire]], fault=Fault.RESET_AFTER)
    chunks = await reply_to(script, provider=wire)
    assert (text(chunks), chunks[-1].finish_reason) == ("Hello", "stop")


# --- A summary of the whole text

ANSWER = "We open at nine in the morning."
FIRST, SECOND = "We open at nine", " in the morning."


def message(content: str, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    whole = {"role": "assistant", "content": content}
    return {"choices": [{"index": 0, "message": whole, "finish_reason": finish, **fields}]}


@pytest.mark.parametrize(
    "summary",
    [
        [message(ANSWER, "stop")],
        [message(ANSWER, "stop", delta={})],
        [message(ANSWER, "stop", delta={"role": "assistant", "content": ""})],
        [ended("stop"), message(ANSWER)],
        [message(f"\n{ANSWER}\n", "stop")],
        [said(ANSWER, "stop")],
        [said(ANSWER), ended("stop")],
        [said(f"{ANSWER}\n", "stop")],
        [ended("stop"), said(ANSWER)],
        [message("We open at 9 a.m.", "stop")],
        [said("", "stop", message={"content": ANSWER, "tool_calls": []})],
    ],
)
def test_a_summary_of_the_whole_text_is_not_said_again(summary: list[dict[str, Any]]) -> None:
    parsed = parse([events(said(FIRST), said(SECOND), *summary)])
    assert (parsed.text, parsed.finish_reason) == (ANSWER, "stop")


def test_a_short_summary_after_the_reason_is_not_said_again() -> None:
    pieces = [said("Nine"), said(" sharp"), ended("stop")]
    assert parse([events(*pieces, said("Nine sharp"))]).text == "Nine sharp"
    assert parse([events(*pieces[:2], said("Nine sharp", "stop"))]).text == "Nine sharp"


def test_the_text_so_far_beside_each_piece_is_not_said() -> None:
    first = said(FIRST, message={"role": "assistant", "content": FIRST})
    second = said(SECOND, message={"role": "assistant", "content": ANSWER})
    last = said("", "stop", message={"role": "assistant", "content": ANSWER})
    assert parse([events(first, second, last)]).text == ANSWER


def test_a_summary_adds_what_the_pieces_have_not_said() -> None:
    assert parse([events(said(FIRST), message(ANSWER, "stop"))]).text == ANSWER


def test_messages_alone_are_pieces_or_the_text_so_far() -> None:
    assert parse([events(message(FIRST), message(SECOND, "stop"))]).text == ANSWER
    assert parse([events(message(FIRST), message(ANSWER, "stop"))]).text == ANSWER


def test_a_summary_without_the_reasoning_is_not_said_again() -> None:
    thought = said("<think>Let me see.</think>")
    parsed = parse([events(thought, said(FIRST), said(SECOND), said(ANSWER, "stop"))])
    assert (parsed.text, parsed.reasoning) == (ANSWER, "Let me see.")


def test_calls_and_reasoning_of_a_summary_come_once() -> None:
    thought = {"choices": [{"delta": {"reasoning_content": "hm"}, "finish_reason": None}]}
    whole = {"content": None, "reasoning_content": "hm", "tool_calls": [WHOLE_CALL]}
    last = {"choices": [{"message": whole, "finish_reason": "tool_calls"}]}
    parsed = parse([events(thought, calls(WHOLE_CALL), last)])
    assert (parsed.reasoning, [call.id for call in parsed.calls]) == ("hm", ["c1"])
    assert [call.id for call in parse([events(last)]).calls] == ["c1"]


@pytest.mark.parametrize(
    "pieces",
    [
        ["We open", "We open at nine", ANSWER],
        ["W", "We", "We o", "We open", ANSWER],
        ["We open at nine ", "We open at nine in the ", ANSWER],
        ["I", "I'm", "I'm here."],
        ["wir haben", "wir haben auf"],
        ["我们九点", "我们九点开门。"],
    ],
)
def test_pieces_that_hold_the_whole_text_so_far_are_said_once(pieces: list[str]) -> None:
    *before, whole = pieces
    stream = [said(piece) for piece in before]
    assert parse([events(*stream, said(whole), ended("stop"))]).text == whole
    assert parse([events(*map(message, before), message(whole, "stop"))]).text == whole
    assert parse([json_lines(*map(line, pieces), line("", "stop"))], "ollama").text == whole


@pytest.mark.parametrize(
    "words",
    [
        ["Ha", "Ha", "!"],
        ["哈", "哈哈"],
        ["A", "AA batteries"],
        ["no", "no no"],
        ["ha", "ha"],
        ["No", " no", " no"],
        ["5", "5", "55"],
        ["Ja", ", ", "ja"],
        ["----------------", "----------------"],
        ["We", " open", " at", " nine"],
        ["Bye", "-bye", "Bye", "-bye"],
    ],
)
def test_words_that_a_model_repeats_are_said(words: list[str]) -> None:
    *pieces, last = words
    stream = events(*(said(piece) for piece in pieces), said(last, "stop"))
    assert parse([stream]).text == "".join(words)


# --- Ollama's own wire


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([line("Nine"), line("", "stop")], "stop"),
        ([line("Nine"), line("", "length")], "length"),
        ([line("Nine"), {"done": True}], "stop"),
        ([line("Nine"), line("", "")], "stop"),
        ([line("Nine"), {**line(""), "done_reason": "stop"}], "stop"),
        ([line("Nine"), {**line("", "stop"), "response": ""}, "{oops"], "stop"),
        ([line("Nine"), line("", "stop"), {"error": "unload failed"}], "stop"),
        ([{"response": "Nine"}, {"response": "", "done": True}], "stop"),
        ([line("Ni"), line("ne"), line("Nine", "stop")], "stop"),
    ],
)
def test_ollamas_reply_is_whole(lines: list[Any], reason: str) -> None:
    parsed = parse([json_lines(*lines)], "ollama")
    assert (parsed.text, parsed.finish_reason, parsed.error) == ("Nine", reason, None)


@pytest.mark.parametrize(
    "lines",
    [
        [line("We open")],
        [line("", "")],
        [line("We open"), {"error": "unexpected EOF"}],
        [line("We open"), "{oops"],
        [line("We open"), line("", "error")],
        [line("We open"), line("", "abort")],
        [],
    ],
)
def test_ollamas_reply_is_broken(lines: list[Any]) -> None:
    assert parse([json_lines(*lines)], "ollama").error


def test_ollamas_filter_is_refused_content() -> None:
    parsed = parse([json_lines(line("We"), line("", "content_filter"))], "ollama")
    assert broken(parsed) is FailureClass.REFUSED_CONTENT
