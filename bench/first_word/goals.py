"""What is promised of the first word, row by row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.first_word.added import Times
from bench.first_word.cases import CASES
from bench.first_word.turn import Row

COLD, WARM = "Patchbay, cold", "Patchbay, warm"
_LEARNING = 3
"""Hung turns of one router until its circuit breaker has opened: the first of each caller."""


@dataclass(frozen=True, slots=True)
class Goal:
    says: str
    met: Callable[[Row], bool]
    cases: Sequence[str]
    contenders: Sequence[str] = (COLD, WARM)

    def concerns(self, row: Row) -> bool:
        return row.case.name in self.cases and row.contender in self.contenders


def _p95_within(limit: float) -> Callable[[Row], bool]:
    return lambda row: row.first_word(0.95) <= limit


def _first_turns_within(limit: float) -> Callable[[Row], bool]:
    return lambda row: max(turn.first_word for turn in row.turns[:_LEARNING]) <= limit


def _later_turns_within(limit: float) -> Callable[[Row], bool]:
    return lambda row: row.after(_LEARNING).first_word(0.95) <= limit


def _always_speaks_within(limit: float) -> Callable[[Row], bool]:
    return lambda row: row.first_word(1) <= limit


_ALL = [case.name for case in CASES]
_ONE = [case.name for case in CASES if not case.strikes_both]
_BOTH = [case.name for case in CASES if case.strikes_both]

GOALS = (
    Goal("p95 ≤ 0.50", _p95_within(0.5), ["hang"], [COLD]),
    Goal("first 3 ≤ 0.45", _first_turns_within(0.45), ["hang"], [WARM]),
    Goal("then p95 ≤ 0.25", _later_turns_within(0.25), ["hang"], [WARM]),
    Goal("p95 ≤ 0.50", _p95_within(0.5), ["one_in_five", "tail"]),
    Goal("all whole", lambda row: row.whole == 1, _ONE),
    Goal("nothing twice", lambda row: row.repeats == 0, _ALL),
    Goal("words ≤ 1.05", lambda row: row.cost <= 1.05, ["healthy"]),
    Goal("speaks ≤ 4.20", _always_speaks_within(4.2), _BOTH),
)


@dataclass(frozen=True, slots=True)
class AddedGoal:
    """Of what the router adds to a bare stream's first word. `required`: a run that misses it has
    failed; the rest are aims.

    The p99 of the time that passed is mostly the neighbours' doing, on any machine that is not
    idle. So a run is held to the p99 of the work, and to the p50 of the time, where a wait that is
    no work would show.
    """

    says: str
    met: Callable[[Times, Times], bool]
    required: bool = False


ADDED_GOALS = (
    AddedGoal("p50 ≤ 2", lambda ours, bare: ours.passed_over(bare, 0.5) <= 0.002, required=True),
    AddedGoal("work p99 ≤ 2", lambda o, bare: o.worked_over(bare, 0.99) <= 0.002, required=True),
    AddedGoal("p99 ≤ 2", lambda ours, bare: ours.passed_over(bare, 0.99) <= 0.002),
    AddedGoal("p99 ≤ 1", lambda ours, bare: ours.passed_over(bare, 0.99) <= 0.001),
)


def missed_added(times: Sequence[Times], *, required: bool) -> Sequence[str]:
    """`times`: the bare stream's, then ours; empty: not measured."""
    if not times:
        return []
    bare, ours, *_ = times
    return [
        f"added when healthy: {goal.says} ms"
        for goal in ADDED_GOALS
        if goal.required == required and not goal.met(ours, bare)
    ]


def goals_of(row: Row) -> Sequence[Goal]:
    return [goal for goal in GOALS if goal.concerns(row)]


def missed(rows: Sequence[Row]) -> Sequence[str]:
    return [
        f"{row.case.name}, {row.contender}: {goal.says}"
        for row in rows
        for goal in goals_of(row)
        if not goal.met(row)
    ]
