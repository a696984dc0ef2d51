"""The tables, the picture and the page of this bench."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from matplotlib.axes import Axes

from bench.outage.contenders import BUDGETS, DEFAULT, DEFAULT_POLICY, budget_name
from bench.outage.day import PROMPTS, SERVERS, episodes
from bench.outage.peers import MODELLED, PEERS
from bench.outage.simulation import ASK_AGAIN_AFTER, HANG_UP_AFTER, PAUSE, PROCESS_REPLIES, Figures
from bench.report.page import Page, Picture, Section
from bench.report.picture import COLOURS, GREY, add_grid, figure
from bench.report.table import Table, seconds


@dataclass(frozen=True, slots=True)
class Run:
    """A day of each contender; days can differ in their number of replies."""

    days: Sequence[Figures]
    seed: int

    def day(self, name: str) -> Figures:
        return next(day for day in self.days if day.contender == name)

    def by_budget(self) -> list[tuple[float, Figures]]:
        """Returns the days of the default policy by hedge budget."""
        return [
            (budget, self.day(DEFAULT_POLICY if budget == DEFAULT else budget_name(budget)))
            for budget in BUDGETS
        ]

    def added_cost(self, day: Figures) -> float:
        """Returns the cost of a day over that of the default policy without hedges."""
        return day.relative_cost / self.day(budget_name(0.0)).relative_cost - 1

    def compared(self) -> list[Figures]:
        """Returns the days to compare: the default policy, the other policies, the peers."""
        budgets = {day.contender for _, day in self.by_budget()}
        others = [day for day in self.days if day.contender not in budgets | set(PEERS)]
        return [self.day(DEFAULT_POLICY), *others, *map(self.day, PEERS)]


def days_table(days: Sequence[Figures]) -> Table:
    rows = [
        [
            day.contender,
            f"{day.replies:,}",
            f"{day.silence:.0f}",
            *(seconds(day.first_word(q)) for q in (0.5, 0.95, 0.99, 0.999)),
            *(f"{day.later_than(limit):.2%}" for limit in (1, 2)),
            f"{day.lost:.3%}",
            f"{day.bill.requests / day.replies:.3f}",
            f"{day.bill.generated / day.received:.3f}",
            f"{day.relative_cost:.2f}",
        ]
        for day in days
    ]
    head = (
        "", "replies", "silence s", "p50 s", "p95 s", "p99 s", "p99.9 s", "> 1 s", "> 2 s",
        "lost", "requests", "words", "cost",
    )  # fmt: skip
    return Table(head, rows)


def make_page(run: Run) -> Page:
    replies = max(day.replies for day in run.days)
    return Page(
        title="Outage",
        summary=f"A day of up to {replies:,} replies in simulated time, in which everything goes "
        "wrong: how long callers hear nothing, and the cost of sparing them that.",
        command=f"bench.outage --replies N --seed {run.seed} --save FOLDER --write",
        conditions="its speed does not matter: the same seed gives the same figures anywhere. The "
        'page is written after a run for each number in the column "replies".',
        pictures=[
            Picture(
                "Silence and late first words by contender; silence and cost by hedge budget",
                partial(_draw, run),
            )
        ],
        sections=[
            Section("How to read it", [_LEGEND]),
            Section("The day", [_TRAFFIC, _servers(), _faults(run.seed)]),
            Section("The contenders", [_CONTENDERS, days_table(run.compared())]),
            Section("The hedge budget", [_BUDGET, _budgets(run)]),
        ],
    )


def _budgets(run: Run) -> Table:
    rows = [
        [
            f"**{budget:.0%}**" if budget == DEFAULT else f"{budget:.0%}",
            f"{day.replies:,}",
            f"{day.silence:.1f}",
            *(seconds(day.first_word(q)) for q in (0.99, 0.999)),
            *(f"{day.later_than(limit):.2%}" for limit in (1, 2)),
            f"{day.bill.requests / day.replies:.3f}",
            f"{run.added_cost(day):+.1%}",
        ]
        for budget, day in run.by_budget()
    ]
    head = (
        "budget", "replies", "silence s", "p99 s", "p99.9 s", "> 1 s", "> 2 s", "requests",
        "cost over none",
    )  # fmt: skip
    return Table(head, rows)


def _servers() -> Table:
    rows = [
        [
            server.name,
            f"{server.median:.2f}",
            f"{server.spread:.2f}",
            f"{server.tail:.1%}",
            f"{server.pace * 1000:.0f}",
            f"{server.limit:g}" if server.limit else "–",
            f"{server.price_in:.2f}",
            f"{server.price_out:.2f}",
        ]
        for server in SERVERS
    ]
    head = ("server", "median s", "spread", "tail", "ms a word", "limit", "$ in", "$ out")
    return Table(head, rows)


def _faults(seed: int) -> str:
    drawn = episodes(seed)
    minutes = sum((one.end - one.start) * len(one.servers) for one in drawn) / 60
    return _FAULTS.format(episodes=len(drawn), minutes=minutes)


def _draw(run: Run, path: Path) -> None:
    days = run.compared()
    silence = {day.contender: day.silence for day in days}
    late = {day.contender: day.later_than(2) * 100 for day in days}
    with figure(path, (15, 6), columns=3) as (left, middle, right):
        _draw_bars(left, "silence, seconds in 1,000 replies", silence, ",.0f")
        _draw_bars(middle, "first word after more than 2 s or never, percent", late, ".2f")
        middle.set_yticklabels([])
        _draw_budgets(right, run)
        for axis in (left, middle, right):
            add_grid(axis, "both")


def _draw_bars(axis: Axes, title: str, values: Mapping[str, float], form: str) -> None:
    places = range(len(values))
    colours = [COLOURS[1] if name in PEERS else COLOURS[0] for name in values]
    bars = axis.barh(places, list(values.values()), color=colours)
    axis.bar_label(bars, [f" {value:{form}}" for value in values.values()], fontsize=8)
    axis.set_yticks(places, list(values))
    axis.set_ylim(len(values) - 0.5, -0.5)
    axis.margins(x=0.12)
    axis.set_title(title, fontsize=11)


def _draw_budgets(axis: Axes, run: Run) -> None:
    places = range(len(BUDGETS))
    silence = [day.silence for _, day in run.by_budget()]
    costs = [run.added_cost(day) * 100 for _, day in run.by_budget()]
    axis.plot(places, silence, "o-", color=COLOURS[0])
    axis.axvline(BUDGETS.index(DEFAULT), color=GREY, linestyle="--")
    axis.set_xticks(places, [f"{budget:.0%}" for budget in BUDGETS])
    axis.set_ylim(0, max(silence) * 1.4)
    axis.set_title("by hedge budget; dashed: the default", fontsize=11)
    axis.set_ylabel("silence, seconds in 1,000 replies", color=COLOURS[0])
    cost = axis.twinx()
    cost.plot(places, costs, "s-", color=COLOURS[2])
    cost.set_ylim(min(-5, *costs), max(20, *costs))
    cost.set_ylabel("cost over no hedges, percent", color=COLOURS[2])
    cost.spines[["top"]].set_visible(False)


_PROMPTS = ", ".join(f"{prompt.characters:,} ({prompt.share:.0%})" for prompt in PROMPTS)
_LEGEND = f"""\
The router is the real one, on a clock that jumps, in one process for each {PROCESS_REPLIES:,} \
replies; processes share nothing. Peers are modelled on the sources of {MODELLED} \
(`bench/outage/peers.py` names the sources and the omissions). Servers and callers are drawn \
from the seed, and each draw belongs to a question and a server: all contenders meet the same day. \
A day of fewer replies has the same traffic thinned out, which meets the same limits less evenly: \
compare rows with the same number of **replies**.

