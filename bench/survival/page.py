"""The page of this bench."""

from collections.abc import Sequence
from pathlib import Path

from bench.report.goals import goals_table
from bench.report.page import Page
from bench.report.table import Table, make_table, seconds
from bench.survival.figures import CaseRow, survival_goals


def make_page(rows: Sequence[CaseRow]) -> Page:
    return Page(
        template=Path(__file__).with_name("survival.md"),
        values={
            "deaths": sum(len(row.outcomes) for row in rows),
            "cases": cases_table(rows),
            "goals": goals_table(survival_goals(rows)),
        },
    )


def cases_table(rows: Sequence[CaseRow]) -> Table:
    def most(row: CaseRow, name: str) -> str:
        return str(max((getattr(one, name) for one in row.outcomes), default=0))

    return make_table(
        rows,
        [
            ("", lambda row: row.case.title),
            ("calls", lambda row: str(len(row.outcomes))),
            ("silence p50, s", lambda row: seconds(row.silence(0.5))),
            ("silence max, s", lambda row: seconds(row.silence(1.0))),
            ("words twice", lambda row: most(row, "doubled")),
            ("words lost", lambda row: most(row, "lost")),
            ("two voices, s", lambda row: seconds(row.most_together)),
            ("agents in the room", lambda row: most(row, "agents")),
            ("left over", lambda row: most(row, "left_over")),
            ("runs of the tool", lambda row: most(row, "runs") if row.case.has_tool else "-"),
        ],
    )
