"""One server, and two of which neither is well: the same one is asked again for the same reply."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from llm_router.errors import BrokenStreamError, StatusError
from llm_router.routing.policies.latency import LatencyPolicy
from llm_router.testing import HANG, Step, fail, say
from llm_router.types import Chunk, ToolCall
from tests.scenarios import acts
from tests.scenarios.stage import Stage

ANSWER = (
    "We open at nine in the morning, Monday to Friday, and we close at six, but on Saturday there "
    "is nobody here, and on Sunday you may come from ten until four."
)
GOOD = say(ANSWER, first=0.15)
HEAD = " ".join(ANSWER.split()[:10])
DRIP = [
    Step(0.15, Chunk(text="We")),
    *(Step(1.0, Chunk(text=f" {word}")) for word in ANSWER.split()[1:]),
    Step(0.0, Chunk(finish_reason="stop")),
]
AT_ONCE = ("refused", "500", "error in a 200", "empty", "length with nothing")
AMID = {
    name: [*say(HEAD, first=0.15, finish=None), *acts.AMID[name]]
    for name in ("breaks", "error event", "ends without a reason", "stalls")
}
SILENT = ("hang", "role only", "reasoning only", "blanks only")
FAULTS = {name: acts.BEFORE[name] for name in (*AT_ONCE, *SILENT)} | AMID | {"drip": DRIP}
WARM, TURNS = 5, 100


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Silences the log of deliberate faults."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_reply_is_whole_although_three_requests_in_ten_fail(fault: str) -> None:
    scripts = [FAULTS[fault] if fails else GOOD for fails in acts.flips(0.3, 4 * TURNS)]
    stage = Stage([GOOD] * WARM + scripts)
    received = stage.ask(turns=WARM + TURNS)[WARM:]
    assert {one.text for one in received} == {ANSWER}
    first_words = sorted(one.first_word_at for one in received)
    assert first_words[94] <= (0.6 if fault in SILENT else 0.45)


def test_a_healthy_server_is_asked_once_for_each_reply() -> None:
    scripts = [say(ANSWER, first=0.3 + 0.03 * (turn * 7 % 11)) for turn in range(TURNS)]
    stage = Stage(scripts)
    stage.ask(turns=TURNS)
    assert len(stage.providers[0].requests) <= TURNS * 1.05


def test_two_servers_that_both_break_off_finish_the_reply_together() -> None:
    def until(place: int) -> Sequence[Step]:
        said = say(" ".join(ANSWER.split()[:place]), finish=None)
        return [*said, Step(0.0, error=BrokenStreamError("reset"))]

    stage = Stage([until(10), GOOD], [until(20), GOOD])
    [received] = stage.ask()
    assert received.text == ANSWER
    assert [event.role for event in stage.events] == ["first", "resume", "resume"]


def test_a_spare_that_is_well_is_asked_before_the_first_again() -> None:
    stage = Stage([fail(StatusError(500))], [fail(StatusError(500)), GOOD])
    [received] = stage.ask()
    assert received.text == ANSWER
    assert [(e.connection, e.role) for e in stage.events] == [
        ("a", "first"), ("b", "failover"), ("a", "retry"), ("b", "retry"),
    ]  # fmt: skip


def test_its_own_open_breaker_does_not_shut_out_the_only_server() -> None:
    stage = Stage([fail(StatusError(500))] * 5 + [GOOD])
    [received] = stage.ask()
    assert received.text == ANSWER
    assert len(stage.providers[0].requests) == 6
    assert stage.replies[0].attempts == 6


def test_the_error_names_the_failure_and_not_a_silence_after_it() -> None:
    stage = Stage([fail(StatusError(500)), [HANG]])
    stage.ask()
    assert dict(stage.replies[0].failures)["a"].kind == "overloaded"


def test_nothing_is_asked_again_after_a_tool_call() -> None:
    (call,) = [step for step in acts.TOOL["tool call, then breaks"] if step.error]
    given = Step(0.1, Chunk(tool_calls=(ToolCall("1", "lookup", "{}"),)))
    stage = Stage([[given, call], GOOD])
    [received] = stage.ask()
    assert received.tool_calls == ["lookup"]
    assert len(stage.providers[0].requests) == 1


def test_a_connection_that_failed_once_after_a_good_turn_is_asked_first_again() -> None:
    stage = Stage([GOOD, fail(StatusError(500)), GOOD], [say(ANSWER, first=0.2)])
    stage.connections = [replace(one, priority=0) for one in stage.connections]
    stage.policy = LatencyPolicy()
    stage.ask(turns=6)
    assert [e.connection for e in stage.events if e.role == "first"] == list("abaaaa")
