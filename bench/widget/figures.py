"""Figures of visitors with the widget, and the goals for them. No I/O."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.report.goals import Goal
from bench.report.quantiles import quantile

READS_WITHIN = 0.4
"""Seconds from a typed message to the first word of its answer, p95."""
HEARS_WITHIN = 1.5
"""Seconds from the press on Talk to the first sound."""
CROWD_READS_WITHIN = 3.0
"""Seconds, p95, for many who type at the same moment on one machine with all the rest."""
MEMORY_EACH = 3.0
"""Megabytes of the HTTP process that one more typed conversation may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """How long visitors waited (s), of one kind; infinity for one who waited in vain."""

    title: str
    times: Sequence[float]

    def at(self, q: float) -> float:
        return quantile(self.times, q) if self.times else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """Requests for tokens in a minute. `page`: how long the page took meanwhile, each time (s).

    `answers`: by their status. `rooms`: that were opened. `seconds`: for all of them.
    """

    answers: Mapping[int, int]
    page: Sequence[float]
    rooms: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Many visitors who typed at once. `waits`: without browsers; `in_pages`: each in a page, where
    the browsers share the machine with the server. `jobs`: call processes that this started.
    `memory`: of the HTTP process, for each of them (MB).
    """

    waits: Waits
    in_pages: Waits
    jobs: int
    memory: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    typed: Sequence[Waits]
    voice: Waits
    crowd: Crowd | None = None
    flood: Flood | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Bytes (gzip) that a visitor's browser loads, by the moment."""


def statuses(flood: Flood) -> str:
    """Returns how often each status was answered, the most frequent first."""
    counts = Counter(flood.answers).most_common()
    return ", ".join(f"{count} × {status}" for status, count in counts)


def widget_goals(results: Results) -> list[Goal]:
    goals = [
        Goal(f"first word read, p95: {each.title}", each.at(0.95), READS_WITHIN, "s")
        for each in results.typed
    ]
    goals.append(Goal("first sound from the press, p95", results.voice.at(0.95), HEARS_WITHIN, "s"))
    if results.crowd:
        crowd = results.crowd
        goals += [
            Goal(
                "first word read, p95: all at once", crowd.waits.at(0.95), CROWD_READS_WITHIN, "s"
            ),
            Goal("call processes for typed words", crowd.jobs, 0, form="g"),
            Goal("memory of a typed conversation", crowd.memory, MEMORY_EACH, "MB"),
        ]
    if results.flood:
        flood = results.flood
        goals += [
            Goal("rooms opened by a flood", flood.rooms, 0, form="g"),
            Goal("page during a flood, p95", quantile(flood.page, 0.95), 1.0, "s"),
            Goal("seconds for the flood", flood.seconds, 60.0, "s", form=".0f"),
        ]
    return goals
