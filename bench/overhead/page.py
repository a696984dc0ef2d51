"""The figures of the overhead bench, what was promised of them, and the page made of them."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")  # no display is needed
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from bench.first_word.contenders import versions
from bench.first_word.turn import quantile
from bench.overhead.deciding import SIZES, Choosing, median
from bench.overhead.streaming import TOKEN_RATE, Cost, Crowd
from bench.report.table import machine, markdown_table, milliseconds, percent, text_table

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
"""Okabe and Ito, "Color universal design" (2008)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """`reply_bytes`: of a reply in flight, by contender."""

    costs: Sequence[Cost]
    crowds: Sequence[Crowd]
    choosing: Sequence[Choosing]
    recording: Sequence[float]
    endpoint_bytes: float
    reply_bytes: dict[str, float]

    @property
    def kilobytes(self) -> dict[str, float]:
        return {"an endpoint, measured": self.endpoint_bytes / 1000} | {
            f"a reply in flight, {name}": size / 1000 for name, size in self.reply_bytes.items()
        }

    @property
    def bare(self) -> Cost:
        return self.costs[0]

    @property
    def slower(self) -> float:
        """How many times longer this machine takes for a chunk than that of the promises."""
        return max(1.0, median(self.bare.chunk) / _YARDSTICK)

    @property
    def ours(self) -> Cost:
        return self.costs[-1]


_CHOICE = 50e-6
"""Seconds that choosing among the most endpoints may take."""
_YARDSTICK = 126e-6
"""Seconds of work for each chunk of bare httpx2 on the machine that the promises were made for."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What is measured and how much was promised that it takes at most, in seconds; and how many
    times slower this machine is than the one of the promise.
    """

    says: str
    measured: float
    promised: float
    slower: float

    @property
    def limit(self) -> float:
        return self.promised * self.slower

    @property
    def is_met(self) -> bool:
        return self.measured <= self.limit

    @property
    def cells(self) -> list[str]:
        return [
            self.says,
            micro(self.promised),
            micro(self.limit),
            micro(self.measured),
            "reached" if self.is_met else "MISSED",
        ]


def goals(found: Figures) -> list[Goal]:
    most = [one for one in found.choosing if one.endpoints == max(SIZES)]
    default = next(one for one in most if one.policy == "latency")
    slowest = max(most, key=lambda one: median(one.after_a_reply))
    among = f"choosing among {max(SIZES):,}"
    first_word = quantile(found.ours.worked, 0.99) - quantile(found.bare.worked, 0.99)
    promises = (
        ("work added to the first word, p99", first_word, 1e-3),
        ("work added to each chunk", _added(found.ours, found.bare), 20e-6),
        (f"{among}, latency", median(default.after_a_reply), _CHOICE),
        (f"{among}, slowest policy ({slowest.policy})", median(slowest.after_a_reply), _CHOICE),
        ("recording a sample", median(found.recording), 5e-6),
    )
    return [Goal(*promise, found.slower) for promise in promises]


def _added(ours: Cost, bare: Cost) -> float:
    """To each chunk. Round by round, since what else a machine does changes all the time."""
    return median([our - its for our, its in zip(ours.chunk, bare.chunk, strict=True)])


def micro(value: float) -> str:
    """Of a time in seconds."""
    return f"{value * 1e6:,.1f}"


def sections(found: Figures) -> list[tuple[str, Sequence[str], list[list[str]]]]:
    """Title, head and rows of each table."""
    return [
        (
            "Goals",
            ("", "promised µs", "here µs", "measured µs", ""),
            [goal.cells for goal in goals(found)],
        ),
        (
            "One reply",
            (
                "",
                "first word p50 ms",
                "p99 ms",
                "work p50 ms",
                "work p99 ms",
                "chunk work µs",
                "over bare µs",
                "",
            ),
            [
                [
                    one.name,
                    *(milliseconds(quantile(one.passed, q)) for q in (0.5, 0.99)),
                    *(milliseconds(quantile(one.worked, q)) for q in (0.5, 0.99)),
                    micro(median(one.chunk)),
                    micro(_added(one, found.bare)),
                    "",
                ]
                for one in found.costs
            ],
        ),
        (
            "Many replies at once",
            ("", "replies", "core busy", "chunk work µs", "late ms", ""),
            [
                [
                    one.name,
                    str(one.replies),
                    percent(one.busy),
                    micro(one.chunk),
                    milliseconds(one.late),
                    "",
                ]
                for one in found.crowds
            ],
        ),
        (
            "Choosing",
            ("policy", "endpoints", "p50 µs", "p99 µs", "new session p50 µs", ""),
            [
                [
                    one.policy,
                    f"{one.endpoints:,}",
                    micro(median(one.after_a_reply)),
                    micro(quantile(one.after_a_reply, 0.99)),
                    micro(median(one.new_session)),
                    "",
                ]
                for one in found.choosing
            ],
        ),
        (
            "Memory",
            ("", "kB", ""),
            [[what, f"{size:.1f}", ""] for what, size in found.kilobytes.items()],
        ),
    ]


