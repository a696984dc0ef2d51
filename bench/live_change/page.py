"""The goals and the page of this bench."""

from collections.abc import Mapping, Sequence
from statistics import median

from bench.report.goals import Goal
from bench.report.page import Page, Section
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
    return Page(
        title="A change while calls go on",
        summary="The time from the moment a change is stored to the moment it decides the next "
        "turn of a call in another process. PostgreSQL notifies the process at once; SQLite "
        f"cannot, and is polled twice a second. The promise is {_LIMIT:g} seconds.",
        command="bench.live_change --write",
        conditions=f"{rounds} changes of each kind, at random moments.",
        sections=[
            Section(database, [delays_table(delays)]) for database, delays in by_database.items()
        ],
    )
