"""The goals and the page of this bench."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.report.goals import Goal, goals_table
from bench.report.page import Page, Picture, Section
from bench.report.picture import draw_lines, figure
from bench.report.table import Table
from bench.store.queries import ANALYTICS, RECORDING, WRITING, Timing

_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
_ANALYTICS_LIMIT = 200.0  # ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A database at one size. `waiting`: attempts that had no summary when it was queried."""

    dialect: str
    attempts: int
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
        goals += [
            _goal(
                f"{stage.name}: slowest analytics, p95 ({slowest.query})",
                slowest.p95,
                _ANALYTICS_LIMIT,
            ),
            _goal(f"{stage.name}: {WRITING}, p50", by_query[WRITING].p50, 500),
            _goal(f"{stage.name}: {RECORDING}, p50", by_query[RECORDING].p50, 0.1),
        ]
    return goals


def _goal(name: str, seconds: float, limit: float) -> Goal:
    return Goal(name, seconds * 1e3, limit, "ms", _form(seconds * 1e3))


def make_page(stages: Sequence[Stage]) -> Page:
    last = largest(stages)
    waiting = max(stage.waiting for stage in last)
    return Page(
        title="Store",
        summary="How long a store full of usage takes to answer, and to write more.",
        command="bench.store --attempts 10000000 --write",
        conditions=f"{last[0].attempts:,} attempts in 30 days on 24 of 100 connections. "
        f"{_METHOD.format(waiting=waiting)}",
        pictures=[
            Picture("Five queries at three sizes, on both databases", partial(_draw, stages))
        ],
        sections=[
            Section("Goals", [_GOALS, goals_table(make_goals(stages))]),
            *(
                Section(f"{of[0].name}, p50 and p95 in ms", [_timings(of)])
                for of in _by_dialect(stages).values()
            ),
            Section("Size", [_SIZE, _sizes(stages)]),
            Section("Query plans", [_PLANS, *(plan for stage in last for plan in _plans(stage))]),
        ],
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


def _sizes(stages: Sequence[Stage]) -> Table:
    rows = [
        [
            stage.name,
            f"{stage.attempts:,}",
            f"{stage.megabytes:,.0f}",
            f"{stage.megabytes * 1e6 / stage.attempts:,.0f}",
        ]
        for stage in stages
    ]
    return Table(("", "attempts", "MB", "bytes an attempt"), rows)


def _by_dialect(stages: Sequence[Stage]) -> dict[str, list[Stage]]:
    return {
        dialect: [stage for stage in stages if stage.dialect == dialect]
        for dialect in dict.fromkeys(stage.dialect for stage in stages)
    }


def _plans(stage: Stage) -> list[str]:
    return [
        f"### {stage.name}: {query}\n\n```\n" + "\n".join(lines) + "\n```"
        for query, lines in stage.plans.items()
    ]


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


_METHOD = """\
SQLite in a file, PostgreSQL on the same machine with its default settings; both guarantee what \
they have stored after a power cut. During the queries, {waiting:,} attempts had no summary yet, \
more than arrive in the 30 seconds between two runs of the summary."""
_GOALS = """\
Of the largest size. Writing happens beside the calls, in batches of one second; recording is what \
a call itself waits for."""
_SIZE = "With all indexes and summaries. Attempts are stored for 30 days, summaries for ever."
_PLANS = """\
Every statement of three queries, as the database explains it: of the log itself, it reads only \
attempts without a summary, by their id, and the latest of a connection, by its index."""
