"""`max_retries` of a connection: how many more times it is asked for one reply, by any way."""

from dataclasses import replace

import pytest

from llm_router.errors import BrokenStreamError, StatusError
from llm_router.testing import HANG, Step, fail, say
from llm_router.types import Chunk
from tests.scenarios.stage import Stage

ANSWER = "We open at nine in the morning and close at six."
GOOD = say(ANSWER)
DOWN = fail(StatusError(503))
BROKEN = [*say("We open at", finish=None), Step(0.0, error=BrokenStreamError("reset"))]
SORRY = "I'm sorry, I can't get to the answer right now. Could you say that again?"
CLOSED = "We open at… Sorry, I lost my thread there. Could you ask me that again?"


def limited(stage: Stage, *retries: int | None) -> Stage:
    """Sets `max_retries` of each connection."""
    stage.connections = [
        replace(connection, max_retries=number)
        for connection, number in zip(stage.connections, retries, strict=True)
    ]
    return stage


def asked(stage: Stage) -> list[int]:
    """Counts the requests that each endpoint got."""
    return [len(provider.requests) for provider in stage.providers]


@pytest.mark.parametrize(("retries", "requests"), [(0, 1), (1, 2), (3, 4), (None, 6), (10, 6)])
@pytest.mark.parametrize("fault", [DOWN, say("", finish="stop")], ids=["down", "empty"])
def test_a_server_that_fails_is_asked_again_as_often_as_its_connection_allows(
    fault: list[Step], retries: int | None, requests: int
) -> None:
    stage = limited(Stage([fault]), retries)
    [received] = stage.ask()
    assert asked(stage) == [requests]
    assert received.text == SORRY


@pytest.mark.parametrize(("retries", "requests"), [(0, 1), (1, 2), (None, 3)])
def test_a_silent_server_is_asked_again_as_often_as_its_connection_allows(
    retries: int | None, requests: int
) -> None:
    stage = limited(Stage([[HANG]]), retries)
    [received] = stage.ask()
    assert asked(stage) == [requests]
    assert received.first_word_at == pytest.approx(stage.options.first_word_deadline)


def test_a_server_that_may_not_be_asked_twice_is_waited_for_until_the_deadline() -> None:
    stage = limited(Stage([say(ANSWER, first=3.5)]), 0)
    [received] = stage.ask()
    assert (received.text, asked(stage)) == (ANSWER, [1])


@pytest.mark.parametrize(
    ("retries", "requests", "text"), [(0, 1, CLOSED), (1, 2, CLOSED), (2, 3, ANSWER)]
)
def test_a_reply_that_broke_off_is_continued_as_often_as_its_connection_allows(
    retries: int, requests: int, text: str
) -> None:
    stage = limited(Stage([BROKEN, DOWN, GOOD]), retries)
    [received] = stage.ask()
    assert (received.text, asked(stage)) == (text, [requests])


def test_a_pause_ends_no_reply_that_only_its_own_server_could_continue_and_may_not() -> None:
    paused = [*say("We open at ", finish=None), Step(2.0, Chunk(text="nine in the morning."))]
    stage = limited(Stage([[*paused, Step(0.0, Chunk(finish_reason="stop"))]]), 0)
    [received] = stage.ask()
    assert (received.text, asked(stage)) == ("We open at nine in the morning.", [1])


@pytest.mark.parametrize(("retries", "text"), [(0, CLOSED), (1, ANSWER)])
def test_a_server_that_lost_the_race_for_the_first_word_counts_as_asked(
    retries: int, text: str
) -> None:
    stage = limited(Stage([say(ANSWER, first=0.6), GOOD], [BROKEN]), retries, 0)
    [received] = stage.ask()
    assert (received.text, asked(stage)) == (text, [1 + retries, 1])


@pytest.mark.parametrize("retries", [0, 1])
def test_a_request_reduced_to_what_the_server_takes_counts_too(retries: int) -> None:
    refusal = fail(StatusError(400, detail="gemma3:4b does not support tools"))
    stage = limited(Stage([refusal, GOOD]), retries)
    [received] = stage.ask(tools=[{"type": "function", "function": {"name": "lookup"}}])
    assert (received.text, asked(stage)) == ((SORRY, ANSWER)[retries], [1 + retries])


def test_each_connection_has_its_own_limit_and_each_reply_begins_anew() -> None:
    stage = limited(Stage([DOWN], [DOWN]), 0, 2)
    stage.ask(turns=2, pause=60.0)
    assert asked(stage) == [2, 6]
