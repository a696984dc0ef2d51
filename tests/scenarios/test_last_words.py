"""The end of a reply that no endpoint can finish: an apology, or nothing where none is owed."""

from collections.abc import Sequence

import pytest

from llm_router.errors import BrokenStreamError, StatusError
from llm_router.options import RouterOptions
from llm_router.testing import HANG, Step, fail, say
from llm_router.types import Chunk
from tests.scenarios.stage import Stage

BREAKS = Step(0.0, error=BrokenStreamError("reset"))
DOWN = fail(StatusError(503))
WHOLE = "We open at nine. We close at six."
HALF = "We open at nine. We close at"
APOLOGY = "Sorry, I lost my thread there. Could you ask me that again?"
CALLING = Step(0.02, Chunk(calling=True))
FRUITLESS = {
    "down": DOWN,
    "breaks at once": [BREAKS],
    "only repeats": [*say(WHOLE, finish=None), BREAKS],
    "hangs": [HANG],
    "reasons": [*[Step(0.2, Chunk(reasoning="hm"))] * 9, BREAKS],
}


def said(text: str, *more: Step) -> list[Step]:
    return [*say(text, finish=None), *(more or [BREAKS])]


def ask(*scripts: Sequence[Sequence[Step]], **options: float) -> Stage:
    stage = Stage(*scripts)
    stage.options = RouterOptions(**options)  # type: ignore[arg-type]  # fields by name
    return stage


@pytest.mark.parametrize("speech", [True, False])
@pytest.mark.parametrize("then", FRUITLESS)
def test_whole_sentences_to_which_nothing_can_be_added_end_quietly(then: str, speech: bool) -> None:
    stage = ask([said(WHOLE), FRUITLESS[then]], [FRUITLESS[then]])
    [received] = stage.ask(speech=speech)
    assert received.text == WHOLE
    assert (received.chunks[-1].finish_reason, received.chunks[-1].connection) == ("stop", "a")
    [reply] = stage.replies
    assert (reply.connection, reply.last_resort, reply.cancelled) == ("a", False, False)
    assert reply.characters == len(WHOLE)


@pytest.mark.parametrize("speech", [True, False])
@pytest.mark.parametrize("then", ["down", "breaks at once", "hangs", "reasons"])
def test_half_a_sentence_ends_in_an_apology(then: str, speech: bool) -> None:
    stage = ask([said(HALF), FRUITLESS[then]], [FRUITLESS[then]])
    [received] = stage.ask(speech=speech)
    assert received.text == f"{HALF}… {APOLOGY}"
    assert stage.replies[0].last_resort


@pytest.mark.parametrize("text", ["我们九点开门。", 'He said: "We open at nine."', "Nine?", "Now!"])
def test_sentences_end_in_many_ways(text: str) -> None:
    [received] = ask([said(text), DOWN]).ask()
    assert received.text == text


def test_a_continuation_that_had_more_to_say_each_time_is_owed_an_apology() -> None:
    stage = ask([said("We open at nine."), said("We close at six."), DOWN])
    [received] = stage.ask()
    assert received.text == f"{WHOLE} {APOLOGY}"


@pytest.mark.parametrize("then", [BREAKS, HANG], ids=["breaks", "stalls"])
def test_a_caller_does_not_wait_for_a_tool_call_that_was_lost(then: Step) -> None:
    stage = ask([said("Let me check.", CALLING, then), DOWN])
    [received] = stage.ask()
    assert received.text == f"Let me check. {APOLOGY}"


def test_a_tool_call_that_only_a_continuation_had_begun_is_owed_an_apology_too() -> None:
    stage = ask([said("Let me check."), [CALLING, BREAKS], DOWN])
    [received] = stage.ask()
    assert received.text == f"Let me check. {APOLOGY}"


def test_a_reply_whose_own_time_is_over_is_owed_an_apology() -> None:
    talk = [Step(0.1, Chunk(text="So it is. "))] * 100
    [received] = ask([talk], total=3.05).ask()
    assert received.text.endswith(f"So it is. {APOLOGY}")


def test_where_no_endpoint_may_go_on_whole_sentences_end_quietly() -> None:
    [received] = ask([said(WHOLE)], max_resumes=0).ask()
    assert received.text == WHOLE
