"""The figures of the bench of survival."""

import math
from dataclasses import replace

import pytest

from bench.survival.figures import (
    NUMBERS,
    Case,
    CaseRow,
    Outcome,
    longest_silence,
    received_once,
    reply_of,
    survival_goals,
    time_together,
)
from bench.survival.page import cases_table, make_page

WELL = Outcome(silence=1.2, doubled=1, lost=0, agents=1, left_over=0)
NEVER = Outcome(silence=math.inf, doubled=0, lost=9, together=1.0, agents=2, left_over=1)


def test_words_are_counted_whatever_stands_around_them() -> None:
    words = [*NUMBERS[:7], "Sorry,", "Seven", *NUMBERS[7:-1], "twenty."]
    assert received_once(words) == (1, 0)
    assert received_once(NUMBERS[:5]) == (0, 15)


def test_the_reply_has_clauses_and_each_of_its_words_once() -> None:
    reply = reply_of(NUMBERS)
    assert [len(clause.split()) for clause in reply.split(",")] == [10, 10]
    assert received_once(reply.split()) == (0, 0)


def test_silence_is_the_gap_that_begins_at_the_death() -> None:
    times = [0.0, 0.1, 0.2, 1.7, 1.8, 5.0]
    assert longest_silence(times, 0.15, 9.0) == 1.5
    assert longest_silence(times, 1.75, 1.8) == 1.8 - 1.7
    assert longest_silence([0.0], 0.1, 9.0) == math.inf
    stuttering = [0.0, 1.4, 1.8, 9.3]
    assert longest_silence(stuttering, 0.9, 9.5) == 9.3 - 1.8


def test_two_voices_are_together_while_both_are_audible() -> None:
    first = [n / 100 for n in range(100)]
    assert time_together([first, [n / 100 for n in range(50, 150)]]) == pytest.approx(0.5, abs=0.1)
    assert time_together([first, [2.0, 2.01]]) == time_together([first]) == 0.0


def test_goals_are_met_by_calls_that_go_on_and_missed_by_those_that_do_not() -> None:
    case = Case(title="killed", limit=4.0)
    assert all(goal.is_met for goal in survival_goals([CaseRow(case=case, outcomes=[WELL])]))
    missed = [g for g in survival_goals([CaseRow(case=case, outcomes=[NEVER])]) if not g.is_met]
    assert len(missed) == 4


def test_a_tool_may_run_once() -> None:
    case = Case(title="killed", has_tool=True)

    def are_met(runs: int) -> bool:
        row = CaseRow(case=case, outcomes=[replace(WELL, runs=runs)])
        assert cases_table([row]).rows[0][-1] == str(runs)
        return all(goal.is_met for goal in survival_goals([row]))

    assert [are_met(runs) for runs in (1, 2)] == [True, False]


def test_the_page_has_a_row_of_each_case() -> None:
    rows = [CaseRow(case=Case(title="killed"), outcomes=[WELL, WELL])]
    assert cases_table(rows).rows == [
        ["killed", "2", "1.20", "1.20", "1", "0", "0.00", "1", "0", "-"]
    ]
    assert "killed" in make_page(rows).text
