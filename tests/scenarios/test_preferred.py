"""Requests for the words of one connection: it is asked first and alone, and others take over."""

from typing import Any

from llm_router.errors import StatusError
from llm_router.testing import HANG, Step, say
from tests.scenarios.stage import Stage

TEXT: dict[str, Any] = {"speech": False, "preferred": "b"}
FAST = say("From a.", first=0.1)
SLOW = say("From b.", first=9.0)
DOWN = [Step(0.02, error=StatusError(500, detail="no"))]


def test_the_preferred_connection_is_waited_for_though_another_is_faster() -> None:
    stage = Stage([FAST], [SLOW])
    [one] = stage.ask(**TEXT)
    assert one.text == "From b."
    assert stage.outcomes == [("b", "won")]
    assert stage.ask(speech=False)[0].text == "From a."


def test_another_takes_over_at_once_when_it_fails() -> None:
    stage = Stage([FAST], [DOWN])
    [one] = stage.ask(**TEXT)
    assert (one.text, one.first_word_at < 0.2) == ("From a.", True)
    assert stage.replies[0].took_over_from == ("b",)


def test_another_takes_over_when_it_is_silent_for_too_long() -> None:
    stage = Stage([FAST], [[HANG]])
    [one] = stage.ask(**TEXT)
    assert one.text == "From a."
    wait = stage.options.patience.preferred
    assert wait < one.first_word_at < wait + 0.2


def test_it_is_asked_again_when_it_has_rested() -> None:
    stage = Stage([FAST], [DOWN, DOWN, DOWN, say("From b.", first=0.1)])
    answers = [one.text for one in stage.ask(turns=5, pause=1.5, **TEXT)]
    assert answers[:3] == ["From a."] * 3
    assert answers[-1] == "From b."
