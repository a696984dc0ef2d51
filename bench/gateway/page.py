"""The goals and the page of this bench."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from bench.gateway.load import LONGEST
from bench.gateway.measure import ONE_IN, PACED, Run
from bench.gateway.model import GAP, THINKS, WORDS
from bench.report.goals import Goal, goals_table
from bench.report.page import Page, list_versions
from bench.report.picture import COLOURS, Line, draw_lines, figure
from bench.report.table import Table, make_table, milliseconds

OURS, PEER, RELAY, NONE = "Patchbay", "LiteLLM", "bare relay", "no gateway"
JUDGED_AT = 100
"""Streams at once for which the promises hold."""


def make_goals(runs: Sequence[Run]) -> list[Goal]:
    """Returns the promises that the gateways of the run can be judged by."""
    fast = [run for run in runs if run.pace != PACED]
    paced = {run.name: run for run in runs if run.pace == PACED}
    sizes = {run.callers for run in fast}
    at = JUDGED_AT if JUDGED_AT in sizes else max(sizes)
    well = {run.name: run for run in fast if run.callers == at and not run.is_breaking}
    lost = sum(len(run.streams) - run.whole for run in runs if run.name == OURS)
    goals = [Goal("replies of ours that were not whole", lost, 0, form=",.0f")]
    if PEER in well:
        share = well[PEER].per_core / well[OURS].per_core
        gaps = well[OURS].gap(0.99) / well[PEER].gap(0.99)
        goals += [
            Goal(f"{PEER}'s streams a core over ours, {at} streams", share, 0.2),
            Goal(f"our p99 gap over {PEER}'s, {at} streams", gaps, 1.0),
        ]
    for other, what in ((NONE, "first word added at p99"), (RELAY, "the same beyond the relay's")):
        if other in paced:
            added = paced[OURS].ways(0.99) - paced[other].ways(0.99)
            goals.append(
                Goal(f"{what}, {JUDGED_AT} streams", added * 1e3, 1.0, "ms", required=False)
            )
    return goals


def make_page(runs: Sequence[Run], versions: Mapping[str, str]) -> Page:
    fast = [run for run in runs if run.pace != PACED]
    paced = [run for run in runs if run.pace == PACED]
    return Page(
        template=Path(__file__).with_name("gateway.md"),
        pictures={"gateway.png": partial(_draw, fast)},
        values={
            "versions": list_versions(versions),
            "words": len(WORDS),
            "thinks": THINKS * 1e3,
            "gap": GAP * 1e3,
            "paced_gap": PACED * 1e3,
            "paced_words": JUDGED_AT / PACED,
            "fast_words": JUDGED_AT / GAP,
            "judged_at": JUDGED_AT,
            "one_in": ONE_IN,
            "longest": LONGEST,
            "goals": goals_table(make_goals(runs)),
            "paced": make_table(paced, _PACED),
            "well": _table([run for run in fast if not run.is_breaking], _WELL),
            "breaking": _table([run for run in fast if run.is_breaking], _BREAKING),
        },
    )


_Columns = Sequence[tuple[str, Callable[[Run], str]]]
_SHARED: _Columns = (
    ("streams", lambda run: str(run.callers)),
    ("gateway", lambda run: run.name),
)
_WELL: _Columns = (
    ("streams/s a core", lambda run: _number(run.per_core, ",.1f")),
    ("gap p50 ms", lambda run: milliseconds(run.gap(0.5))),
    ("gap p99 ms", lambda run: milliseconds(run.gap(0.99))),
    ("fidelity", lambda run: _number(run.fidelity, ".3f")),
    ("first word p50 ms", lambda run: milliseconds(run.first_word(0.5))),
    ("p99 ms", lambda run: milliseconds(run.first_word(0.99))),
    ("kB a stream", lambda run: _number(run.memory / 1e3 if run.work else math.nan, ",.0f")),
)
_PACED: _Columns = (
    ("gateway", lambda run: run.name),
    ("replies", lambda run: str(len(run.streams))),
    ("whole", lambda run: str(run.whole)),
    ("way in p50 ms", lambda run: milliseconds(run.way_in(0.5))),
    ("p99 ms", lambda run: milliseconds(run.way_in(0.99))),
    ("way out p50 ms", lambda run: milliseconds(run.way_out(0.5))),
    ("p99 ms", lambda run: milliseconds(run.way_out(0.99))),
    ("both p50 ms", lambda run: milliseconds(run.ways(0.5))),
    ("p99 ms", lambda run: milliseconds(run.ways(0.99))),
    ("gap p99 ms", lambda run: milliseconds(run.gap(0.99))),
    (
        "work a stream ms",
        lambda run: _number((run.work or math.nan) * 1e3 / len(run.streams), ".1f"),
    ),
)
_BREAKING: _Columns = (
    ("replies", lambda run: str(len(run.streams))),
    ("that broke", lambda run: str(run.broken)),
    ("whole", lambda run: str(run.whole)),
    ("streams/s a core", lambda run: _number(run.per_core, ",.1f")),
    ("gap p99 ms", lambda run: milliseconds(run.gap(0.99))),
)


def _table(runs: Sequence[Run], columns: _Columns) -> Table:
    return make_table(runs, [*_SHARED, *columns])


def _number(value: float, form: str) -> str:
    return "–" if math.isnan(value) else f"{value:{form}}"


def _draw(runs: Sequence[Run], path: Path) -> None:
    well = [run for run in runs if not run.is_breaking]
    names = sorted({run.name for run in runs})
    pictures: Sequence[tuple[str, Callable[[Run], float], bool]] = (
        ("streams/s a core", lambda run: run.per_core, True),
        ("gap between pieces, p99 in ms", lambda run: run.gap(0.99) * 1e3, False),
        ("first word, p99 in ms", lambda run: run.first_word(0.99) * 1e3, False),
    )
    with figure(path, (15, 4.4), columns=len(pictures)) as axes:
        for axis, (title, value, is_of_work) in zip(axes, pictures, strict=True):
            shown = [run for run in well if run.work or not is_of_work]
            lines = {
                name: _line([run for run in shown if run.name == name], value)
                for name in dict.fromkeys(run.name for run in shown)
            }
            draw_lines(
                axis,
                title,
                lines,
                colours=[COLOURS[names.index(name)] for name in lines],
                xscale="log",
                yscale="log",
                xlabel="streams at once",
            )
            axis.legend(frameon=False, fontsize=8)


def _line(runs: Sequence[Run], value: Callable[[Run], float]) -> Line:
    return [run.callers for run in runs], [value(run) for run in runs]
