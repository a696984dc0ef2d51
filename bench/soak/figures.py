"""Samples of what a process holds while it works, and the goals for them."""

import asyncio
import gc
import itertools
import os
import resource
import statistics
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.report.goals import Goal
from bench.soak.calls import Load

MEGABYTE = 1e6
LONG_ENOUGH = 600.0
"""Seconds of traffic after which spells of faults have evened out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """`at`: seconds from the beginning. `sockets`: file descriptors of any kind. `objects`: those
    that the garbage collector tracks and that were made since `gc.freeze`. `streams`: replies that
    the servers are sending.
    """

    at: float
    megabytes: float
    tasks: int
    sockets: int
    threads: int
    objects: int
    streams: int


KINDS = ("megabytes", "tasks", "sockets", "threads", "objects", "streams")


def take_sample(at: float, streams: int) -> Sample:
    # Only objects that cannot be freed matter. After `gc.freeze` this takes milliseconds.
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return Sample(
        at=at,
        megabytes=pages * resource.getpagesize() / MEGABYTE,
        tasks=len(asyncio.all_tasks()),
        sockets=len(os.listdir("/proc/self/fd")) - 1,  # noqa: PTH208  Path.iterdir would hide that its own handle is one of them
        threads=threading.active_count(),
        objects=len(gc.get_objects()),
        streams=streams,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Samples without traffic. `closed`: before the router was opened and after it was closed;
    `open`: before its first turn and after its last.
    """

    closed: tuple[Sample, Sample]
    open: tuple[Sample, Sample]


@dataclass(frozen=True, slots=True, kw_only=True)
class Soak:
    load: Load
    turns: int
    samples: Sequence[Sample]
    idle: Idle
    attempts: Counter[str]
    replies: Counter[str]

    def column(self, kind: str) -> list[float]:
        return [float(getattr(one, kind)) for one in self.settled]

    @property
    def settled(self) -> Sequence[Sample]:
        """The samples without the first quarter, in which caches fill."""
        return self.samples[len(self.samples) // 4 :]

    def growth(self, kind: str) -> float:
        """Returns the growth from the first settled sample to the last, along their trend."""
        times = [one.at for one in self.settled]
        return trend(times, self.column(kind)) * (times[-1] - times[0])


def trend(times: Sequence[float], values: Sequence[float]) -> float:
    """Returns the median of the slopes between all pairs (Theil 1950, Sen 1968).

    A few outliers do not change it, such as moments in which many speak at once.
    """
    pairs = itertools.combinations(zip(times, values, strict=True), 2)
    return statistics.median((b - a) / (u - t) for (t, a), (u, b) in pairs)


_CACHED = 500
"""Objects that stay in caches, however long a run is."""


def leftover_goals(soak: Soak) -> list[Goal]:
    before, after = soak.idle.closed
    opened, rested = soak.idle.open
    left_over = max(0, after.objects - before.objects - _CACHED)
    return [
        Goal("tasks left when the traffic has ended", rested.tasks - opened.tasks, 0),
        Goal("tasks left when the router is closed", after.tasks - before.tasks, 0),
        Goal("sockets left when the router is closed", after.sockets - before.sockets, 0),
        Goal("threads left when the router is closed", after.threads - before.threads, 0),
        Goal("replies left open at the servers", rested.streams, 0),
        Goal("objects left by a turn", left_over / soak.turns, 1.0),
    ]


def make_goals(soak: Soak) -> list[Goal]:
    """Returns the goals. Growth in traffic is judged in a long run only: in a short one, a spell of
    faults looks the same.
    """
    left = [
        *leftover_goals(soak),
        Goal("growth of memory", soak.growth("megabytes"), 3.0, "MB"),
    ]
    if soak.load.seconds < LONG_ENOUGH:
        return left
    return [*left, *(_growth_goal(soak, kind) for kind in KINDS if kind != "megabytes")]


def _growth_goal(soak: Soak, kind: str) -> Goal:
    """Limits growth to the range of the middle half; steady growth is twice that."""
    lower, _, upper = statistics.quantiles(soak.column(kind), n=4)
    return Goal(f"growth of {kind}, against their usual range", soak.growth(kind), upper - lower)


def usual(soak: Soak, kind: str) -> float:
    """Returns the median in traffic."""
    return statistics.median(soak.column(kind))
