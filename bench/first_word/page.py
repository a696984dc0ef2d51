"""The tables, the pictures and the page of this bench."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.first_word.added_time import Times
from bench.first_word.contender_process import Callers
from bench.first_word.contenders import WARM
from bench.first_word.goals import added_goals, row_goals
from bench.first_word.turn import Row
from bench.peers.runner import HANG_UP_AFTER, TURN_LIMIT
from bench.report.goals import goals_cell
from bench.report.heatmap import Heatmap, draw_heatmaps
from bench.report.page import Page, list_versions
from bench.report.table import Table, make_table, milliseconds, percent, ratio, seconds
from bench.servers.reply import BREAKS_AFTER, GAP, PRIMARY_FIRST_WORD, REPLY, SPARE_FIRST_WORD


@dataclass(frozen=True, slots=True)
class Results:
    """The results of one run. `times`: the bare stream's first, then ours, then the peers';
    `delay`: the longest scheduling delay of the measuring process (s).
    """

    rows: Sequence[Row]
    times: Sequence[Times]
    versions: Mapping[str, str]
    delay: float
    realtime: bool = False


FIRST_WORD_COLUMNS: Sequence[tuple[str, Callable[[Row], str]]] = (
    ("", lambda row: row.contender),
    ("p50 s", lambda row: seconds(row.first_word(0.5))),
    ("p95 s", lambda row: seconds(row.first_word(0.95))),
    ("max s", lambda row: seconds(row.first_word(1))),
)
"""The first columns of every table of a case: the contender, and how long its callers waited."""


def case_table(rows: Sequence[Row]) -> Table:
    return make_table(
        rows,
        [
            *FIRST_WORD_COLUMNS,
            ("gap s", lambda row: seconds(row.longest_gap)),
            ("silence s", lambda row: seconds(row.longest_silence)),
            ("whole", lambda row: percent(row.whole)),
            ("twice", lambda row: str(row.repeats)),
            ("words", lambda row: ratio(row.cost)),
            ("otherwise", list_other_outcomes),
            ("goals", lambda row: goals_cell(row_goals(row))),
        ],
        last_is_text=True,
    )


def list_other_outcomes(row: Row) -> str:
    """Lists the outcomes of the replies that were not whole, and how often each was."""
    return ", ".join(f"{count} {what}" for what, count in row.outcomes.items() if what != "whole")


def added_table(times: Sequence[Times]) -> Table:
    bare, ours, *_ = times
    return make_table(
        times[1:],
        [
            ("", lambda one: one.product),
            ("p50 ms", lambda one: milliseconds(one.elapsed_over(bare, 0.5))),
            ("p99 ms", lambda one: milliseconds(one.elapsed_over(bare, 0.99))),
            ("work p50 ms", lambda one: milliseconds(one.worked_over(bare, 0.5))),
            ("work p99 ms", lambda one: milliseconds(one.worked_over(bare, 0.99))),
            ("goals", lambda one: goals_cell(added_goals(times)) if one is ours else ""),
        ],
        last_is_text=True,
    )


def make_page(results: Results) -> Page:
    one = [row for row in results.rows if not row.case.strikes_both]
    both = [row for row in results.rows if row.case.strikes_both]
    healthy = partial(
        draw_rows, "When the first model server fails and the spare is healthy", one, _FIGURES
    )
    failing = partial(draw_rows, "When both model servers fail in this way", both, _FIGURES)
    return Page(
        template=Path(__file__).with_name("first_word.md"),
        pictures={"first_word.png": healthy, "first_word_both.png": failing},
        values={
            "flag": " --realtime" if results.realtime else "",
            "versions": list_versions(results.versions),
            "priority": "; with real-time priority" if results.realtime else "",
            "turns": len(results.rows[0].turns),
            "callers": Callers().at_once,
            "delay": results.delay,
            "primary_first_word": PRIMARY_FIRST_WORD,
            "spare_first_word": SPARE_FIRST_WORD,
            "words": len(REPLY.split()),
            "gap": GAP * 1000,
            "breaks_after": BREAKS_AFTER,
            "warm": WARM,
            "hang_up_after": HANG_UP_AFTER,
            "turn_limit": TURN_LIMIT,
            "healthy_spare": tables_by_case(one, case_table),
            "failing_spare": tables_by_case(both, case_table),
            "rounds": len(results.times[0].elapsed),
            "added": added_table(results.times),
        },
    )


def tables_by_case(
    rows: Sequence[Row], table: Callable[[Sequence[Row]], Table]
) -> dict[str, Table]:
    """Makes a table of the rows of each case, by its title."""
    cases = {row.case.name: row.case for row in rows}.values()
    return {
        f"{case.title[0].upper()}{case.title[1:]}": table([row for row in rows if row.case is case])
        for case in cases
    }


Figure = tuple[str, Callable[[Row], float], Mapping[str, Any]]
"""A figure of a row to draw: its title, and the scale of its colours."""
WAIT = {"form": seconds, "good": 0.2, "bad": HANG_UP_AFTER, "logarithmic": True}
SHARE = {"form": percent, "good": 1, "bad": 0}
COST = {"form": ratio, "good": 1, "bad": 3}
_FIGURES: Sequence[Figure] = (
    ("first word, p50 in seconds", lambda row: row.first_word(0.5), WAIT),
    ("first word, p95 in seconds", lambda row: row.first_word(0.95), WAIT),
    ("the latest first word, in seconds", lambda row: row.first_word(1), WAIT),
    ("whole replies", lambda row: row.whole, SHARE),
    ("longest gap between words, in seconds", lambda row: row.longest_gap, WAIT),
    ("longest silence of the voice, in s", lambda row: row.longest_silence, WAIT),
    ("replies without repetition", lambda row: row.once, SHARE),
    ("words generated per word received", lambda row: row.cost, COST),
)


def draw_rows(title: str, rows: Sequence[Row], figures: Sequence[Figure], path: Path) -> None:
    """Draws a heatmap of each figure: a line for each case, a column for each contender."""
    columns = list(dict.fromkeys(row.contender for row in rows))
    cases = list(dict.fromkeys(row.case.title for row in rows))
    maps = [
        Heatmap(
            title=name,
            values=[[figure(row) for row in rows if row.case.title == case] for case in cases],
            **scale,
        )
        for name, figure, scale in figures
    ]
    draw_heatmaps(path, title, cases, columns, maps)
