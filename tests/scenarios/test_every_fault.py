"""Every known fault, one after the other: with a healthy spare, with a spare that fails too, and
with no healthy endpoint. Faults that need real bytes are in `test_faults_on_the_wire.py`.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence

import pytest

from llm_router.routing.speech import SpeechClock
from llm_router.testing import Step, say
from llm_router.types import Chunk
from tests.scenarios import acts
from tests.scenarios.stage import Received, Stage

ANSWER = "We open at nine in the morning, Monday to Friday, and we close at six."
HEAD = "We open at nine in the morning, Monday to"
SPARE = say(ANSWER, first=0.2)
BEFORE = acts.BEFORE
AMID = {name: steps for name, steps in acts.AMID.items() if name != "cut by length"}
_, *LATER = ANSWER.split()
DRIP = [
    Step(0.15, Chunk(text="We")),
    *(Step(1.0, Chunk(text=f" {word}")) for word in LATER),
    Step(0.0, Chunk(finish_reason="stop")),
]
FAULTS: Mapping[str, Sequence[Step]] = {
    **BEFORE,
    **{name: [*say(HEAD, finish=None), *steps] for name, steps in AMID.items()},
    "drip": DRIP,
    "slow and steady": say(ANSWER, first=2.5),
    "tail": say(ANSWER, first=4.0),
}
ONE_FAULT, TWO_FAULTS = 0.5, 0.75
"""Seconds to the first word of a router that has measured nothing yet."""
LONGEST_PAUSE = 0.7
"""Seconds in which a voice may be out of words in the middle of a reply."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Silences the log of deliberate faults."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def staged(*scripts: Sequence[Step]) -> Stage:
    """Puts each script on another kind of server, which may accept another's bad request."""
    stage = Stage(*([script] for script in scripts))
    stage.be_of_different_kinds()
    return stage


def longest_pause(received: Received) -> float:
    """Returns the longest silence (s) after the voice has begun."""
    voice = SpeechClock("en")
    longest = 0.0
    for chunk, at in zip(received.chunks, received.at, strict=True):
        if chunk.text:
            if voice.silent_from is not None:
                longest = max(longest, at - voice.silent_from)
            voice.feed(chunk.text, at)
    return longest


@pytest.mark.parametrize("fault", FAULTS)
def test_one_healthy_spare_is_enough(fault: str) -> None:
    [received] = staged(FAULTS[fault], SPARE).ask()
    assert received.text == ANSWER
    assert received.first_word_at <= ONE_FAULT
    assert longest_pause(received) <= LONGEST_PAUSE


@pytest.mark.parametrize("first", FAULTS)
def test_a_spare_that_fails_too_is_passed_over(first: str) -> None:
    for second in FAULTS:
        [received] = staged(FAULTS[first], FAULTS[second], SPARE).ask()
        assert received.text == ANSWER, second
        assert received.first_word_at <= TWO_FAULTS, second
        assert longest_pause(received) <= LONGEST_PAUSE, second


@pytest.mark.parametrize("first", FAULTS)
def test_without_a_healthy_endpoint_something_whole_is_said_in_time(first: str) -> None:
    for second in FAULTS:
        stage = staged(FAULTS[first], FAULTS[second])
        [received] = stage.ask()
        assert received.first_word_at <= stage.options.first_word_deadline + 1e-6, second
        assert [c.finish_reason for c in received.chunks if c.finish_reason] == ["stop"], second
        begun = received.text.partition("…")[0]
        assert ANSWER.startswith(begun.rstrip()) or "sorry" in received.text, (
            second,
            received.text,
        )
