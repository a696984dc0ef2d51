"""Figures of the calls whose agent died, and the goals for them. No I/O."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench.report.goals import Goal
from bench.report.quantiles import quantile

NUMBERS = [
    *("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen", "twenty"),
]
"""The words of the reply in which the agent dies; no word comes twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One death. `silence`: from the last sound before it to the next one, in the recording (s);
    infinity if there was none. `doubled`, `lost`: words of the reply. `agents`: the most that were
    in the room at a time; `left_over`: those that were there at the end, beyond one; `runs`: of the
    tool.
    """

    silence: float
    doubled: int
    lost: int
    agents: int
    left_over: int
    runs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A way to lose an agent. `limit`: the longest silence that is promised (s); None: no promise.

    `loses_words`: the rest of the reply cannot come, since no agent is left to say it.
    `has_tool`: a tool runs at the death.
    """

    title: str
    limit: float | None = None
    loses_words: bool = False
    has_tool: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRow:
    case: Case
    outcomes: Sequence[Outcome]

    def silence(self, q: float) -> float:
        return quantile([one.silence for one in self.outcomes], q) if self.outcomes else math.nan


def received_once(words: Sequence[str]) -> tuple[int, int]:
    """Returns how many of the numbers came more than once, and how many never."""
    plain = [word.strip(".,…").lower() for word in words]
    counts = [plain.count(number) for number in NUMBERS]
    return sum(max(0, count - 1) for count in counts), counts.count(0)


def longest_silence(times: Sequence[float], around: float, until: float) -> float:
    """Returns the gap in the times of audible frames in which or after which `around` lies (s).

    `until`: the end of the recording. Infinity: no sound came after `around`.
    """
    before = [at for at in times if at <= around]
    after = [at for at in times if around < at <= until]
    if not after:
        return math.inf
    points = [before[-1] if before else around, *after]
    # The codec plays on for a moment: the longest gap that begins within that is meant.
    gaps = [b - a for a, b in pairwise(points) if a <= around + 0.5]
    return max(gaps, default=0.0)


def survival_goals(rows: Sequence[CaseRow]) -> list[Goal]:
    """Returns the goals: silence where it is promised, and no word and no agent too many."""
    goals = []
    for row in rows:
        title, outcomes = row.case.title, row.outcomes
        if row.case.limit is not None:
            goals.append(Goal(f"longest silence: {title}", row.silence(1.0), row.case.limit, "s"))
        goals.append(_most(f"agents at a time: {title}", [one.agents for one in outcomes], 1))
        goals.append(_most(f"agents left over: {title}", [one.left_over for one in outcomes], 0))
        if not row.case.loses_words:
            goals.append(_most(f"words lost: {title}", [one.lost for one in outcomes], 0))
            goals.append(_most(f"words twice: {title}", [one.doubled for one in outcomes], 1))
        if row.case.has_tool:
            goals.append(_most(f"runs of the tool: {title}", [one.runs for one in outcomes], 1))
    return goals


def _most(name: str, counts: Sequence[int], limit: int) -> Goal:
    return Goal(name, max(counts, default=math.nan), limit, form="g")
