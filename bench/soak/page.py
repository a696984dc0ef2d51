"""The figures of the soak bench, and the page made of them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")  # no display is needed
from matplotlib import pyplot as plt

from bench.report.table import machine, markdown_table, text_table
from bench.soak.figures import KINDS, Soak, goals, usual

_BLUE = "#0072B2"
_TITLES = {
    "megabytes": "resident memory, MB",
    "tasks": "asyncio tasks",
    "sockets": "file descriptors",
    "threads": "threads",
    "objects": "objects made since the start",
    "streams": "replies being sent by the servers",
}


def sections(found: Soak) -> list[tuple[str, Sequence[str], list[list[str]]]]:
    """Title, head and rows of each table."""
    closed, opened = found.idle.closed, found.idle.open
    return [
        (
            "Goals",
            ("", "measured", "at most", ""),
            [
                [
                    goal.says,
                    f"{goal.measured:.2f}",
                    f"{goal.limit:g}",
                    "kept" if goal.is_met else "MISSED",
                ]
                for goal in goals(found)
            ],
        ),
        (
            "What was held",
            ("", "closed", "idle", "in traffic", "idle after", "closed after", ""),
            [
                [
                    _TITLES[kind],
                    *(
                        f"{value:,.0f}"
                        for value in (
                            getattr(closed[0], kind),
                            getattr(opened[0], kind),
                            usual(found, kind),
                            getattr(opened[1], kind),
                            getattr(closed[1], kind),
                        )
                    ),
                    "",
                ]
                for kind in KINDS
            ],
        ),
        ("How replies ended", ("", "replies", ""), _counted(found.replies)),
        ("How attempts ended", ("", "attempts", ""), _counted(found.attempts)),
    ]


def _counted(counter: Counter[str]) -> list[list[str]]:
    return [[what, f"{number:,}", ""] for what, number in counter.most_common()]


def tables(found: Soak) -> str:
    return "\n\n".join(
        f"{title}\n{text_table(head, rows)}" for title, head, rows in sections(found)
    )


def write(page: Path, found: Soak) -> None:
    """The page, and beside it a picture of the same name."""
    picture = page.with_suffix(".png")
    page.parent.mkdir(parents=True, exist_ok=True)
    intro = _INTRO.format(
        picture=picture.name,
        where=machine(),
        load=found.load.says,
        turns=found.turns,
        seed=found.load.seed,
        samples=len(found.samples),
    )
    parts = [
        f"## {title}\n\n{_SAYS[title]}\n\n{markdown_table(head, rows)}"
        for title, head, rows in sections(found)
    ]
    page.write_text("\n\n".join([intro, *parts]) + "\n", encoding="utf-8")
    _draw(picture, found)


def _draw(path: Path, found: Soak) -> None:
    figure, axes = plt.subplots(
        2, 3, layout="constrained", facecolor="white", figsize=(14, 6), sharex=True
    )
    minutes = [one.at / 60 for one in found.samples]
    for axis, kind in zip(axes.flat, KINDS, strict=True):
        values = [getattr(one, kind) for one in found.samples]
        axis.plot(minutes, values, color=_BLUE, linewidth=0.8)
        axis.axhline(usual(found, kind), color="#888888", linestyle="--", linewidth=1)
        axis.set(title=_TITLES[kind], ylim=(0, 1.25 * max(1, *values)))
        axis.grid(axis="y", color="#dddddd")
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("minutes")
    figure.savefig(path, dpi=130)
    plt.close(figure)


_SAYS = {
    "Goals": (
        "What is left is compared exactly. Growth is the trend of the samples, without the first "
        "quarter, from the first to the last: the median of the slopes between all pairs (Theil "
        "and Sen), so that moments in which many speak at once do not count as growth. It may be "
        "no more than the range of the middle half of the samples: something that only grows does "
        "so by twice that. Runs of less than ten minutes are judged by what is left alone."
    ),
    "What was held": (
        "**Closed**: before the router was opened and after it was closed; **idle**: it is open "
        "and nobody asks; **in traffic**: the median. HTTP connections are kept open for the next "
        "question, so idle after the traffic there are more sockets than before it."
    ),
    "How replies ended": (
        "A reply that **ended in a phrase** had nobody left to give or to finish it. **Resumed** "
        "counts the times that another server went on with a sentence."
    ),
    "How attempts ended": "The faults did strike: by what the router took them for.",
}
_INTRO = """\
# Soak

Whether a router that has survived a long run of faults holds no more than it did before. Written \
by `python -m bench.soak --minutes 30 --write`.

![What the process held, minute by minute]({picture})

{load}, {turns:,} turns, {samples} samples, seed {seed}, on {where}. A quarter of the turns is \
interrupted by the caller, some ask for a tool. Three model servers in another process fail by \
chance, in spells, in all the ways `llm_router.testing.server` knows; a fourth is never there. The \
router is opened as a call's process opens it: LiveKit's stream layer before it, a scoreboard, \
Prometheus and OpenTelemetry behind it. Rejected keys are put right every ten seconds, else soon \
nobody would be asked."""
