"""The figures, the goals and the page of this bench."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.overhead.deciding import SIZES, Choosing
from bench.overhead.streaming import TOKEN_RATE, Cost, Crowd
from bench.peers.runner import versions
from bench.report.goals import Goal
from bench.report.page import Page, list_versions
from bench.report.picture import COLOURS, Line, draw_bars, draw_lines, figure
from bench.report.quantiles import median, quantile
from bench.report.table import Table, make_table, microseconds, milliseconds, percent

_PACKAGES = ("patchbay", "livekit-agents", "livekit-plugins-openai", "openai", "httpx2")
_CHOICE = 50e-6
"""Limit of choosing among the largest number of endpoints (s)."""
_REFERENCE_CHUNK = 126e-6
"""Work of a chunk of bare httpx2 (s) on the machine that the promises were made for."""


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
        template=Path(__file__).with_name("overhead.md"),
        pictures={"overhead.png": partial(_draw, figures)},
        values={
            "versions": list_versions(versions(_PACKAGES)),
            "reference": _REFERENCE_CHUNK * 1e6,
            "token_rate": TOKEN_RATE,
            "goals": _goals(figures),
            "one_reply": _one_reply(figures),
            "many_replies": _many_replies(figures),
            "choosing": _choosing(figures),
            "memory": make_table(
                figures.kilobytes.items(),
                [("", lambda item: item[0]), ("kB", lambda item: f"{item[1]:.1f}")],
            ),
        },
    )


def _goals(figures: Figures) -> Table:
    return make_table(
        make_goals(figures),
        [
            ("", lambda goal: goal.name),
            ("promised µs", lambda goal: f"{goal.limit / figures.slowdown:,.1f}"),
            ("here µs", lambda goal: f"{goal.limit:,.1f}"),
            ("measured µs", lambda goal: f"{goal.measured:,.1f}"),
            ("", lambda goal: goal.verdict),
        ],
        last_is_text=True,
    )


def _one_reply(figures: Figures) -> Table:
    return make_table(
        figures.costs,
        [
            ("", lambda cost: cost.name),
            ("first word p50 ms", lambda cost: milliseconds(median(cost.elapsed))),
            ("p99 ms", lambda cost: milliseconds(quantile(cost.elapsed, 0.99))),
            ("work p50 ms", lambda cost: milliseconds(median(cost.worked))),
            ("work p99 ms", lambda cost: milliseconds(quantile(cost.worked, 0.99))),
            ("chunk work µs", lambda cost: microseconds(median(cost.chunk))),
            ("over bare µs", lambda cost: microseconds(_added(cost, figures.bare))),
        ],
    )


def _many_replies(figures: Figures) -> Table:
    return make_table(
        figures.crowds,
        [
            ("", lambda crowd: crowd.name),
            ("replies", lambda crowd: str(crowd.replies)),
            ("core busy", lambda crowd: percent(crowd.busy)),
            ("chunk work µs", lambda crowd: microseconds(crowd.chunk)),
            ("late ms", lambda crowd: milliseconds(crowd.late)),
        ],
    )


def _choosing(figures: Figures) -> Table:
    return make_table(
        figures.choosing,
        [
            ("policy", lambda one: one.policy),
            ("endpoints", lambda one: f"{one.endpoints:,}"),
            ("p50 µs", lambda one: microseconds(median(one.after_a_reply))),
            ("p99 µs", lambda one: microseconds(quantile(one.after_a_reply, 0.99))),
            ("new session p50 µs", lambda one: microseconds(median(one.new_session))),
        ],
    )


def _draw(figures: Figures, path: Path) -> None:
    policies = dict.fromkeys(one.policy for one in figures.choosing)
    crowds = dict.fromkeys(one.name for one in figures.crowds)
    contenders = [one.name for one in figures.costs]
    with figure(path, (18, 4.4), columns=4) as (choosing, chunks, busy, memory):
        draw_lines(
            choosing,
            "choosing, p50 in µs; dashed: the goal here",
            {policy: _choosing_line(figures, policy) for policy in policies},
            limit=_CHOICE * figures.slowdown * 1e6,
            xscale="log",
            ylim=(0, None),
            xlabel="endpoints",
        )
        choosing.legend(frameon=False, fontsize=8, ncols=2)
        work = {one.name: median(one.chunk) * 1e6 for one in figures.costs}
        draw_bars(chunks, "work of each chunk, p50 in µs", work)
        draw_lines(
            busy,
            "core busy, in percent",
            {name: _crowd_line(figures, name) for name in crowds},
            colours=[COLOURS[contenders.index(name)] for name in crowds],
            xlabel="replies at once",
            ylim=(0, 105),
        )
        busy.legend(frameon=False)
        draw_bars(memory, "memory, in kB", figures.kilobytes)


def _choosing_line(figures: Figures, policy: str) -> Line:
    of_policy = [one for one in figures.choosing if one.policy == policy]
    times = [median(one.after_a_reply) * 1e6 for one in of_policy]
    return [one.endpoints for one in of_policy], times


def _crowd_line(figures: Figures, name: str) -> Line:
    crowds = [one for one in figures.crowds if one.name == name]
    return [one.replies for one in crowds], [one.busy * 100 for one in crowds]
