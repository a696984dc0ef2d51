"""Whose work is next on the threads of the speech process."""

from contextlib import suppress

import pytest

from agent.speech.process.schedule import BusyError, Rank, Schedule, Step


def schedule(*steps: Step[str], threads: int = 1, most_waiting: int = 8) -> Schedule[str]:
    made: Schedule[str] = Schedule(threads, most_waiting)
    for step in steps:
        made.add(step, 0.0)
    return made


def order(scheduled: Schedule[str], now: float = 0.0) -> list[str]:
    """Returns the waiting work in the order in which one thread after another takes it."""
    taken = []
    while step := scheduled.take(now):
        taken.append(step.work)
        scheduled.remove(step, now)
    return taken


def test_first_sounds_come_before_final_words_and_those_before_the_rest_of_a_voice() -> None:
    waiting = schedule(
        Step("rest", Rank.MORE_SOUND, silent_at=9.0),
        Step("words", Rank.FINAL),
        Step("sound", Rank.FIRST_SOUND),
    )
    assert order(waiting) == ["sound", "words", "rest"]


def test_work_of_one_rank_runs_in_the_order_in_which_it_came() -> None:
    assert order(schedule(*(Step(name, Rank.FINAL) for name in "abc"))) == ["a", "b", "c"]


def test_a_voice_whose_sound_runs_out_comes_before_final_words() -> None:
    waiting = schedule(
        Step("words", Rank.FINAL),
        Step("later", Rank.MORE_SOUND, silent_at=11.0),
        Step("soon", Rank.MORE_SOUND, silent_at=10.2),
    )
    assert order(waiting, now=10.0) == ["soon", "words", "later"]


def test_of_two_voices_the_one_that_falls_silent_first_goes_on() -> None:
    waiting = schedule(
        Step("later", Rank.MORE_SOUND, silent_at=9.0), Step("soon", Rank.MORE_SOUND, silent_at=8.0)
    )
    assert order(waiting) == ["soon", "later"]


def test_no_more_steps_run_than_there_are_threads() -> None:
    waiting = schedule(*(Step(name, Rank.FINAL) for name in "abc"), threads=2)
    first = waiting.take(0.0)
    assert [first and first.work, waiting.take(0.0) is None, waiting.take(0.0)] == [
        "a",
        False,
        None,
    ]
    assert first is not None
    waiting.remove(first, 0.0)
    assert order(waiting) == ["c"]


def test_interim_work_is_refused_while_other_work_waits() -> None:
    with pytest.raises(BusyError):
        schedule(Step("words", Rank.FINAL), Step("interim", Rank.INTERIM), threads=2)


@pytest.mark.parametrize("running", [Rank.INTERIM, Rank.MORE_SOUND, Rank.FINAL])
def test_interim_work_leaves_one_thread_to_urgent_work(running: Rank) -> None:
    waiting = schedule(Step("a", running), threads=2)
    assert waiting.take(0.0)
    with pytest.raises(BusyError):
        waiting.add(Step("b", Rank.INTERIM), 0.0)


def test_interim_work_runs_on_a_single_thread_that_is_idle() -> None:
    assert order(schedule(Step("a", Rank.INTERIM))) == ["a"]


def test_beyond_the_bound_only_voices_that_have_begun_may_wait() -> None:
    waiting = schedule(Step("a", Rank.FINAL), Step("b", Rank.FINAL), most_waiting=2)
    waiting.add(Step("rest", Rank.MORE_SOUND, silent_at=1.0), 0.0)
    for rank in (Rank.FINAL, Rank.FIRST_SOUND):
        with pytest.raises(BusyError):
            waiting.add(Step("more", rank), 0.0)


def test_work_that_is_removed_gives_its_place_to_other_work() -> None:
    gone = Step("gone", Rank.FINAL)
    waiting = schedule(gone, most_waiting=1)
    waiting.remove(gone, 0.0)
    waiting.add(Step("other", Rank.FINAL), 0.0)
    assert order(waiting) == ["other"]


@pytest.mark.parametrize("rank", [Rank.FINAL, Rank.FIRST_SOUND])
def test_interim_work_is_refused_for_5_s_after_urgent_work_had_to_wait(rank: Rank) -> None:
    waiting = schedule(Step("urgent", rank))
    assert order(waiting, now=0.2) == ["urgent"]
    with pytest.raises(BusyError):
        waiting.add(Step("interim", Rank.INTERIM), 5.1)
    waiting.add(Step("interim", Rank.INTERIM), 5.3)
    assert order(waiting, now=5.3) == ["interim"]


@pytest.mark.parametrize(("rank", "waited"), [(Rank.FINAL, 0.05), (Rank.MORE_SOUND, 2.0)])
def test_interim_work_goes_on_after_waits_that_no_caller_notices(rank: Rank, waited: float) -> None:
    waiting = schedule(Step("other", rank, silent_at=9.0))
    assert order(waiting, now=waited) == ["other"]
    waiting.add(Step("interim", Rank.INTERIM), waited)
    assert order(waiting, now=waited) == ["interim"]


def test_interim_work_of_all_calls_together_takes_a_sixth_of_the_time() -> None:
    waiting = schedule(threads=2)
    begun = []
    now = 0.0
    while now < 60:
        for caller in "abcde":
            with suppress(BusyError):
                waiting.add(Step(caller, Rank.INTERIM), now)
        step = waiting.take(now)
        now += 0.2
        if step:
            begun.append(now)
            waiting.remove(step, now)
    assert len(begun) * 0.2 == pytest.approx(60 / 6, rel=0.1)


def test_stretched_interim_work_leaves_a_longer_rest() -> None:
    waiting = schedule(Step("a", Rank.INTERIM))
    step = waiting.take(0.0)
    assert step
    waiting.remove(step, 1.0)
    with pytest.raises(BusyError):
        waiting.add(Step("b", Rank.INTERIM), 5.9)
    waiting.add(Step("b", Rank.INTERIM), 6.1)
