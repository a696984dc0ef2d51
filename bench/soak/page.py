"""The page of this bench."""

from collections import Counter
from functools import partial
from pathlib import Path

from bench.report.goals import goals_table
from bench.report.page import Page
from bench.report.picture import COLOURS, GREY, add_grid, figure
from bench.report.table import Table, make_table
from bench.soak.figures import KINDS, Sample, Soak, make_goals, usual

_TITLES = {
    "megabytes": "resident memory, MB",
    "tasks": "asyncio tasks",
    "sockets": "file descriptors",
    "threads": "threads",
    "objects": "objects made since the start",
    "streams": "replies being sent by the servers",
}


def make_page(soak: Soak) -> Page:
    return Page(
        template=Path(__file__).with_name("soak.md"),
        pictures={"soak.png": partial(draw, soak)},
        values={
            "traffic": soak.load,
            "turns": soak.turns,
            "samples": len(soak.samples),
            "seed": soak.load.seed,
            "goals": goals_table(make_goals(soak)),
            "held": held(soak),
            "replies": counts("replies", soak.replies),
            "attempts": counts("attempts", soak.attempts),
        },
    )


def held(soak: Soak) -> Table:
    def value(sample: Sample, kind: str) -> str:
        return f"{getattr(sample, kind):,.0f}"

    closed = soak.idle.closed
    opened = soak.idle.open
    return make_table(
        KINDS,
        [
            ("", lambda kind: _TITLES[kind]),
            ("closed", lambda kind: value(closed[0], kind)),
            ("idle", lambda kind: value(opened[0], kind)),
            ("in traffic", lambda kind: f"{usual(soak, kind):,.0f}"),
            ("idle after", lambda kind: value(opened[1], kind)),
            ("closed after", lambda kind: value(closed[1], kind)),
        ],
    )


def counts(name: str, counter: Counter[str]) -> Table:
    return Table(("", name), [[what, f"{number:,}"] for what, number in counter.most_common()])


def draw(soak: Soak, path: Path) -> None:
    minutes = [one.at / 60 for one in soak.samples]
    with figure(path, (14, 6), rows=2, columns=3, sharex=True) as axes:
        for axis, kind in zip(axes, KINDS, strict=True):
            values = [getattr(one, kind) for one in soak.samples]
            axis.plot(minutes, values, color=COLOURS[0], linewidth=0.8)
            axis.axhline(usual(soak, kind), color=GREY, linestyle="--", linewidth=1)
            axis.set(title=_TITLES[kind], ylim=(0, 1.25 * max(1, *values)))
            add_grid(axis)
        for axis in axes[3:]:
            axis.set_xlabel("minutes")
