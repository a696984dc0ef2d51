"""The table of the outage bench, and the page and picture made of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("agg")  # no display is needed
from matplotlib import pyplot as plt

from bench.outage.contenders import BUDGETS, DEFAULT, DEFAULT_POLICY, budget_name
from bench.outage.day import PROMPTS, SERVERS, Server, episodes
from bench.outage.peers import MODELLED, PEERS
from bench.outage.stage import ASKS_AGAIN, HANGS_UP, PAUSE, REPLIES_OF_A_PROCESS, Figures
from bench.report.table import machine, markdown_table, seconds, text_table

_HEAD = (
    "", "replies", "silence s", "p50 s", "p95 s", "p99 s", "p99.9 s", "> 1 s", "> 2 s",
    "lost", "requests", "words", "cost",
)  # fmt: skip
_OURS, _PEER, _COST = "#0072B2", "#D55E00", "#009E73"


@dataclass(frozen=True, slots=True)
class Run:
    """One day of each contender, of more replies or fewer."""

    days: Sequence[Figures]
    seed: int

    def of(self, name: str) -> Figures:
        return next(day for day in self.days if day.contender == name)


def swept(run: Run) -> list[tuple[float, Figures]]:
    """The default policy by its hedge budget."""
    return [
        (budget, run.of(DEFAULT_POLICY if budget == DEFAULT else budget_name(budget)))
        for budget in BUDGETS
    ]


def _cells(day: Figures) -> list[str]:
    return [
        day.contender,
        f"{day.replies:,}",
        f"{day.silence:.0f}",
        *(seconds(day.first_word(q)) for q in (0.5, 0.95, 0.99, 0.999)),
        *(f"{day.later_than(s):.2%}" for s in (1, 2)),
        f"{day.lost:.3%}",
        f"{day.bill.requests / day.replies:.3f}",
        f"{day.bill.generated / day.heard:.3f}",
        f"{day.dearness:.2f}",
    ]


def table(days: Sequence[Figures]) -> str:
    return text_table(_HEAD, [_cells(day) for day in days])


def write(page: Path, run: Run) -> None:
    """The page, and beside it a picture of the same name."""
    picture = page.with_suffix(".png")
    page.parent.mkdir(parents=True, exist_ok=True)
    sweep = [name.contender for _, name in swept(run)]
    policies = [d for d in run.days if d.contender not in PEERS and d.contender not in sweep]
    intro = _INTRO.format(
        picture=picture.name,
        replies=max(day.replies for day in run.days),
        seed=run.seed,
        where=machine(),
        of_a_process=REPLIES_OF_A_PROCESS,
        modelled=MODELLED,
        servers=markdown_table(_SERVER_HEAD, [_server_cells(server) for server in SERVERS]),
        prompts=", ".join(f"{p.characters:,} ({p.share:.0%})" for p in PROMPTS),
        pause=PAUSE,
        hangs_up=HANGS_UP,
        asks_again=ASKS_AGAIN,
        episodes=len(episodes(run.seed)),
        minutes=sum((e.end - e.start) * len(e.servers) for e in episodes(run.seed)) / 60,
    )
    parts = [
        intro,
        _RESULTS + _markdown([run.of(DEFAULT_POLICY), *policies, *map(run.of, PEERS)]),
        _SWEEP + _sweep_table(run),
    ]
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    _draw(picture, run)


def _markdown(days: Sequence[Figures]) -> str:
    return markdown_table(_HEAD, [_cells(day) for day in days])


def _sweep_table(run: Run) -> str:
    none = run.of(budget_name(0.0))
    rows = [
        [
            f"**{budget:.0%}**" if budget == DEFAULT else f"{budget:.0%}",
            f"{day.replies:,}",
            f"{day.silence:.1f}",
            *(seconds(day.first_word(q)) for q in (0.99, 0.999)),
            *(f"{day.later_than(s):.2%}" for s in (1, 2)),
            f"{day.bill.requests / day.replies:.3f}",
            f"{day.dearness / none.dearness - 1:+.1%}",
        ]
        for budget, day in swept(run)
    ]
    head = (
        "budget", "replies", "silence s", "p99 s", "p99.9 s", "> 1 s", "> 2 s", "requests",
        "cost over none",
    )  # fmt: skip
    return markdown_table(head, rows)


_SERVER_HEAD = (
    "server", "median s", "spread", "tail", "ms a word", "limit", "$ in", "$ out",
)  # fmt: skip


def _server_cells(server: Server) -> list[str]:
    return [
        server.name,
        f"{server.median:.2f}",
        f"{server.spread:.2f}",
        f"{server.tail:.1%}",
        f"{server.pace * 1000:.0f}",
        f"{server.limit:g}" if server.limit else "–",
        f"{server.price_in:.2f}",
        f"{server.price_out:.2f}",
    ]


def _draw(path: Path, run: Run) -> None:
    figure, (left, middle, right) = plt.subplots(
        1, 3, layout="constrained", facecolor="white", figsize=(15, 6)
    )
    sweep = {day.contender for _, day in swept(run)} - {DEFAULT_POLICY}
    days = [day for day in run.days if day.contender not in sweep]
    silences = {day.contender: day.silence for day in days}
    late = {day.contender: day.later_than(2) * 100 for day in days}
    _bars(left, "silence, seconds in 1,000 replies", silences, "{:,.0f}")
    _bars(middle, "first word after more than 2 s or never, percent", late, "{:.2f}")
    middle.set_yticklabels([])
    _curve(right, run)
    for axis in (left, middle, right):
        axis.grid(color="#dddddd")
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _bars(axis: Any, title: str, values: Mapping[str, float], form: str) -> None:
    places = range(len(values))
    axis.barh(places, values.values(), color=[_PEER if name in PEERS else _OURS for name in values])
    axis.set_yticks(places, values)
    axis.set_ylim(len(values) - 0.5, -0.5)
    for place, value in zip(places, values.values(), strict=True):
        axis.annotate(f" {form.format(value)}", (value, place), va="center", fontsize=8)
    axis.margins(x=0.12)
    axis.set_title(title, fontsize=11)


def _curve(axis: Any, run: Run) -> None:
    places = range(len(BUDGETS))
    silences = [day.silence for _, day in swept(run)]
    none = run.of(budget_name(0.0))
    costs = [(day.dearness / none.dearness - 1) * 100 for _, day in swept(run)]
    axis.plot(places, silences, "o-", color=_OURS)
    axis.axvline(BUDGETS.index(DEFAULT), color="#888888", linestyle="--")
    axis.set_xticks(places, [f"{budget:.0%}" for budget in BUDGETS])
    axis.set_ylim(0, max(silences) * 1.4)
    axis.set_title("by hedge budget; dashed: the default", fontsize=11)
    axis.set_ylabel("silence, seconds in 1,000 replies", color=_OURS)
    dear = axis.twinx()
    dear.plot(places, costs, "s-", color=_COST)
    dear.set_ylim(min(-5, *costs), max(20, *costs))
    dear.set_ylabel("cost over no hedges, percent", color=_COST)
    dear.spines[["top"]].set_visible(False)


_INTRO = """\
# Outage