def tables(found: Figures) -> str:
    return "\n\n".join(
        f"{title}\n{text_table(head, rows)}" for title, head, rows in sections(found)
    )


def write(page: Path, found: Figures) -> None:
    """The page, and beside it a picture of the same name."""
    picture = page.with_suffix(".png")
    page.parent.mkdir(parents=True, exist_ok=True)
    intro = _INTRO.format(
        picture=picture.name,
        where=machine(),
        load=os.getloadavg()[0],
        versions=versions(),
        rate=TOKEN_RATE,
    )
    parts = [
        f"## {title}\n\n{_SAYS[title]}\n\n{markdown_table(head, rows)}"
        for title, head, rows in sections(found)
    ]
    page.write_text("\n\n".join([intro, *parts]) + "\n", encoding="utf-8")
    _draw(picture, found)


def _draw(path: Path, found: Figures) -> None:
    figure, (choosing, chunks, crowds, memory) = plt.subplots(
        1, 4, layout="constrained", facecolor="white", figsize=(18, 4.4)
    )
    for colour, policy in zip(_COLOURS, dict.fromkeys(c.policy for c in found.choosing)):  # noqa: B905  colours to spare
        of = [one for one in found.choosing if one.policy == policy]
        values = [median(one.after_a_reply) * 1e6 for one in of]
        choosing.plot([one.endpoints for one in of], values, "o-", color=colour, label=policy)
    goal = _CHOICE * found.slower * 1e6
    choosing.axhline(goal, color="#888888", linestyle="--", label="goal here")
    choosing.set(xscale="log", ylim=(0, None), xlabel="endpoints", title="choosing, p50 in µs")
    choosing.legend(frameon=False, fontsize=8, ncols=2)
    names = [one.name for one in found.costs]
    _bars(chunks, names, [median(one.chunk) * 1e6 for one in found.costs])
    chunks.set(title="work of each chunk, p50 in µs")
    for name in dict.fromkeys(one.name for one in found.crowds):
        crowd = [one for one in found.crowds if one.name == name]
        busy = [one.busy * 100 for one in crowd]
        colour = _COLOURS[names.index(name)]
        crowds.plot([one.replies for one in crowd], busy, "o-", color=colour, label=name)
    crowds.set(xlabel="replies at once", ylim=(0, 105), title="core busy, in percent")
    crowds.legend(frameon=False)
    _bars(memory, list(found.kilobytes), found.kilobytes.values())
    memory.set(title="memory, in kB")
    for axis in (choosing, chunks, crowds, memory):
        axis.grid(axis="y", color="#dddddd")
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _bars(axis: Axes, names: Sequence[str], values: Iterable[float]) -> None:
    axis.bar(range(len(names)), list(values), color=_COLOURS[: len(names)])
    axis.set_xticks(range(len(names)), [name.replace(", ", "\n") for name in names])


_SAYS = {
    "Goals": (
        "What is promised, and whether this run kept it. The promises are for a machine on which a "
        f"chunk of bare httpx2 is {_YARDSTICK * 1e6:.0f} µs of work; **here** is the same at the "
        "speed of this one, by what such a chunk took in this run. What is added is what the "
        "router takes more than a bare httpx2 stream from the same server; below zero, it takes "
        "less, since its client reads from the socket by a shorter way."
    ),
    "One reply": (
        "Time to the first word of a one-word reply, and the work of each chunk of a long one. "
        "“Our network” is `llm_router/net/network.py`, which is all that the second has of ours. "
        "“Our provider” is the HTTP client with our parser; “router” is all of it, as "
        "`router.stream` gives it out: raced, metered and watched. **Over bare**: the median, over "
        "all rounds, of what a chunk took more than the first row's in the same round."
    ),
    "Many replies at once": (
        "At as many words a second each as a model gives. **Core busy**: the part of one core that "
        "this process used. **Late**: by how much the last reply ended after its last word was "
        "due, the server's own lateness included."
    ),
    "Choosing": (
        "From the request to the whole order, after a reply has ended and changed the times of its "
        "endpoint. **New session**: one that was never seen; `affinity` and `weighted` draw up an "
        "order of its own for it once, a hash for each endpoint, and remember it."
    ),
    "Memory": (
        "As `tracemalloc` counts it. An endpoint has been measured with prompts of every size; its "
        "HTTP client is not in it. A reply in flight waits for its first word."
    ),
}
_INTRO = """\
# Overhead

What the router costs while all is well: over the HTTP client alone, at the same server in another \
process, side by side in every round. Written by `python -m bench.overhead --write`.

![Choosing by number of endpoints; work of each chunk; how busy a core is; memory]({picture})

Measured on {where}; load {load:.1f} over the last minute; {versions}. Many replies: {rate:g} \
words a second each.

**Work** is processor time of the measured process. Unlike the time passed, which stands beside \
it, it holds no waiting for others; but on a loaded machine it takes longer too, so compare the \
rows of one run."""