- **silence**: seconds in 1,000 replies in which a caller hears nothing: the wait for the first \
clause beyond a pause of {PAUSE} s, and every gap after the voice had begun. A caller who hears \
nothing for {HANG_UP_AFTER:g} s hangs up; after {ASK_AGAIN_AFTER:g} s of silence in the middle of \
a reply the caller asks again, and the rest is lost.
- **p50 … p99.9, > 1 s, > 2 s**: the first word; "never": the caller hung up.
- **lost**: replies that did not come, or not whole, or that ended in an apology.
- **requests**: sent to servers for each question, refused ones and recovery probes included. \
**words**: generated for each word received. **cost**: of all requests and words, over \
the cost of the same answers at the cheapest server."""
_TRAFFIC = f"""\
Calls come by the hour: two rushes and an evening, quiet nights. A caller asks about eight times. \
Prompts have {_PROMPTS} characters; answers a median of 25 words, 6 characters a word, spoken at \
15 a second. In a rush servers are up to a quarter slower."""
_FAULTS = """\
**Spread** is that of the logarithm; **tail**, the share of replies that are 2.5 to 30 times \
slower. **Limit**: requests allowed, as a multiple of a day's mean (the rush is twice the mean); \
beyond it, 429 with Retry-After. Prices are for a million tokens.

On a good day 0.4 % of requests hang, fail, are empty, break off or stall. This day has {episodes} \
episodes, {minutes:.0f} server-minutes of 7,200: brown-outs in which all servers \
of a vendor are two to five times slower and hang at times, outages of a vendor, slow patches, \
hangs, refusals, empty replies, broken, stalling and dripping streams."""
_CONTENDERS = """\
The first is the default. Policies differ in their purpose: those that spread the calls over \
all servers (`affinity`, `p2c`, `round_robin`, `weighted`) send a part of them to the slow ones on \
purpose."""
_BUDGET = """\
The default policy by the number of hedges that a hundred questions may start. Failovers, past the \
deadline of a late server, need no budget."""
