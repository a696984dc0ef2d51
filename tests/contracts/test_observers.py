"""The events that observers receive of whole replies."""

from dataclasses import replace

import pytest

from llm_router.catalog.prices import Price
from llm_router.errors import StatusError
from llm_router.routing.endpoint import Endpoint
from llm_router.testing import HANG, Step, fail, say
from llm_router.types import Chunk, Usage
from tests.contracts.observed import ANSWER, COUNTED, QUESTION, SPARE, Scene


def test_an_attempt_event_has_its_connection_times_and_tokens() -> None:
    first, second = Scene(COUNTED).ask(turns=2).attempts
    assert (first.connection, first.model, first.server) == ("a", "model-0", "host-0:8000")
    assert (first.role, first.outcome, first.finish_reason) == ("first", "won", "stop")
    assert first.usage == Usage(7, 12, 3)
    assert first.first_word == pytest.approx(0.15, abs=1e-6)
    assert first.first_clause == pytest.approx(0.15 + 6 * 0.02, abs=1e-6)
    assert first.largest_gap == pytest.approx(0.02, abs=1e-6)
    assert (first.characters, first.given, first.delivered) == (len(ANSWER), len(ANSWER), True)
    assert first.predicted is None
    assert second.predicted == pytest.approx(first.first_clause, rel=0.1)


def test_an_attempt_event_has_its_connection_id_pool_and_price() -> None:
    scene = Scene(COUNTED)
    paid = replace(scene.endpoints[0].connection, id="id-a", pool="night", price_in=2, price_out=3)
    scene.endpoints = [Endpoint(paid, scene.endpoints[0].provider)]
    [event] = scene.ask().attempts
    assert (event.connection_id, event.pool) == ("id-a", "night")
    assert event.price == Price(2, 2, 3)


def test_a_reply_event_has_its_integration_prompt_length_and_deadline() -> None:
    for speech, deadline in ((True, 4.0), (False, 30.0)):
        [reply] = Scene(COUNTED).ask(speech=speech).replies
        assert (reply.integration, reply.prompt_characters) == ("livekit", len(QUESTION))
        assert reply.deadline == deadline


def test_a_reply_event_has_its_attempts() -> None:
    recorder = Scene(fail(StatusError(503), after=0.1), COUNTED).ask()
    [reply] = recorder.replies
    assert reply.first_word == pytest.approx(0.25, abs=1e-6)
    assert reply.first_clause == pytest.approx(0.25 + 6 * 0.02, abs=1e-6)
    assert reply.started_at == 100.0
    assert reply.duration >= 0.25 + 11 * 0.02
    assert (reply.words, reply.characters, reply.wasted) == (12, len(ANSWER), 0)
    assert list(reply.tries) == recorder.attempts
    assert [(a.connection, a.role, a.outcome) for a in reply.tries] == [
        ("a", "first", "overloaded"),
        ("b", "failover", "won"),
    ]
    assert reply.tries[1].started_at == pytest.approx(100.1, abs=1e-6)


def test_a_stall_is_the_largest_gap_and_unused_words_are_waste() -> None:
    stalls = [*say("One, two,", finish=None), Step(0.3, Chunk(text=" three")), HANG]
    recorder = Scene(stalls, SPARE).ask()
    [gone] = [event for event in recorder.attempts if event.connection == "a"]
    assert gone.largest_gap == pytest.approx(0.3, abs=1e-6)
    assert gone.delivered
    assert recorder.replies[0].resumes == 1
    slow = Scene(say(ANSWER, first=0.31), say(ANSWER, first=0.05)).ask()
    [lost] = [event for event in slow.attempts if event.outcome == "lost"]
    assert (lost.delivered, lost.given) == (False, 0)


def test_an_interrupted_attempt_says_how_much_of_it_was_given_out() -> None:
    [event] = Scene(COUNTED).ask(stop_after=3).attempts
    assert (event.outcome, event.delivered) == ("cancelled", True)
    assert event.given == len("We open at ")
