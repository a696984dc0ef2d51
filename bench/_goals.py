"""What is promised of the first word, row by row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench._added import Times
from bench._cases import CASES
from bench._turn import Row

COLD, WARM = "Patchbay, cold", "Patchbay, warm"
_BOTH = (COLD, WARM)
_LEARNING = 3
"""Hung turns of one router until its circuit breaker has opened."""


@dataclass(frozen=True, slots=True)
class Goal:
    """`required`: a run that misses it has failed; the rest are aims."""

    says: str
    met: Callable[[Row], bool]
    cases: Sequence[str]
    contenders: Sequence[str] = _BOTH
    required: bool = False

    def concerns(self, row: Row) -> bool:
        return row.case.name in self.cases and row.contender in self.contenders


def _p95_within(limit: float) -> Callable[[Row], bool]:
    return lambda row: row.first_word(0.95) <= limit


def _first_turns_within(limit: float) -> Callable[[Row], bool]:
    return lambda row: max(turn.first_word for turn in row.turns[:_LEARNING]) <= limit


def _later_turns_within(limit: float) -> Callable[[Row], bool]:
    return lambda row: row.after(_LEARNING).first_word(0.95) <= limit


_ALL = [case.name for case in CASES]
_MID_STREAM = [case.name for case in CASES if case.mid_stream]

GOALS = (
    Goal("p95 ≤ 0.80", _p95_within(0.8), ["hang"], required=True),
    Goal("p95 ≤ 0.50", _p95_within(0.5), ["hang"], [COLD]),
    Goal("first 3 ≤ 0.45", _first_turns_within(0.45), ["hang"], [WARM]),
    Goal("then p95 ≤ 0.25", _later_turns_within(0.25), ["hang"], [WARM]),
    Goal("p95 ≤ 0.50", _p95_within(0.5), ["one_in_five", "tail"]),
    Goal("all whole", lambda row: row.whole == 1, _MID_STREAM, required=True),
    Goal("all whole", lambda row: row.whole == 1, [n for n in _ALL if n not in _MID_STREAM]),
    Goal("nothing twice", lambda row: row.repeats == 0, _ALL, required=True),
    Goal("words ≤ 1.05", lambda row: row.cost <= 1.05, ["healthy"]),
)


@dataclass(frozen=True, slots=True)
class AddedGoal:
    """Of what the router adds to a bare stream's first word.

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


def missed(rows: Sequence[Row], *, required: bool) -> Sequence[str]:
    return [
        f"{row.case.name}, {row.contender}: {goal.says}"
        for row in rows
        for goal in goals_of(row)
        if goal.required == required and not goal.met(row)
    ]
