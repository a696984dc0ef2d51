"""Whole replies, fault by fault: the words that the caller gets, their times, and the cost."""

from dataclasses import replace

import pytest

from llm_router.errors import BrokenStreamError, ReplyFailedError, StatusError, UnreachableError
from llm_router.options import PatienceOptions
from llm_router.testing import HANG, Step, fail, say
from llm_router.types import Chunk, ToolCall
from tests.scenarios.stage import Stage

ANSWER = "We open at nine in the morning, and we close at six."
SPARE = say(ANSWER, first=0.2)
ROLE_ONLY = [Step(0.05, Chunk()), HANG]
THINKING = [Step(0.05, Chunk(reasoning="hmm "))] * 2000


def test_a_healthy_primary_answers_alone() -> None:
    s = Stage([say(ANSWER)], [SPARE])
    [received] = s.ask()
    assert received.text == ANSWER
    assert received.first_word_at == pytest.approx(0.15, abs=1e-6)
    assert {chunk.connection for chunk in received.chunks} == {"a"}
    assert s.providers[1].requests == []
    assert s.outcomes == [("a", "won")]


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        (fail(UnreachableError("refused")), "unreachable"),
        (fail(StatusError(500)), "overloaded"),
        (fail(StatusError(503)), "overloaded"),
        (fail(StatusError(429, retry_after=2.0)), "rate limited"),
        (fail(StatusError(401)), "rejected key"),
        (fail(StatusError(402)), "out of credit"),
        (fail(StatusError(404)), "model missing"),
        (fail(StatusError(400, code="context_length_exceeded")), "request too long"),
        (fail(BrokenStreamError("reset")), "broken stream"),
        ([Step(0.0, Chunk(finish_reason="stop"))], "empty"),
        ([Step(0.0, Chunk(finish_reason="length"))], "empty"),
        ([Step(0.0, Chunk(text="  \n")), Step(0.0, Chunk(finish_reason="stop"))], "empty"),
        ([Step(0.0, Chunk(finish_reason="content_filter"))], "refused content"),
        (fail(ZeroDivisionError("our own fault")), "bug"),
    ],
)
def test_any_failure_before_a_word_moves_on_at_once(
    script: list[Step], outcome: str, caplog: pytest.LogCaptureFixture
) -> None:
    s = Stage([script], [SPARE])
    [received] = s.ask()
    assert received.text == ANSWER
    assert received.first_word_at == pytest.approx(0.2, abs=1e-6)
    assert s.outcomes == [("a", outcome), ("b", "won")]
    assert s.replies[0].took_over_from == ("a",)
    assert ("Traceback" in caplog.text) == (outcome == "bug")


@pytest.mark.parametrize("script", [[HANG], ROLE_ONLY, THINKING], ids=["hang", "role", "thinking"])
def test_silence_is_hedged_and_every_sign_of_life_but_words_is_silence(script: list[Step]) -> None:
    s = Stage([script], [SPARE])
    [received] = s.ask()
    assert received.text == ANSWER
    assert received.first_word_at == pytest.approx(0.25 + 0.2, abs=1e-6)


def test_a_bad_request_goes_to_another_kind_of_server_only() -> None:
    s = Stage([fail(StatusError(400))], [SPARE], [SPARE])
    s.connections[0] = replace(s.connections[0], base_url="http://one.test/v1")
    s.connections[1] = replace(s.connections[1], base_url="http://one.test/v1")
    s.connections[2] = replace(s.connections[2], base_url="http://two.test/v1")
    [received] = s.ask()
    assert {chunk.connection for chunk in received.chunks} == {"c"}


NO_TOOLS = StatusError(400, detail="gemma3:4b does not support tools")


@pytest.mark.parametrize(
    "refusal",
    [
        NO_TOOLS,
        StatusError(400, detail="'tool_choice' requires --enable-auto-tool-choice"),
        StatusError(400, detail="Odd value", param="temperature"),
        StatusError(422, detail="Extra inputs are not permitted"),
    ],
)
def test_what_one_model_cannot_do_another_at_the_same_server_is_asked(refusal: StatusError) -> None:
    s = Stage([fail(refusal)], [SPARE])
    for index, model in enumerate(("small", "large")):
        s.connections[index] = replace(
            s.connections[index], base_url="http://one.test/v1", model_name=model
        )
    [received] = s.ask()
    assert {chunk.connection for chunk in received.chunks} == {"b"}


