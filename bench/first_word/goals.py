"""The goals of this bench: for each row, and for the time that the router adds."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from bench.first_word.added_time import Times
from bench.first_word.turn import Row
from bench.report.goals import Goal

COLD = "Patchbay, cold"
WARM = "Patchbay, warm"
_LEARNING = 3
"""Hung turns of one router until its circuit breaker has opened: the first of each caller."""


def row_goals(row: Row) -> list[Goal]:
    """Returns the goals of one row; none for the peers."""
    if row.contender not in {COLD, WARM}:
        return []
    goals = _first_word_goals(row)
    if not row.case.strikes_both:
        goals.append(Goal("broken replies", sum(not turn.is_whole for turn in row.turns), 0))
    goals.append(Goal("repetitions", row.repeats, 0))
    if row.case.name == "healthy":
        goals.append(Goal("words", row.cost, 1.05))
    if row.case.strikes_both:
        goals.append(Goal("latest", row.first_word(1), 4.2, "s"))
    return goals


def _first_word_goals(row: Row) -> list[Goal]:
    case = row.case.name
    if case == "hang" and row.contender == WARM:
        first = max(turn.first_word for turn in row.turns[:_LEARNING])
        later = row.after(_LEARNING).first_word(0.95)
        return [
            Goal(f"first {_LEARNING} turns", first, 0.45, "s"),
            Goal("later p95", later, 0.25, "s"),
        ]
    if case in {"hang", "one_in_five", "tail"}:
        return [Goal("p95", row.first_word(0.95), 0.5, "s")]
    return []


def added_goals(times: Sequence[Times]) -> list[Goal]:
    """Returns the goals of the time added to a bare stream's first word. `times`: the bare
    stream's, then ours; empty if it was not measured.

    On any machine that is not idle, the p99 of the elapsed time is mostly due to other processes.
    So a run is held to the p99 of the work and to the p50 of the time, which shows a wait that is
    no work; the rest are aims.
    """
    if not times:
        return []
    bare, ours, *_ = times
    p99 = ours.elapsed_over(bare, 0.99) * 1e3
    return [
        Goal("p50", ours.elapsed_over(bare, 0.5) * 1e3, 2, "ms"),
        Goal("work p99", ours.worked_over(bare, 0.99) * 1e3, 2, "ms"),
        Goal("p99", p99, 2, "ms", required=False),
        Goal("p99", p99, 1, "ms", required=False),
    ]


def run_goals(
    rows: Sequence[Row],
    times: Sequence[Times],
    goals_of: Callable[[Row], list[Goal]] = row_goals,
) -> list[Goal]:
    """Returns all goals of a run, named by case and contender."""
    of_rows = [
        replace(goal, name=f"{row.case.name}, {row.contender}: {goal.name}")
        for row in rows
        for goal in goals_of(row)
    ]
    of_times = [
        replace(goal, name=f"added when healthy: {goal.name}") for goal in added_goals(times)
    ]
    return [*of_rows, *of_times]
