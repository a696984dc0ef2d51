"""The tables and the page of this bench."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.report.goals import Goal, goals_cell
from bench.report.page import Page
from bench.report.table import Table, make_table, ratio, seconds
from bench.voice.calls import SENTENCES
from bench.voice.crowd import CALLERS, MOST, Crowd, crowd_goals
from bench.voice.failing import (
    LONGEST_PAUSE,
    LONGEST_WAIT,
    SLOW,
    FailingRow,
    failing_goals,
    wait_of,
)
from bench.voice.picture import draw
from bench.voice.recording import Recording
from bench.voice.turns import STAGES, Row, wait_goals
from bench.voice.variants import ANSWER, FIRST_TOKEN, GAP, OURS, OURS_FAILING, STOCK, STOCK_FAILING
from tests.voice.caller import VOICES
from tests.voice.replies import FAILURE_CASES, REPLY


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """The results of one run. `load`: tasks that wanted a processor before and at the end, averaged
    over a minute. `delay`: the longest scheduling delay of the caller's process (s).
    """

    rows: Sequence[Row]
    failing: Sequence[FailingRow]
    crowd: Crowd | None
    recording: Recording | None
    load: tuple[float, float]
    delay: float

    @property
    def goals(self) -> list[Goal]:
        ours = [row for row in self.rows if row.variant == OURS]
        return [
            *(goal for row in ours for goal in wait_goals(row)),
            *failing_goals(self.failing),
            *crowd_goals(self.crowd),
        ]


def waits_table(rows: Sequence[Row]) -> Table:
    stock = _find(rows, STOCK.name)
    return make_table(
        rows,
        [
            ("", lambda row: row.variant.title),
            ("p50 s", lambda row: seconds(row.wait(0.5))),
            ("p95 s", lambda row: seconds(row.wait(SLOW))),
            ("max s", lambda row: seconds(row.wait(1))),
            ("p50 of stock", lambda row: ratio(row.wait(0.5) / stock.wait(0.5)) if stock else ""),
            ("requests", lambda row: f"{row.requests:.1f}"),
            ("talked over", lambda row: str(row.talked_over)),
            ("goal", lambda row: goals_cell(wait_goals(row)) if row.variant == OURS else ""),
        ],
        last_is_text=True,
    )


def stages_table(rows: Sequence[Row]) -> Table:
    """The medians of each variant, and the turn of ours that represents the slow ones."""
    cells = []
    for row in rows:
        cells.append([row.variant.title, *(seconds(row.stage(name)) for name in STAGES)])
        slow = row.turn_at(SLOW)
        if row.variant == OURS and slow:
            stages = [seconds(slow.stages.get(name, math.nan)) for name in STAGES]
            cells.append(["ours, the turn at p95", *stages])
    return Table(("after the last sound, s", *STAGES.values()), cells)


def failing_table(rows: Sequence[FailingRow]) -> Table:
    """A row for each fault: ours, then LiveKit's."""
    ways = (OURS_FAILING, STOCK_FAILING)
    measured = [name for name in FAILURE_CASES if any(row.failing == name for row in rows)]
    cells = [
        [
            FAILURE_CASES[name].title,
            *_failing_cells([row for row in rows if row.failing == name], ways),
        ]
        for name in measured
    ]
    if measured:
        cells.append(["all together", *_failing_cells(rows, ways)])
    columns = ("p50 s", "p95 s", "longest pause s", "whole")
    return Table(("when the model", *columns, *columns), cells)


def _failing_cells(rows: Sequence[FailingRow], ways: Sequence[object]) -> list[str]:
    return [
        cell for way in ways for cell in _way_cells([row for row in rows if row.variant == way])
    ]


def _way_cells(rows: Sequence[FailingRow]) -> list[str]:
    if not rows:
        return ["–"] * 4
    pause = max((row.pause for row in rows if row.whole), default=math.nan)
    turns = sum(len(row.answers) for row in rows)
    return [
        *(seconds(wait_of(rows, q)) for q in (0.5, SLOW)),
        seconds(pause),
        f"{sum(row.whole for row in rows)} of {turns}",
    ]


def crowd_table(crowd: Crowd) -> Table:
    """The waits of one caller at a time and of several, with the medians of the stages that a call
    has to itself: the calls share the model.
    """
    own = [name for name in STAGES if name not in {"requested", "first_word", "audible"}]
    *fewer, (most, _) = sorted(crowd.together.items())
    cells = [
        [
            title,
            *(seconds(row.wait(q)) for q in (0.5, SLOW, 1)),
            *(seconds(row.stage(name)) for name in own),
            str(row.talked_over),
            goal,
        ]
        for title, row, goal in (
            ("one caller at a time", crowd.alone, ""),
            *((f"{callers} callers at once", row, "") for callers, row in fewer),
            (f"{most} callers at once", crowd.together[most], goals_cell(crowd_goals(crowd))),
        )
    ]
    titles = ("p50 s", "p95 s", "max s", *(STAGES[name] for name in own), "talked over")
    return Table(("", *titles, "goal"), cells, last_is_text=True)


def _gains_table(rows: Sequence[Row]) -> Table:
    """The waits without one setting of ours, against those with it."""
    ours = _find(rows, OURS.name)
    cells = [
        [row.variant.title, *(f"{row.wait(q) - ours.wait(q):+.2f}" for q in (0.5, SLOW))]
        for row in rows
        if ours and row is not ours and not row.variant.stock
    ]
    return Table(("against ours", "p50 s", "p95 s"), cells)


def _find(rows: Sequence[Row], name: str) -> Row | None:
    return next((row for row in rows if row.variant.name == name), None)


# ── The page ─────────────────────────────────────────────────────────────────────────────────────


def make_page(results: Results) -> Page:
    rows = results.rows
    return Page(
        template=Path(__file__).with_name("voice_turn.md"),
        pictures={
            "voice_turn.png": partial(draw, rows, results.failing, results.recording),
        },
        values={
            "turns": min(len(row.turns) for row in rows),
            "before": results.load[0],
            "after": results.load[1],
            "delay": results.delay,
            "sentences": len(SENTENCES),
            "first_token": FIRST_TOKEN,
            "gap": GAP * 1000,
            "answer": ANSWER,
            "reply": REPLY,
            "longest_wait": LONGEST_WAIT,
            "longest_pause": LONGEST_PAUSE,
            "waits": waits_table(rows),
            "failing": failing_table(results.failing),
            "stages": stages_table(rows),
            "gains": _gains_table(rows),
            "callers": CALLERS,
            "most": MOST,
            "crowd": crowd_table(results.crowd) if results.crowd else "",
            "voices": len(VOICES),
        },
    )
