"""Figures of the calls whose agent died, and the goals for them. No I/O."""

import math
from collections import Counter
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
_UNITS = NUMBERS[:9]
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
MANY_NUMBERS = [*NUMBERS, *(f"{ten}{unit}" for ten in _TENS for unit in _UNITS)]
"""A reply that is long enough for many calls to be in it at the same moment."""
_CLAUSE = 10
"""Words of the reply from one comma to the next."""
_SLICE = 0.05
"""Seconds within which two speakers count as audible together."""
_TOGETHER = 0.3
"""Seconds that are no overlap: sound that is sent one after the other may arrive so."""
_PLAYS_ON = 1.5
"""Seconds after a death in which the dead agent may still be audible: its process has one to store
its last words, and the caller's end has sound in store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One death. `silence`: from the last sound before it to the next one, in the recording (s);
    infinity if there was none. `doubled`, `lost`: words of the reply. `together`: how long two
    speakers were audible at a time (s). `agents`: the most that were in the room at a time, without
    the receptionist; `left_over`: those that were there at the end, beyond one; `runs`: of the
    tool.
    """

    silence: float
    doubled: int = 0
    lost: int = 0
    together: float = 0.0
    agents: int = 1
    left_over: int = 0
    runs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A way to lose an agent. `limit`: the longest silence that is promised (s); None: no promise.

    `loses_words`: the rest of the reply cannot come, since no agent is left to say it.
    `has_tool`: a tool runs at the death. `may_repeat`: words that may come twice.
    """

    title: str
    limit: float | None = None
    loses_words: bool = False
    has_tool: bool = False
    may_repeat: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRow:
    case: Case
    outcomes: Sequence[Outcome]

    def silence(self, q: float) -> float:
        return quantile([one.silence for one in self.outcomes], q) if self.outcomes else math.nan

    @property
    def most_together(self) -> float:
        return max((one.together for one in self.outcomes), default=math.nan)


def reply_of(numbers: Sequence[str]) -> str:
    """Returns the numbers as a sentence in clauses, as a model writes one: a voice waits for each
    clause to be whole.
    """
    clauses = [" ".join(numbers[at : at + _CLAUSE]) for at in range(0, len(numbers), _CLAUSE)]
    return ", ".join(clauses).capitalize() + "."


def received_once(words: Sequence[str], numbers: Sequence[str] = NUMBERS) -> tuple[int, int]:
    """Returns how many of the numbers came more than once, and how many never."""
    plain = [word.strip(".,…").lower() for word in words]
    counts = [plain.count(number) for number in numbers]
    return sum(max(0, count - 1) for count in counts), counts.count(0)


def time_together(speakers: Sequence[Sequence[float]]) -> float:
    """Returns how long more than one of the speakers was audible, of whom each is given by the
    times of its audible frames (s).
    """
    slices = [{round(at / _SLICE) for at in times} for times in speakers]
    counts = Counter(at for own in slices for at in own)
    return sum(count > 1 for count in counts.values()) * _SLICE


def longest_silence(times: Sequence[float], around: float, until: float) -> float:
    """Returns the gap in the times of audible frames in which or after which `around` lies (s).

    `until`: the end of the recording. Infinity: no sound came after `around`.
    """
    before = [at for at in times if at <= around]
    after = [at for at in times if around < at <= until]
    if not after:
        return math.inf
    points = [before[-1] if before else around, *after]
    # A voice that stutters on a busy machine has gaps before the one that the death makes.
    gaps = [b - a for a, b in pairwise(points) if a <= around + _PLAYS_ON]
    return max(gaps, default=0.0)


def survival_goals(rows: Sequence[CaseRow]) -> list[Goal]:
    """Returns the goals: silence where it is promised, and no word and no agent too many."""
    goals = []
    for row in rows:
        title, outcomes = row.case.title, row.outcomes
        if row.case.limit is not None:
            goals.append(Goal(f"longest silence: {title}", row.silence(1.0), row.case.limit, "s"))
        goals.append(Goal(f"two voices: {title}", row.most_together, _TOGETHER, "s"))
        goals.append(_most(f"agents left over: {title}", [one.left_over for one in outcomes], 0))
        if not row.case.loses_words:
            goals.append(_most(f"words lost: {title}", [one.lost for one in outcomes], 0))
            goals.append(
                _most(
                    f"words twice: {title}", [one.doubled for one in outcomes], row.case.may_repeat
                )
            )
        if row.case.has_tool:
            goals.append(_most(f"runs of the tool: {title}", [one.runs for one in outcomes], 1))
    return goals


def _most(name: str, counts: Sequence[int], limit: int) -> Goal:
    return Goal(name, max(counts, default=math.nan), limit, form="g")
