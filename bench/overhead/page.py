"""The figures, the goals and the page of this bench."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.overhead.deciding import SIZES, Choosing
from bench.overhead.streaming import TOKEN_RATE, Cost, Crowd
from bench.peers.runner import versions
from bench.report.goals import Goal
from bench.report.page import Page, Picture, Section, list_versions, load
from bench.report.picture import COLOURS, draw_bars, draw_lines, figure
from bench.report.quantiles import median, quantile
from bench.report.table import Table, microseconds, milliseconds, percent

_PACKAGES = ("patchbay", "livekit-agents", "livekit-plugins-openai", "openai", "httpx2")
_CHOICE = 50e-6
"""Seconds that choosing among the most endpoints may take."""
_REFERENCE_CHUNK = 126e-6
"""Seconds of work for a chunk of bare httpx2 on the machine that the promises were made for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """`reply_bytes`: memory of a reply in flight, by contender."""

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
    def ours(self) -> Cost:
        return self.costs[-1]

    @property
    def slowdown(self) -> float:
        """Time that this machine takes for a chunk over that of the reference; at least 1."""
        return max(1.0, median(self.bare.chunk) / _REFERENCE_CHUNK)


def make_goals(figures: Figures) -> list[Goal]:
    """Returns the goals in microseconds, with limits for the speed of this machine."""
    largest = [one for one in figures.choosing if one.endpoints == max(SIZES)]
    default = next(one for one in largest if one.policy == "latency")
    slowest = max(largest, key=lambda one: median(one.after_a_reply))
    among = f"choosing among {max(SIZES):,}"
    first_word = quantile(figures.ours.worked, 0.99) - quantile(figures.bare.worked, 0.99)
    promises = (
        ("work added to the first word, p99", first_word, 1e-3),
        ("work added to each chunk", _added(figures.ours, figures.bare), 20e-6),
        (f"{among}, latency", median(default.after_a_reply), _CHOICE),
        (f"{among}, slowest policy ({slowest.policy})", median(slowest.after_a_reply), _CHOICE),
        ("recording a sample", median(figures.recording), 5e-6),
    )
    return [
        Goal(name, measured * 1e6, promised * figures.slowdown * 1e6, "µs", ",.1f")
        for name, measured, promised in promises
    ]


def _added(ours: Cost, bare: Cost) -> float:
    """Returns the work added to each chunk, compared round by round, because the machine's other
    work changes all the time.
    """
    return median([our - its for our, its in zip(ours.chunk, bare.chunk, strict=True)])


def make_page(figures: Figures) -> Page:
    return Page(
        title="Overhead",
        summary="The cost of the router while all is well, over the HTTP client alone: at the same "
        "server in another process, side by side in every round.",
        command="bench.overhead --write",
        conditions=f"{load()}; {list_versions(versions(_PACKAGES))}.\n\n{_WORK}",
        pictures=[
            Picture(
                "Choosing by number of endpoints; work of each chunk; how busy a core is; memory",
                partial(_draw, figures),
            )
        ],
        sections=[
            Section("Goals", [_GOALS, _goals(figures)]),
            Section("One reply", [_ONE_REPLY, _one_reply(figures)]),
            Section("Many replies at once", [_MANY_REPLIES, _many_replies(figures)]),
            Section("Choosing", [_CHOOSING, _choosing(figures)]),
            Section("Memory", [_MEMORY, _memory(figures)]),
        ],
    )


def _goals(figures: Figures) -> Table:
    rows = [
        [
            goal.name,
            f"{goal.limit / figures.slowdown:,.1f}",
            f"{goal.limit:,.1f}",
            f"{goal.measured:,.1f}",
            goal.verdict,
        ]
        for goal in make_goals(figures)
    ]
    return Table(("", "promised µs", "here µs", "measured µs", ""), rows, last_is_text=True)


def _one_reply(figures: Figures) -> Table:
    rows = [
        [
            one.name,
            *(milliseconds(quantile(one.elapsed, q)) for q in (0.5, 0.99)),
            *(milliseconds(quantile(one.worked, q)) for q in (0.5, 0.99)),
            microseconds(median(one.chunk)),
            microseconds(_added(one, figures.bare)),
        ]
        for one in figures.costs
    ]
    head = (
        "", "first word p50 ms", "p99 ms", "work p50 ms", "work p99 ms", "chunk work µs",
        "over bare µs",
    )  # fmt: skip
    return Table(head, rows)


