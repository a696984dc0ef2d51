"""The page of this bench."""

from pathlib import Path

from bench.report.goals import goals_table
from bench.report.page import Page
from bench.report.table import Table, make_table, seconds
from bench.widget.figures import Results, Waits, statuses, widget_goals


def make_page(results: Results) -> Page:
    flood = results.flood
    return Page(
        template=Path(__file__).with_name("widget.md"),
        values={
            "waits": waits_table(results),
            "flood": statuses(flood) if flood else "not measured",
            "sizes": sizes_table(results),
            "goals": goals_table(widget_goals(results)),
        },
    )


def waits_table(results: Results) -> Table:
    rows = [*results.typed, results.voice]
    if results.crowd:
        rows += [results.crowd.waits, results.crowd.in_pages]

    def count(row: Waits) -> str:
        return str(len(row.times))

    return make_table(
        rows,
        [
            ("", lambda row: row.title),
            ("times", count),
            ("p50, s", lambda row: seconds(row.at(0.5))),
            ("p95, s", lambda row: seconds(row.at(0.95))),
            ("max, s", lambda row: seconds(row.at(1.0))),
        ],
    )


def sizes_table(results: Results) -> Table:
    return make_table(
        list(results.sizes.items()),
        [("", lambda row: row[0]), ("bytes (gzip)", lambda row: f"{row[1]:,}")],
    )
