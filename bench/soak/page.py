"""The page of this bench."""

from collections import Counter
from functools import partial
from pathlib import Path

from bench.report.goals import goals_table
from bench.report.page import Page, Picture, Section
from bench.report.picture import COLOURS, GREY, add_grid, figure
from bench.report.table import Table
from bench.soak.figures import KINDS, Soak, make_goals, usual

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
        title="Soak",
        summary="Whether a router holds no more after a long run of faults than before.",
        command="bench.soak --minutes 30 --write",
        conditions=f"{soak.load}, {soak.turns:,} turns, {len(soak.samples)} samples, seed "
        f"{soak.load.seed}.\n\n{_METHOD}",
        pictures=[Picture("What the process held, minute by minute", partial(_draw, soak))],
        sections=[
            Section("Goals", [_GOALS, goals_table(make_goals(soak))]),
            Section("Resources held", [_HELD, _held(soak)]),
            Section("How replies ended", [_REPLIES, _counts("replies", soak.replies)]),
            Section("How attempts ended", [_ATTEMPTS, _counts("attempts", soak.attempts)]),
        ],
    )


def _held(soak: Soak) -> Table:
    closed, opened = soak.idle.closed, soak.idle.open
    rows = []
    for kind in KINDS:
        idle = [getattr(one, kind) for one in (closed[0], opened[0], opened[1], closed[1])]
        values = [*idle[:2], usual(soak, kind), *idle[2:]]
        rows.append([_TITLES[kind], *(f"{value:,.0f}" for value in values)])
    return Table(("", "closed", "idle", "in traffic", "idle after", "closed after"), rows)


def _counts(name: str, counter: Counter[str]) -> Table:
    return Table(("", name), [[what, f"{number:,}"] for what, number in counter.most_common()])


def _draw(soak: Soak, path: Path) -> None:
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


_METHOD = """\
A quarter of the turns is interrupted by the caller, some ask for a tool. Three model servers in \
another process fail at random, in spells, in all the ways that `llm_router.testing.server` knows; \
a fourth is never there. The router is opened as in a call's process: behind LiveKit's stream \
layer, with a scoreboard, Prometheus and OpenTelemetry. Rejected keys are renewed every ten \
seconds; otherwise all servers would soon be out of use."""
_GOALS = """\
Leftovers are compared exactly. Growth is the trend of the samples, without the first quarter, \
from the first to the last: the median of the slopes between all pairs (Theil and Sen), so that \
moments in which many speak at once do not count as growth. It may be no more than the range of \
the middle half of the samples: a figure that only grows does so by twice that. Runs of less than \
ten minutes are judged by leftovers and memory alone."""
_HELD = """\
**Closed**: before the router was opened and after it was closed; **idle**: it is open and has no \
traffic; **in traffic**: the median. HTTP connections stay open for the next question, so idle \
after the traffic there are more sockets than before it."""
_REPLIES = """\
A reply **ended in a phrase** when no server was left to give or to finish it. **Resumed** counts \
how often another server continued a sentence."""
_ATTEMPTS = "The faults did strike: attempts by the failure that the router saw."
