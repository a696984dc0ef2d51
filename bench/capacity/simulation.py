"""Simulates calls that come, ask and go, and works out how many of each part they need. Pure.

The peaks are simulated, on a clock that jumps: how many calls there are at once, how many replies a
model writes at once, how many calls begin in a second. The rest follows from measured costs.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from llm_router.clock import Clock

SIZES = (100, 1_000, 10_000, 100_000)
"""Calls at once, on average."""
_MOST_TURNS = 200_000
"""Turns in a simulation at most: a longer one shows the same peaks."""
_LONGEST = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """The habits of callers, in seconds. A call lasts `call` on average, and has a question every
    `turn`; the model writes each reply for `reply`.
    """

    call: float = 180.0
    turn: float = 8.0
    reply: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The costs of one call, as measured: `worker` and `media` in cores, `memory` in MB,
    `transactions` a second of the store, each of which takes `transaction` seconds of its
    processor, and database `connections`. `notice`: seconds until one more call has noticed a
    change, after all before it.
    """

    worker: float
    media: float
    memory: float
    transactions: float
    transaction: float
    connections: float
    notice: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """The size of one piece of each part. These are assumptions: put your own in their place.

    `busy`: the share of a processor that may be in use on average, so that turns which coincide
    need not wait.
    """

    worker_cores: float = 8
    worker_memory: float = 32_000
    media_cores: float = 16
    database_cores: float = 32
    database_connections: float = 1_000
    gpu_replies: float = 64
    noticed_within: float = 2.0
    busy: float = 0.6


@dataclass(slots=True)
class Peaks:
    """The most of each at a time: calls, replies in writing, and calls that begin in a second."""

    calls: int = 0
    replies: int = 0
    starts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """The units of a part that are needed; `limit`: of which as many can be had."""

    part: str
    units: float
    limit: float = math.inf

    @property
    def is_out_of_reach(self) -> bool:
        return self.units > self.limit


class Crowd:
    """Calls that come, ask and go on a clock, from `start` on; `peaks` are those so far.

    It begins with `calls` of them, each somewhere in the middle; new ones come at random moments,
    as many as go.
    """

    def __init__(self, calls: int, habits: Habits, clock: Clock, seed: int = 1) -> None:
        self.peaks = Peaks()
        self._average = calls
        self._habits = habits
        self._clock = clock
        self._random = Random(seed)
        self._calls = 0
        self._replies = 0
        self._starts = Counter[int]()

    def start(self) -> None:
        for _ in range(self._average):
            self._begin()
        self._come()

    def _come(self) -> None:
        wait = self._random.expovariate(self._average / self._habits.call)
        self._clock.call_at(self._clock.now() + wait, self._new)

    def _new(self) -> None:
        second = int(self._clock.now())
        self._starts[second] += 1
        self.peaks.starts = max(self.peaks.starts, self._starts[second])
        self._begin()
        self._come()

    def _begin(self) -> None:
        self._calls += 1
        self.peaks.calls = max(self.peaks.calls, self._calls)
        now = self._clock.now()
        # Of a lifetime without memory, the rest is as long as the whole.
        end = now + self._random.expovariate(1 / self._habits.call)
        self._ask_later(now + self._random.uniform(0, self._habits.turn), end)

    def _ask_later(self, at: float, end: float) -> None:
        if at < end:
            self._clock.call_at(at, lambda: self._ask(end))
        else:
            self._clock.call_at(end, self._leave)

    def _ask(self, end: float) -> None:
        self._replies += 1
        self.peaks.replies = max(self.peaks.replies, self._replies)
        now = self._clock.now()
        self._clock.call_at(now + self._habits.reply, self._answered)
        self._ask_later(now + self._habits.turn, end)

    def _answered(self) -> None:
        self._replies -= 1

    def _leave(self) -> None:
        self._calls -= 1


async def simulate(calls: int, habits: Habits, clock: Clock) -> Peaks:
    """Returns the peaks of up to ten minutes, shorter for many calls."""
    crowd = Crowd(calls, habits, clock)
    crowd.start()
    await clock.sleep(min(_LONGEST, _MOST_TURNS * habits.turn / calls))
    return crowd.peaks


def needs(peaks: Peaks, costs: Costs, units: Units) -> Sequence[Need]:
    """Returns how many units of each part the peaks need.

    Workers, media servers and GPUs can be had in any number; the store has one writer.
    """
    cores = units.worker_cores * units.busy
    transactions = peaks.calls * costs.transactions
    database = units.database_cores * units.busy
    return [
        Need(part="worker machines, by processor", units=peaks.calls * costs.worker / cores),
        Need(
            part="worker machines, by memory",
            units=peaks.calls * costs.memory / units.worker_memory,
        ),
        Need(
            part="media servers",
            units=peaks.calls * costs.media / (units.media_cores * units.busy),
        ),
        Need(part="GPUs", units=peaks.replies / units.gpu_replies),
        Need(
            part="store: connections",
            units=peaks.calls * costs.connections / units.database_connections,
            limit=1,
        ),
        Need(part="store: processor", units=transactions * costs.transaction / database, limit=1),
        Need(
            part="change feed: time to all calls",
            units=peaks.calls * costs.notice / units.noticed_within,
            limit=1,
        ),
    ]


def binding(found: Sequence[Need]) -> Need:
    """Returns the part that binds: of those out of reach the one furthest, else the one nearest to
    its limit, else the one of which most is needed.
    """
    bounded = [need for need in found if need.limit < math.inf]
    nearest = max(bounded, key=lambda need: need.units / need.limit)
    return nearest if nearest.is_out_of_reach else max(found, key=lambda need: need.units)