def _many_replies(figures: Figures) -> Table:
    rows = [
        [
            one.name,
            str(one.replies),
            percent(one.busy),
            microseconds(one.chunk),
            milliseconds(one.late),
        ]
        for one in figures.crowds
    ]
    return Table(("", "replies", "core busy", "chunk work µs", "late ms"), rows)


def _choosing(figures: Figures) -> Table:
    rows = [
        [
            one.policy,
            f"{one.endpoints:,}",
            microseconds(median(one.after_a_reply)),
            microseconds(quantile(one.after_a_reply, 0.99)),
            microseconds(median(one.new_session)),
        ]
        for one in figures.choosing
    ]
    return Table(("policy", "endpoints", "p50 µs", "p99 µs", "new session p50 µs"), rows)


def _memory(figures: Figures) -> Table:
    return Table(("", "kB"), [[name, f"{size:.1f}"] for name, size in figures.kilobytes.items()])


def _draw(figures: Figures, path: Path) -> None:
    by_policy: dict[str, list[Choosing]] = {}
    for one in figures.choosing:
        by_policy.setdefault(one.policy, []).append(one)
    names = [one.name for one in figures.costs]
    with figure(path, (18, 4.4), columns=4) as (choosing, chunks, busy, memory):
        draw_lines(
            choosing,
            "choosing, p50 in µs; dashed: the goal here",
            {
                policy: (
                    [one.endpoints for one in of_policy],
                    [median(one.after_a_reply) * 1e6 for one in of_policy],
                )
                for policy, of_policy in by_policy.items()
            },
            limit=_CHOICE * figures.slowdown * 1e6,
            xscale="log",
            ylim=(0, None),
            xlabel="endpoints",
        )
        choosing.legend(frameon=False, fontsize=8, ncols=2)
        work = {one.name: median(one.chunk) * 1e6 for one in figures.costs}
        draw_bars(chunks, "work of each chunk, p50 in µs", work)
        crowds = {
            name: [one for one in figures.crowds if one.name == name]
            for name in dict.fromkeys(one.name for one in figures.crowds)
        }
        draw_lines(
            busy,
            "core busy, in percent",
            {
                name: ([one.replies for one in crowd], [one.busy * 100 for one in crowd])
                for name, crowd in crowds.items()
            },
            colours=[COLOURS[names.index(name)] for name in crowds],
            xlabel="replies at once",
            ylim=(0, 105),
        )
        busy.legend(frameon=False)
        draw_bars(memory, "memory, in kB", figures.kilobytes)


_WORK = """\
**Work** is processor time of the measured process. Unlike the elapsed time beside it, it contains \
no waiting for other processes; but on a loaded machine it takes longer too, so compare the rows \
of one run."""
_GOALS = f"""\
The promises, and whether this run met them. The promises are for a machine on which a chunk of \
bare httpx2 is {_REFERENCE_CHUNK * 1e6:.0f} µs of work; **here** is the same at the speed of this \
machine, by the work of such a chunk in this run. Added work is the router's work minus that of a \
bare httpx2 stream from the same server; below zero, the router takes less, because its client \
reads from the socket by a shorter way."""
_ONE_REPLY = """\
Time to the first word of a one-word reply, and the work of each chunk of a long one. “Our \
network” is `llm_router/net/network.py`; the second row has nothing else of ours. “Our provider” \
is the HTTP client with our parser; “router” is the whole, as `router.stream` yields it: raced, \
metered and observed. **Over bare**: the median, over all rounds, of the work of a chunk beyond \
that of the first row in the same round."""
_MANY_REPLIES = f"""\
Each reply at {TOKEN_RATE:g} words a second, like a model's. **Core busy**: the share of one core \
that this process used. **Late**: the delay of the end of the last reply after its last word was \
due, the server's own delay included."""
_CHOOSING = """\
From the request to the whole order, after a reply has ended and changed the times of its \
endpoint. **New session**: one without history; `affinity` and `weighted` compute its order once, \
a hash for each endpoint, and remember it."""
_MEMORY = """\
As `tracemalloc` counts it. An endpoint has been measured with prompts of every size; its HTTP \
client is not included. A reply in flight waits for its first word."""
