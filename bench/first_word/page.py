"""The tables, the pictures and the page of this bench."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.first_word.added_time import Times
from bench.first_word.contender_process import CALLERS
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


def case_table(rows: Sequence[Row]) -> Table:
    return make_table(
        rows,
        [
            ("", lambda row: row.contender),
            ("p50 s", lambda row: seconds(row.first_word(0.5))),
            ("p95 s", lambda row: seconds(row.first_word(0.95))),
            ("max s", lambda row: seconds(row.first_word(1))),
            ("gap s", lambda row: seconds(row.longest_gap)),
            ("silence s", lambda row: seconds(row.longest_silence)),
            ("whole", lambda row: percent(row.whole)),
            ("twice", lambda row: str(row.repeats)),
            ("words", lambda row: ratio(row.cost)),
            ("otherwise", _list_other_outcomes),
            ("goals", lambda row: goals_cell(row_goals(row))),
        ],
        last_is_text=True,
    )


def _list_other_outcomes(row: Row) -> str:
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
    healthy = partial(_draw, "When the first model server fails and the spare is healthy", one)
    failing = partial(_draw, "When both model servers fail in this way", both)
    return Page(
        template=Path(__file__).with_name("first_word.md"),
        pictures={"first_word.png": healthy, "first_word_both.png": failing},
        values={
            "flag": " --realtime" if results.realtime else "",
            "versions": list_versions(results.versions),
            "priority": "; with real-time priority" if results.realtime else "",
            "turns": len(results.rows[0].turns),
            "callers": CALLERS,
            "delay": results.delay,
            "primary_first_word": PRIMARY_FIRST_WORD,
            "spare_first_word": SPARE_FIRST_WORD,
            "words": len(REPLY.split()),
            "gap": GAP * 1000,
            "breaks_after": BREAKS_AFTER,
            "warm": WARM,
            "hang_up_after": HANG_UP_AFTER,
            "turn_limit": TURN_LIMIT,
            "healthy_spare": _case_tables(one),
            "failing_spare": _case_tables(both),
            "rounds": len(results.times[0].elapsed),
            "added": added_table(results.times),
        },
    )


def _case_tables(rows: Sequence[Row]) -> dict[str, Table]:
    return {
        f"{case.title[0].upper()}{case.title[1:]}": case_table(
            [row for row in rows if row.case is case]
        )
        for case in {row.case.name: row.case for row in rows}.values()
    }


def _draw(title: str, rows: Sequence[Row], path: Path) -> None:
    columns = list(dict.fromkeys(row.contender for row in rows))
    cases = list(dict.fromkeys(row.case.title for row in rows))

    def heatmap(title: str, figure: Callable[[Row], float], **scale: Any) -> Heatmap:
        values = [[figure(row) for row in rows if row.case.title == case] for case in cases]
        return Heatmap(title=title, values=values, **scale)

    waits = {"form": seconds, "good": 0.2, "bad": HANG_UP_AFTER, "logarithmic": True}
    shares = {"form": percent, "good": 1, "bad": 0}
    costs = {"form": ratio, "good": 1, "bad": 3}
    maps = [
        heatmap("first word, p50 in seconds", lambda row: row.first_word(0.5), **waits),
        heatmap("first word, p95 in seconds", lambda row: row.first_word(0.95), **waits),
        heatmap("the latest first word, in seconds", lambda row: row.first_word(1), **waits),
        heatmap("whole replies", lambda row: row.whole, **shares),
        heatmap("longest gap between words, in seconds", lambda row: row.longest_gap, **waits),
        heatmap("longest silence of the voice, in s", lambda row: row.longest_silence, **waits),
        heatmap("replies without repetition", lambda row: row.once, **shares),
        heatmap("words generated per word received", lambda row: row.cost, **costs),
    ]
    draw_heatmaps(path, title, cases, columns, maps)
