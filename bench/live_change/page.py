"""The goals and the page of this bench."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from bench.report.goals import Goal
from bench.report.page import Page
from bench.report.table import Table, seconds

Delays = Mapping[str, Sequence[float]]
"""Seconds until a change took effect, by kind of change."""
_LIMIT = 2.0
"""Seconds until a change takes effect, at most."""


def delays_table(delays: Delays) -> Table:
    rows = [[kind, seconds(median(of)), seconds(max(of))] for kind, of in delays.items()]
    return Table(("", "p50, s", "longest, s"), rows)


def make_goals(by_database: Mapping[str, Delays]) -> list[Goal]:
    return [
        Goal(f"{database}: {kind}", max(of), _LIMIT, "s")
        for database, delays in by_database.items()
        for kind, of in delays.items()
    ]


def make_page(by_database: Mapping[str, Delays], rounds: int) -> Page:
    tables = {database: delays_table(delays) for database, delays in by_database.items()}
    return Page(
        template=Path(__file__).with_name("live_change.md"),
        values={"limit": _LIMIT, "rounds": rounds, "delays": tables},
    )