A day of up to {replies:,} replies in simulated time, with everything going wrong that does: how \
long callers hear nothing, and what it costs to spare them. Written by `python -m bench.outage \
--replies N --seed {seed} --keep FOLDER --write`, once for each number in the column "replies".

![Silence and late first words by contender; silence by what hedges cost]({picture})

Run on {where}. How fast that is does not matter: the same seed gives the same figures anywhere.

## How to read it

The router is the real one, on a clock that jumps, in one process for each {of_a_process:,} \
replies; they share nothing. Peers are modelled from the sources of {modelled} \
(`bench/outage/peers.py` says from which, and what was left out). Servers and callers are drawn \
from the seed, and each draw belongs to a question and a server: all contenders meet the same day. \
A day of fewer replies has the same traffic thinned out, which meets the same limits less evenly: \
compare rows of as many **replies**.

- **silence**: seconds in 1,000 replies in which a caller hears nothing: what a voice waits for \
its first clause beyond a pause of {pause} s, and every gap after it had begun. Who hears nothing \
for {hangs_up:g} s hangs up; after {asks_again:g} s of silence in the middle of a reply the caller \
asks again, and the rest is lost.
- **p50 … p99.9, > 1 s, > 2 s**: the first word; "never": the caller hung up.
- **lost**: replies that did not come, or not whole, or that ended in an apology.
- **requests**: sent to servers for each question, refused ones and recovery probes included. \
**words**: generated for each word heard. **cost**: of all that was asked and generated, over \
what the same answers cost at the cheapest server.

## The day

Calls come by the hour: two rushes and an evening, quiet nights. A caller asks about eight times. \
Prompts have {prompts} characters; answers a median of 25 words, 6 characters a word, said at 15 \
a second. In a rush servers are up to a quarter slower.

{servers}

**Spread** is that of the logarithm; **tail**, the share of replies that are 2.5 to 30 times \
slower. **Limit**: requests allowed, as a multiple of a day's mean (the rush is twice the mean); \
beyond it, 429 with Retry-After. Prices are for a million tokens.

On a good day 0.4 % of requests hang, fail, are empty, break off or stall. This day has {episodes} \
episodes, {minutes:.0f} server-minutes of 7,200: brown-outs in which all servers \
of a vendor are two to five times slower and hang at times, outages of a vendor, slow patches, \
hangs, refusals, empty replies, broken, stalling and dripping streams."""

_RESULTS = """\
## The contenders

The first is the default. Policies differ in what they are for: those that spread the calls over \
all servers (`affinity`, `p2c`, `round_robin`, `weighted`) send a part of them to the slow ones on \
purpose.

"""

_SWEEP = """\
## The hedge budget

The default policy by how many hedges a hundred questions may start. Failovers, past the moment \
when a server is late, need no budget.

"""
