"""The goals and the page of this bench."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.full_store.fill import CONNECTIONS
from bench.report.goals import Goal, goals_table
from bench.report.page import Page
from bench.report.picture import draw_lines, figure
from bench.report.table import Table, make_table
from bench.store.queries import ANALYTICS, CALLS, RECORDING, WRITING, Timing

_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
_ANALYTICS_LIMIT = 200.0  # ms
_CALLS_LIMIT = 1_000.0  # ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A database at one size.

    `used`: connections that have attempts. `waiting`: attempts without a summary when it was
    queried.
    """

    dialect: str
    attempts: int
    used: int
    waiting: int
    megabytes: float
    timings: Sequence[Timing]
    plans: Mapping[str, Sequence[str]]

    @property
    def name(self) -> str:
        return _NAMES[self.dialect]

    def timing(self, query: str) -> Timing | None:
        return next((one for one in self.timings if one.query == query), None)


def largest(stages: Sequence[Stage]) -> list[Stage]:
    most = max(stage.attempts for stage in stages)
    return [stage for stage in stages if stage.attempts == most]


def make_goals(stages: Sequence[Stage]) -> list[Goal]:
    """Returns the goals of the largest size, in milliseconds."""
    goals = []
    for stage in largest(stages):
        by_query = {timing.query: timing for timing in stage.timings}
        slowest = max((by_query[query] for query in ANALYTICS), key=lambda one: one.p95)
        slowest_calls = max((by_query[query] for query in CALLS), key=lambda one: one.p95)
        goals += [
            _goal(
                f"{stage.name}: slowest analytics, p95 ({slowest.query})",
                slowest.p95,
                _ANALYTICS_LIMIT,
            ),
            _goal(
                f"{stage.name}: slowest page of calls, p95 ({slowest_calls.query})",
                slowest_calls.p95,
                _CALLS_LIMIT,
            ),
            _goal(f"{stage.name}: {WRITING}, p50", by_query[WRITING].p50, 500),
            _goal(f"{stage.name}: {RECORDING}, p50", by_query[RECORDING].p50, 0.1),
        ]
    return goals


def _goal(name: str, seconds: float, limit: float) -> Goal:
    return Goal(name, seconds * 1e3, limit, "ms", _form(seconds * 1e3))


def make_page(stages: Sequence[Stage]) -> Page:
    last = largest(stages)
    return Page(
        template=Path(__file__).with_name("store.md"),
        pictures={"store.png": partial(_draw, stages)},
        values={
            "attempts": last[0].attempts,
            "used": last[0].used,
            "connections": max(last[0].used, CONNECTIONS),
            "waiting": max(stage.waiting for stage in last),
            "goals": goals_table(make_goals(stages)),
            "timings": {of[0].name: _timings(of) for of in _by_dialect(stages).values()},
            "sizes": make_table(
                stages,
                [
                    ("", lambda stage: stage.name),
                    ("attempts", lambda stage: f"{stage.attempts:,}"),
                    ("MB", lambda stage: f"{stage.megabytes:,.0f}"),
                    ("bytes an attempt", lambda one: f"{one.megabytes * 1e6 / one.attempts:,.0f}"),
                ],
            ),
            "plans": {
                f"{stage.name}: {query}": "\n".join(["```", *lines, "```"])
                for stage in last
                for query, lines in stage.plans.items()
            },
        },
    )


def _timings(stages: Sequence[Stage]) -> Table:
    rows = [
        [one.query, *(_both(stage.timing(one.query)) for stage in stages)]
        for one in stages[-1].timings
    ]
    return Table(("", *(f"{stage.attempts:,}" for stage in stages)), rows)


def _both(timing: Timing | None) -> str:
    if timing is None:
        return "–"
    return " / ".join(f"{value * 1e3:{_form(value * 1e3)}}" for value in (timing.p50, timing.p95))


def _form(milliseconds: float) -> str:
    return ",.0f" if milliseconds >= 100 else ".1f" if milliseconds >= 1 else ".3f"


def _by_dialect(stages: Sequence[Stage]) -> dict[str, list[Stage]]:
    return {
        dialect: [stage for stage in stages if stage.dialect == dialect]
        for dialect in dict.fromkeys(stage.dialect for stage in stages)
    }


def _draw(stages: Sequence[Stage], path: Path) -> None:
    queries = (ANALYTICS[0], ANALYTICS[4], ANALYTICS[5], ANALYTICS[8], WRITING)
    with figure(path, (18, 4), columns=len(queries), sharey=True) as axes:
        for axis, query in zip(axes, queries, strict=True):
            lines = {
                of[0].name: (
                    [stage.attempts for stage in of],
                    [one.p95 * 1e3 for stage in of if (one := stage.timing(query))],
                )
                for of in _by_dialect(stages).values()
            }
            scales = {"xscale": "log", "yscale": "log", "xlabel": "attempts"}
            draw_lines(axis, query, lines, limit=_ANALYTICS_LIMIT, **scales)
        axes[0].set_ylabel("p95, ms")
        axes[0].legend(frameon=False)
