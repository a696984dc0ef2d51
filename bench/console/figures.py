"""Figures of the console's pages, and the goals for them. No I/O."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.report.goals import Goal
from bench.report.quantiles import median, quantile

NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
INTERACTIVE_WITHIN = 1.0
"""Seconds from a page's last data to its answer to a key press."""
LONGEST_TASK = 0.1
"""Seconds for which the live board may answer nothing."""
FIRST_PAGE = 200_000
"""Bytes, compressed, that the first page of the console may load."""
REQUEST_WITHIN = 1.0
"""Seconds in which a request should be answered."""
SLOW_KEY = 0.1
"""Seconds from which on an answer to a key press is felt to be late."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key press: when it was made, and when the next picture was drawn after it (s)."""

    pressed: float
    painted: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One visit of a page. Times in seconds since the navigation began.

    `shown`: when its content was drawn. `requests`: each with its duration, and when the last byte
    had come; infinity for one that was given up. `tasks`: lengths of those of more than 50 ms.
    """

    shown: float
    requests: Sequence[tuple[str, float, float]]
    keys: Sequence[Key]
    tasks: Sequence[float]

    @property
    def data(self) -> float:
        """When the last data had come."""
        ends = [came for _, _, came in self.requests if math.isfinite(came)]
        return max(ends, default=math.nan)

    @property
    def interactive(self) -> float:
        """When the page was drawn with its data, and answered every later key press at once."""
        later = [key for key in self.keys if key.painted >= self.data]
        if not later:
            return math.inf
        slow = [key.painted for key in later if key.painted - key.pressed > SLOW_KEY]
        answered = min(key.painted for key in later if key.painted >= max(slow, default=0.0))
        return max(answered, self.shown)

    @property
    def after_data(self) -> float:
        return self.interactive - self.data

    @property
    def longest_task(self) -> float:
        return max(self.tasks, default=0.0)

    @property
    def slowest_request(self) -> tuple[str, float]:
        slowest = max(self.requests, key=lambda one: one[1], default=("", math.nan, 0.0))
        return slowest[:2]


@dataclass(frozen=True, slots=True)
class PageFigures:
    title: str
    visits: Sequence[Visit]

    @property
    def interactive(self) -> float:
        return median([visit.interactive for visit in self.visits])

    @property
    def after_data(self) -> float:
        """Of the slowest visit."""
        return max(visit.after_data for visit in self.visits)

    @property
    def longest_task(self) -> float:
        return max(visit.longest_task for visit in self.visits)

    @property
    def slowest_request(self) -> tuple[str, float]:
        """The slowest request of the median visit, so that one late answer says nothing."""
        slowest = sorted((visit.slowest_request for visit in self.visits), key=lambda one: one[1])
        return slowest[(len(slowest) - 1) // 2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The board while calls go on. `written`: changes of calls a second; `drawn`: changes of its
    rows a second. Times in seconds.
    """

    calls: int
    seconds: float
    written: float
    drawn: float
    tasks: Sequence[float]
    keys: Sequence[Key]

    @property
    def longest_task(self) -> float:
        """NaN if nothing was drawn: then nothing was measured."""
        return max(self.tasks, default=0.0) if self.drawn else math.nan

    @property
    def key_p95(self) -> float:
        waits = [key.painted - key.pressed for key in self.keys]
        return quantile(waits, 0.95) if waits else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """The measurements over one database. `first_page`: bytes, compressed."""

    dialect: str
    pages: Sequence[PageFigures]
    first_page: int
    board: Board | None = None

    @property
    def name(self) -> str:
        return NAMES[self.dialect]

    @property
    def by_title(self) -> Mapping[str, PageFigures]:
        return {page.title: page for page in self.pages}


def console_goals(found: Sequence[Results]) -> list[Goal]:
    goals = []
    for results in found:
        slowest = max(results.pages, key=lambda page: page.after_data)
        asked = max(results.pages, key=lambda page: page.slowest_request[1])
        name = results.name
        goals += [
            Goal(
                f"{name}: interactive after its data, slowest page ({slowest.title})",
                slowest.after_data, INTERACTIVE_WITHIN, "s",
            ),
            Goal(
                f"{name}: slowest request ({asked.title})",
                asked.slowest_request[1], REQUEST_WITHIN, "s", required=False,
            ),
            Goal(f"{name}: first page, compressed", results.first_page, FIRST_PAGE, "bytes", ",d"),
        ]  # fmt: skip
        if results.board:
            longest = results.board.longest_task
            goals.append(
                Goal(f"{name}: longest task of the live board", longest, LONGEST_TASK, "s")
            )
    return goals