def test_a_server_of_the_same_kind_with_another_setup_is_asked() -> None:
    s = Stage([fail(NO_TOOLS)], [SPARE])
    for index, host in enumerate(("one", "two")):
        s.connections[index] = replace(
            s.connections[index], base_url=f"http://{host}.test/v1", server="vllm", model_name="m"
        )
    [received] = s.ask()
    assert {chunk.connection for chunk in received.chunks} == {"b"}


def test_a_late_primary_that_speaks_first_after_all_wins() -> None:
    s = Stage([say(ANSWER, first=0.3)], [SPARE])
    [received] = s.ask()
    assert received.first_word_at == pytest.approx(0.3, abs=1e-6)
    assert s.outcomes == [("b", "lost"), ("a", "won")]


def test_two_hung_servers_cost_two_deadlines() -> None:
    s = Stage([[HANG]], [[HANG]], [SPARE])
    [received] = s.ask()
    assert received.first_word_at == pytest.approx(0.25 + 0.25 + 0.2, abs=1e-6)
    assert len(s.events) == 3


def test_after_some_hung_turns_the_hung_server_is_not_waited_for() -> None:
    s = Stage([say(ANSWER)] * 10 + [[HANG]], [SPARE])
    received = s.ask(turns=20)
    hung = [turn.first_word_at for turn in received[10:]]
    assert max(hung[:3]) <= 0.45
    assert max(hung[3:]) <= 0.25
    assert all(turn.text == ANSWER for turn in received)


def test_a_rested_server_comes_back_by_a_trial_that_no_caller_waits_for() -> None:
    s = Stage([[HANG]] * 3 + [say(ANSWER)], [SPARE])
    received = s.ask(turns=12)
    assert {chunk.connection for chunk in received[-1].chunks} == {"a"}
    assert max(turn.first_word_at for turn in received[3:]) <= 0.25
    assert "trial" in {event.role for event in s.events}


def test_when_every_endpoint_is_broken_a_phrase_is_said_and_the_log_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    s = Stage([fail(StatusError(500))], [[HANG]])
    [received] = s.ask()
    assert "sorry" in received.text
    assert received.chunks[-1].finish_reason == "stop"
    assert received.first_word_at <= s.options.first_word_deadline + 1e-6
    assert dict(s.replies[0].failures)["b"].kind == "silent"
    assert s.replies[0].last_resort
    assert not s.replies[0].failed


def test_a_reader_of_text_gets_an_error_that_says_why_each_connection_failed() -> None:
    s = Stage([fail(StatusError(401))], [fail(UnreachableError("refused"))])
    with pytest.raises(ReplyFailedError, match=r"a: rejected key .*; b: unreachable"):
        s.ask(speech=False)
    assert s.replies[0].failed


def test_a_last_resort_waits_until_no_other_endpoint_can_answer_in_time() -> None:
    s = Stage([say(ANSWER, first=3.0)], [say("No model is connected.", first=0.0)])
    s.providers[1].last_resort = True
    [received] = s.ask()
    assert received.text == ANSWER
    s = Stage([[HANG]], [say("No model is connected.", first=0.0)])
    s.providers[1].last_resort = True
    [received] = s.ask()
    assert received.text == "No model is connected."
    assert received.first_word_at == pytest.approx(4.0, abs=1e-6)
    assert s.replies[0].last_resort


def test_an_endpoint_with_hedge_never_is_asked_only_after_a_failure() -> None:
    s = Stage([say(ANSWER, first=0.6)], [say(ANSWER, first=0.0)])
    s.connections[1] = replace(s.connections[1], hedge="never")
    [received] = s.ask()
    assert {chunk.connection for chunk in received.chunks} == {"a"}
    assert s.providers[1].requests == []


def test_half_a_reply_is_finished_by_the_spare_without_a_repeat() -> None:
    head = "We open at nine in the"
    rest = " morning, and we close at six."
    s = Stage([[*say(head, finish=None), Step(0.0, error=BrokenStreamError("reset"))]], [say(rest)])
    s.providers[1].continuation = "flags"
    [received] = s.ask()
    assert received.text == ANSWER
    assert s.providers[1].requests[0].prefix == head
    assert s.replies[0].resumes == 1
    assert s.replies[0].took_over_from == ("a",)


def test_a_spare_that_starts_over_does_not_repeat_what_was_said() -> None:
    head = "We open at nine in the"
    s = Stage([[*say(head, finish=None), Step(0.0, error=BrokenStreamError("reset"))]], [SPARE])
    [received] = s.ask()
    assert received.text == ANSWER
    assert "cut off" in str(s.providers[1].requests[0].messages[-1])


