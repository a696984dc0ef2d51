"""`timeout` of a connection: the time limit of one request, before its first word and after."""

from dataclasses import replace

import pytest

from llm_router.testing import HANG, Step, say
from llm_router.types import Chunk
from tests.scenarios.stage import Stage

ANSWER = "We open at nine in the morning and close at six."
SLOW = say(ANSWER, first=1.5)


def with_timeout(stage: Stage, seconds: float) -> Stage:
    stage.connections = [replace(one, timeout=seconds) for one in stage.connections]
    return stage


@pytest.mark.parametrize("speech", [True, False])
def test_a_request_without_a_word_by_then_is_ended_and_another_takes_its_place(
    speech: bool,
) -> None:
    stage = with_timeout(Stage([[HANG], say(ANSWER)]), 0.5)
    [received] = stage.ask(speech=speech)
    assert received.text == ANSWER
    assert received.first_word_at == pytest.approx(0.5 + 0.15)
    assert stage.outcomes == [("a", "silent"), ("a", "won")]


def test_a_spare_takes_over_from_a_request_whose_time_is_over() -> None:
    stage = with_timeout(Stage([SLOW], [say(ANSWER, first=0.3)]), 0.7)
    stage.connections = [replace(one, hedge="never") for one in stage.connections]
    [received] = stage.ask()
    assert received.text == ANSWER
    assert received.first_word_at == pytest.approx(0.7 + 0.3)


def test_a_first_word_in_time_is_not_cut_off_by_the_wait_for_it() -> None:
    stage = with_timeout(Stage([SLOW]), 3.0)
    [received] = stage.ask(speech=False)
    assert received.text == ANSWER
    assert {outcome for _, outcome in stage.outcomes} == {"lost", "won"}


def test_a_reply_still_under_way_by_then_is_continued() -> None:
    words = ANSWER.split()
    slow = [Step(0.3, Chunk(text=f"{word} ")) for word in words]
    rest = say(" ".join(words[3:]))
    stage = with_timeout(Stage([slow], [rest]), 1.0)
    [received] = stage.ask(speech=False)
    assert (received.text, stage.replies[0].resumes) == (ANSWER, 1)
