"""A reply whose first words another process has voiced: the router goes on after them."""

import pytest

from llm_router.errors import StatusError
from llm_router.testing import fail, say
from tests.scenarios.stage import Stage
from tests.scenarios.test_last_words import APOLOGY

VOICED = "We open at nine in the"
REST = " morning, and we close at six."


@pytest.mark.parametrize("answer", [VOICED + REST, REST, "in the" + REST])
def test_only_the_rest_is_given_out(answer: str) -> None:
    stage = Stage([say(answer)])
    [received] = stage.ask(voiced=VOICED)
    assert received.text == REST
    [reply] = stage.replies
    assert reply.characters == len(REST)
    assert (reply.resumes, reply.last_resort) == (0, False)


def test_each_endpoint_is_asked_to_continue_the_words() -> None:
    stage = Stage([fail(StatusError(503))], [say(REST)])
    [received] = stage.ask(voiced=VOICED)
    assert received.text == REST
    requests = [request for provider in stage.providers for request in provider.requests]
    assert [request.messages[-2]["content"] for request in requests] == [VOICED] * 2


def test_whole_sentences_to_which_nothing_is_added_end_quietly() -> None:
    [received] = Stage([say("We close at six.")]).ask(voiced="We close at six.")
    assert received.text == ""
    assert received.chunks[-1].finish_reason == "stop"


def test_words_that_no_endpoint_can_continue_end_in_an_apology() -> None:
    [received] = Stage([fail(StatusError(503))]).ask(voiced=VOICED)
    assert received.text == f"… {APOLOGY}"
