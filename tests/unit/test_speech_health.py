"""A speech process that hangs costs a call one wait, and is used again once it answers."""

from agent.speech.process.health import Health, first_piece_within
from llm_router.testing.clock import ManualClock


def test_a_process_that_answers_is_asked() -> None:
    clock, health = ManualClock(), Health()
    assert not health.has_answered
    assert health.next_step(clock.now()) == "ask"
    health.answered()
    assert health.has_answered
    assert health.next_step(clock.now()) == "ask"


def test_a_late_process_is_checked_at_once_and_then_once_a_second() -> None:
    clock, health = ManualClock(), Health()
    health.late()
    steps = []
    for _ in range(6):
        steps.append(health.next_step(clock.now()))
        clock.advance(0.5)
    assert steps == ["check", "refuse", "check", "refuse", "check", "refuse"]


def test_a_process_that_answers_its_check_is_asked_again() -> None:
    clock, health = ManualClock(), Health()
    health.late()
    assert health.next_step(clock.now()) == "check"
    health.answered()
    assert health.next_step(clock.now()) == "ask"


def test_a_voice_that_was_late_is_waited_for_while_there_is_sound_to_play() -> None:
    assert first_piece_within(1.0, 0.0, was_late=False) == 1.0
    assert first_piece_within(1.0, 2.0, was_late=False) == 3.0
    assert first_piece_within(1.0, 2.0, was_late=True) == 2.0
    assert first_piece_within(1.0, 0.0, was_late=True) == 0.3
