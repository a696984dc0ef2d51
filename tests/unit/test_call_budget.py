"""Tests the limits of a call, which are decided without a clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.budget import (
    CallBudget,
    CallLimits,
    CallSoFar,
    CallTime,
    Refusal,
    Step,
    kind_limit,
    latest_turns,
)

TURNS = st.lists(st.tuples(st.integers(0, 5000), st.floats(0, 30)), max_size=300)


def test_a_message_that_is_too_long_is_refused_and_costs_nothing() -> None:
    budget = CallBudget(CallLimits(message_characters=10, turns=1))
    assert budget.turn(11, 0.0) is Refusal.MESSAGE
    assert budget.turn(10, 0.0) is None
    assert budget.turn(1, 0.0) is Refusal.CALL


def test_a_minute_has_so_many_turns_and_no_more() -> None:
    budget = CallBudget(CallLimits(turns_per_minute=2))
    assert [budget.turn(1, at) for at in (0.0, 1.0, 2.0)] == [None, None, Refusal.RATE]
    assert budget.turn(1, 59.0) is Refusal.RATE
    assert budget.turn(1, 120.0) is None


def test_a_call_ends_with_its_tokens_or_its_money() -> None:
    tokens = CallBudget(CallLimits(tokens=100))
    tokens.spent(99, 7.0)
    assert not tokens.is_spent
    assert tokens.turn(1, 0.0) is None
    tokens.spent(1, 0.0)
    assert tokens.is_spent
    assert tokens.turn(1, 0.0) is Refusal.CALL
    money = CallBudget(CallLimits(cost=0.5))
    money.spent(1, 0.5)
    assert money.turn(1, 0.0) is Refusal.CALL


def test_the_last_turn_that_is_admitted_may_still_be_answered() -> None:
    budget = CallBudget(CallLimits(turns=2))
    assert [budget.turn(1, 0.0), budget.turn(1, 0.0)] == [None, None]
    assert not budget.is_spent


def test_without_limits_everything_is_admitted() -> None:
    budget = CallBudget(CallLimits())
    budget.spent(10**9, 10.0**9)
    assert {budget.turn(10**6, 0.0) for _ in range(1000)} == {None}


@given(TURNS, st.integers(1, 20), st.integers(1, 50), st.integers(1, 3000))
def test_no_limit_is_ever_exceeded(
    turns: list[tuple[int, float]], rate: int, total: int, longest: int
) -> None:
    limits = CallLimits(message_characters=longest, turns_per_minute=rate, turns=total)
    budget = CallBudget(limits)
    now, admitted = 0.0, list[float]()
    for characters, pause in turns:
        now += pause
        if budget.turn(characters, now) is None:
            assert characters <= longest
            admitted.append(now)
    assert len(admitted) <= total
    for at in admitted:
        assert sum(at - 60 < other <= at for other in admitted) <= rate


# ── Time ─────────────────────────────────────────────────────────────────────────────────────────


def steps(time: CallTime, until: int) -> list[tuple[int, Step]]:
    return [(now, step) for now in range(until) if (step := time.due(float(now)))]


def test_a_silent_caller_is_asked_twice_and_then_the_call_ends() -> None:
    time = CallTime(CallLimits(silence=10), 0.0)
    assert steps(time, 31) == [(10, Step.ASK), (20, Step.ASK), (30, Step.END_SILENT)]


def test_a_caller_who_answers_is_asked_afresh() -> None:
    time = CallTime(CallLimits(silence=10), 0.0)
    assert steps(time, 21)[-1] == (20, Step.ASK)
    time.caller_active(25.0)
    assert [time.due(float(now)) for now in (34, 35, 45, 55)] == [
        None, Step.ASK, Step.ASK, Step.END_SILENT,
    ]  # fmt: skip


def test_a_silent_caller_is_asked_as_often_as_is_set() -> None:
    once = CallTime(CallLimits(silence=10, questions=1), 0.0)
    assert steps(once, 21) == [(10, Step.ASK), (20, Step.END_SILENT)]
    never = CallTime(CallLimits(silence=10, questions=0), 0.0)
    assert steps(never, 11) == [(10, Step.END_SILENT)]


def test_the_agents_own_words_are_neither_silence_nor_an_answer() -> None:
    time = CallTime(CallLimits(silence=10), 0.0)
    assert time.due(10.0) is Step.ASK
    time.agent_active(12.0)
    assert [time.due(now) for now in (21.0, 22.0, 32.0)] == [None, Step.ASK, Step.END_SILENT]


def test_a_caller_learns_once_that_a_minute_is_left() -> None:
    time = CallTime(CallLimits(seconds=180), 0.0)
    assert steps(time, 181) == [(120, Step.WARN), (180, Step.END_LONG)]


def test_a_call_of_a_minute_does_not_begin_with_the_warning() -> None:
    time = CallTime(CallLimits(seconds=60), 0.0)
    assert steps(time, 61) == [(60, Step.END_LONG)]


def test_a_call_has_a_longest_length_whatever_is_said() -> None:
    time = CallTime(CallLimits(seconds=100, silence=10), 0.0)
    for now in range(100):
        time.caller_active(float(now))
        assert time.due(float(now)) is None
    assert time.due(100.0) is Step.END_LONG


# ── History ──────────────────────────────────────────────────────────────────────────────────────


def test_the_oldest_turns_stay_out() -> None:
    turns = [("a", 5), ("b", 5), ("c", 5)]
    assert latest_turns(turns, 10) == ["b", "c"]
    assert latest_turns(turns, 15) == ["a", "b", "c"]
    assert latest_turns(turns, 1) == ["c"]
    assert latest_turns(turns, 0) == ["a", "b", "c"]
    assert latest_turns([], 10) == []


@given(st.lists(st.integers(0, 100)), st.integers(1, 500))
def test_a_bounded_history_is_the_longest_end_that_fits(lengths: list[int], most: int) -> None:
    turns = list(enumerate(lengths))
    chosen = latest_turns(turns, most)
    assert chosen == [place for place, _ in turns[len(turns) - len(chosen) :]]
    total = sum(lengths[place] for place in chosen)
    assert total <= most or len(chosen) == 1
    if len(chosen) < len(lengths) and total <= most:
        assert total + lengths[len(lengths) - len(chosen) - 1] > most


def test_a_call_s_later_agent_goes_on_counting_where_the_one_before_stopped() -> None:
    budget = CallBudget(CallLimits(turns=3, tokens=100, cost=1.0))
    budget.resume(CallSoFar(turns=2, tokens=60, cost=0.2))
    assert budget.turn(1, 0.0) is None
    assert budget.turn(1, 1.0) is Refusal.CALL
    budget.spent(40, 0.1)
    assert budget.is_spent
    time = CallTime(CallLimits(seconds=600, silence=200), 0.0, earlier=500.0)
    assert time.due(39.0) is None
    assert time.due(40.0) is Step.WARN
    assert time.due(100.0) is Step.END_LONG


def test_a_call_that_is_placed_begins_when_it_is_answered() -> None:
    time = CallTime(CallLimits(seconds=100, silence=10), 0.0)
    for now in range(90):
        time.not_begun(float(now))
        assert time.due(float(now)) is None
    assert time.due(89.0 + 9.0) is None
    assert time.due(89.0 + 10.0) is Step.ASK
    assert time.due(89.0 + 100.0) is Step.END_LONG


@pytest.mark.parametrize(("cut", "kind"), [(1800.0, 1770.0), (60.0, 30.0), (40.0, 20.0)])
def test_a_call_ends_with_a_word_before_its_line_is_cut(cut: float, kind: float) -> None:
    assert kind_limit(cut) == kind
