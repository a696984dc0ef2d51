"""Figures of calls and of the store, and the goals for them. No I/O."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench.report.goals import Goal
from bench.report.quantiles import median, quantile

KNEE = 1.5
"""Times as late as with one call that first sounds may come."""
HOLE = 0.7
"""Seconds of silence within an answer that count as lost sound: the voice itself pauses for 0.4."""
MOST_PROCESSOR = 1.25
MOST_MEMORY = 1.25
"""Times as much as a call of the bare worker that one of ours may take: aims."""
NOTICED_WITHIN = 2.0
"""Seconds until a change of a connection takes effect, at most."""
WORKER, SPEECH, MEDIA, HTTP, CALLERS = (
    "worker and calls", "speech models", "media server", "HTTP process", "callers",
)  # fmt: skip
"""Programs of a machine with calls."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Seconds from the end of a question to the answer's first sound, infinity for none, and the
    longest silence within the answer.
    """

    wait: float
    hole: float

    @property
    def is_lost(self) -> bool:
        return self.wait == math.inf or self.hole > HOLE


@dataclass(frozen=True, slots=True)
class Use:
    """The use of a program: seconds of processor so far, and megabytes, shared pages counted once
    among those that share them (PSS).
    """

    processor: float
    memory: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """So many calls at once. `processor`: of each program, in seconds for each minute of call.
    `memory`: of each program, in MB, of all calls together.
    """

    calls: int
    turns: Sequence[Turn]
    processor: Mapping[str, float]
    memory: Mapping[str, float]

    def wait(self, q: float) -> float:
        return quantile([turn.wait for turn in self.turns], q)

    @property
    def lost(self) -> int:
        return sum(turn.is_lost for turn in self.turns)

    @property
    def ours(self) -> float:
        """Seconds of processor that the worker's own programs take for a minute of call."""
        return self.processor.get(WORKER, 0.0) + self.processor.get(SPEECH, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """A worker with one call more in each step. `idle`: its memory without a call (MB)."""

    title: str
    idle: float
    steps: Sequence[Step]

    @property
    def carried(self) -> int:
        """The most calls before the knee; 0 if one alone loses sound."""
        held = [step.calls for step in self.steps if not self._is_past(step)]
        return max(held, default=0)

    @property
    def is_past_knee(self) -> bool:
        return self._is_past(self.steps[-1])

    @property
    def best(self) -> Step:
        """The step with the most calls before the knee, or the first."""
        return next((one for one in self.steps if one.calls == self.carried), self.steps[0])

    @property
    def calls_per_core(self) -> float:
        """Calls whose worker and speech one core can do, by the time that they take."""
        return 60 / self.best.ours if self.best.ours else math.nan

    @property
    def megabytes_per_call(self) -> float:
        """Megabytes that one call more takes: the median of what the steps added."""
        taken = [self.idle, *(sum(step.memory.values()) for step in self.steps)]
        return median([after - before for before, after in pairwise(taken)])

    def _is_past(self, step: Step) -> bool:
        return bool(step.lost) or step.wait(0.5) > KNEE * self.steps[0].wait(0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFigures:
    """PostgreSQL under so many workers. `transactions` and `writes` (rows) a second; `cores` that
    it takes; `connections` that they hold. `delays`: of each change, the seconds until each of the
    calls had noticed it.
    """

    workers: int
    calls: int
    transactions: float
    writes: float
    cores: float
    connections: int
    delays: Sequence[Sequence[float]]

    def delay(self, q: float) -> float:
        return quantile([delay for one in self.delays for delay in one], q)

    def seen_by_all(self, q: float) -> float:
        return quantile([max(one) for one in self.delays], q)


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterFigures:
    """Redis with clients that count as fast as they can: `hits` a second, the `cores` of Redis, and
    each client's waits (s).
    """

    hits: float
    cores: float
    waits: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityFigures:
    """All that is measured. `ramps`: ours first, then the bare worker's."""

    ramps: Sequence[Ramp] = ()
    stores: Sequence[StoreFigures] = ()
    counters: CounterFigures | None = None


def capacity_goals(figures: CapacityFigures) -> list[Goal]:
    """Returns the goals of what was measured."""
    goals = []
    if figures.ramps:
        ours, bare = figures.ramps
        goals += [
            Goal(
                "processor of a call, of the bare worker's",
                bare.calls_per_core / ours.calls_per_core,
                MOST_PROCESSOR,
                "times",
                required=False,
            ),
            Goal(
                "memory of a call, of the bare worker's",
                ours.megabytes_per_call / bare.megabytes_per_call,
                MOST_MEMORY,
                "times",
                required=False,
            ),
            Goal(
                "calls fewer than the bare worker's",
                bare.carried - ours.carried,
                0,
                form="g",
                required=False,
            ),
        ]
    if figures.stores:
        most = figures.stores[-1]
        name = f"a change noticed by {most.calls} calls of {most.workers} workers, p99"
        goals.append(Goal(name, most.delay(0.99), NOTICED_WITHIN, "s"))
    return goals


def slope(stores: Sequence[StoreFigures], value: Callable[[StoreFigures], float]) -> float:
    """Returns how much a figure of the store grows with one call more, by its first and last size.

    Of one size alone, its share of a call.
    """
    first, last = stores[0], stores[-1]
    if first.calls == last.calls:
        return value(last) / last.calls
    return (value(last) - value(first)) / (last.calls - first.calls)