def test_a_stall_is_noticed_before_the_voice_runs_out_of_words() -> None:
    head = "We open at nine in the morning, Monday to Friday, and"
    s = Stage([[*say(head, finish=None), HANG]], [say(" we close at six.")])
    [received] = s.ask()
    assert received.text == f"{head} we close at six."
    said = len(head) / 15 + received.at[3]
    assert received.at[-1] < said


def test_a_clause_whose_words_came_too_slowly_is_the_last_of_its_stream() -> None:
    drip = [Step(0.2, Chunk(text="Yes. ")), *[Step(0.6, Chunk(text=w)) for w in ("we ", "do,")]]
    s = Stage([[*drip, HANG]], [say(" until six.", first=0.1)])
    s.providers[1].continuation = "flags"
    s.options = replace(s.options, spoken_stall=0.8)
    [received] = s.ask()
    assert received.text == "Yes. we do, until six."
    assert received.at[3] == pytest.approx(received.at[2] + 0.12), "the spare was asked at once"


def test_a_drip_is_taken_over_before_the_first_clause_is_due() -> None:
    drip = [Step(0.1, Chunk(text="We ")), *[Step(1.0, Chunk(text="w "))] * 60]
    s = Stage([drip], [say("open at nine.")])
    [received] = s.ask()
    assert received.text.endswith("open at nine.")
    assert s.outcomes[0] == ("a", "dripping")
    assert received.at[1] == pytest.approx(0.1 + s.options.clause_stall + 0.15)


def test_a_sentence_that_no_endpoint_can_finish_is_closed_whole() -> None:
    broken = [*say("We open at", finish=None), Step(0.0, error=BrokenStreamError("reset"))]
    s = Stage([broken], [fail(StatusError(503))])
    [received] = s.ask()
    assert (
        received.text == "We open at… Sorry, I lost my thread there. Could you ask me that again?"
    )
    assert received.chunks[-1].finish_reason == "stop"


def test_resumes_are_limited() -> None:
    broken = [*say("so and so", finish=None), Step(0.0, error=BrokenStreamError("reset"))]
    s = Stage(*[[broken]] * 5)
    [received] = s.ask()
    assert s.replies[0].resumes == s.options.max_resumes
    assert received.text.endswith("again?")


CALL = Chunk(tool_calls=(ToolCall("1", "get_time", "{}"),))


def test_a_tool_call_is_given_once_and_nothing_is_replayed_after_it() -> None:
    s = Stage([[Step(0.1, CALL), Step(0.1, error=BrokenStreamError("reset"))]], [SPARE])
    [received] = s.ask()
    assert received.tool_calls == ["get_time"]
    assert received.text == ""
    assert s.providers[1].requests == []
    assert received.chunks[-1].finish_reason == "tool_calls"


def test_a_stream_that_dies_inside_a_tool_call_is_failed_over() -> None:
    finish = Step(0.0, Chunk(finish_reason="tool_calls"))
    s = Stage([fail(BrokenStreamError("half a call"), after=0.1)], [[Step(0.2, CALL), finish]])
    [received] = s.ask()
    assert received.tool_calls == ["get_time"]


def test_a_barge_in_closes_the_stream_and_counts_against_no_endpoint() -> None:
    s = Stage([say(ANSWER)], [SPARE])
    s.ask(stop_when=lambda received: len(received.chunks) == 3)
    assert s.outcomes == [("a", "cancelled")]
    assert s.replies[0].cancelled
    assert "closed, 0 failed" in s.router


def test_the_breaker_never_opens_for_a_callers_own_fault() -> None:
    s = Stage([fail(StatusError(400))], [SPARE])
    s.connections[0] = replace(s.connections[0], base_url="http://one.test/v1")
    s.ask(turns=10)
    assert len(s.providers[0].requests) == 10


def test_hedges_stay_within_their_budget() -> None:
    # Every other turn is late enough for a hedge, and never for a failover.
    s = Stage([say(ANSWER, first=0.1), say(ANSWER, first=0.4)] * 50, [say(ANSWER, first=0.9)])
    unhurried = PatienceOptions(hedge_quantile=0.5, stretch=10.0, cold_hedge=0.2)
    s.options = replace(s.options, patience=unhurried)
    s.ask(turns=100)
    hedges = [event for event in s.events if event.role == "hedge"]
    assert 3 < len(hedges) <= 3 + 0.05 * 100, "three in hand, and what was earned since"
