"""The tables, the picture and the page of the set with one server."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bench.first_word.contenders import WARM
from bench.first_word.goals import WARM as OURS
from bench.first_word.one_server import CALLERS, RETRY_AFTER, row_goals
from bench.first_word.page import (
    COST,
    FIRST_WORD_COLUMNS,
    SHARE,
    WAIT,
    Figure,
    Results,
    draw_rows,
    list_other_outcomes,
    tables_by_case,
)
from bench.first_word.turn import Row
from bench.report.goals import goals_cell
from bench.report.page import Page, list_versions
from bench.report.table import Table, make_table, percent, ratio, seconds
from bench.servers.reply import GAP, PRIMARY_FIRST_WORD, REPLY, SPARE_FIRST_WORD

_PLUGIN = "OpenAI plugin, warm"
_ADAPTER = "FallbackAdapter, warm"
_FIGURES: Sequence[Figure] = (
    ("whole replies", lambda row: row.whole, SHARE),
    ("first word, p95 in seconds", lambda row: row.first_word(0.95), WAIT),
    ("longest silence of the voice, in s", lambda row: row.longest_silence, WAIT),
    ("requests per reply", lambda row: row.requests_per_turn, COST),
)


def case_table(rows: Sequence[Row]) -> Table:
    return make_table(
        rows,
        [
            *FIRST_WORD_COLUMNS,
            ("silence s", lambda row: seconds(row.longest_silence)),
            ("whole", lambda row: percent(row.whole)),
            ("twice", lambda row: str(row.repeats)),
            ("requests", lambda row: ratio(row.requests_per_turn)),
            ("otherwise", list_other_outcomes),
            ("goals", lambda row: goals_cell(row_goals(row))),
        ],
        last_is_text=True,
    )


def summary_table(rows: Sequence[Row]) -> Table:
    """Sets ours beside the plugin: a line for each case."""
    cells = {(row.case.name, row.contender): row for row in rows}
    cases = list({row.case.name: row.case for row in rows}.values())

    def show(contender: str, figure: str, case: str) -> str:
        row = cells[case, contender]
        return percent(row.whole) if figure == "whole" else seconds(row.first_word(0.95))

    def quotient(case: str) -> str:
        ours, theirs = (cells[case, one].first_word(0.95) for one in (OURS, _PLUGIN))
        return ratio(theirs / ours)

    return make_table(
        cases,
        [
            ("", lambda case: case.title),
            ("whole: Patchbay", lambda case: show(OURS, "whole", case.name)),
            ("plugin", lambda case: show(_PLUGIN, "whole", case.name)),
            ("adapter", lambda case: show(_ADAPTER, "whole", case.name)),
            ("p95 s: Patchbay", lambda case: show(OURS, "p95", case.name)),
            ("plugin", lambda case: show(_PLUGIN, "p95", case.name)),
            ("adapter", lambda case: show(_ADAPTER, "p95", case.name)),
            ("plugin to Patchbay", lambda case: quotient(case.name)),
        ],
    )


def make_page(results: Results) -> Page:
    rows = results.rows
    title = "One model server that fails in three requests of ten"
    return Page(
        template=Path(__file__).with_name("one_server.md"),
        pictures={"one_server.png": partial(draw_rows, title, rows, _FIGURES)},
        values={
            "flag": " --realtime" if results.realtime else "",
            "versions": list_versions(results.versions),
            "priority": "; with real-time priority" if results.realtime else "",
            "turns": len(rows[0].turns),
            "delay": results.delay,
            "first_word": PRIMARY_FIRST_WORD,
            "spare_first_word": SPARE_FIRST_WORD,
            "words": len(REPLY.split()),
            "gap": GAP * 1000,
            "warm": WARM,
            "retry_after": RETRY_AFTER,
            "hang_up_after": CALLERS.patience,
            "turn_limit": CALLERS.limit,
            "summary": summary_table(rows),
            "cases": tables_by_case(rows, case_table),
        },
    )
