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
from bench.report.page import Page
from bench.report.picture import COLOURS, GREY, add_grid, figure
from bench.report.table import Table, make_table, seconds


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
    return make_table(
        days,
        [
            ("", lambda day: day.contender),
            ("replies", lambda day: f"{day.replies:,}"),
            ("silence s", lambda day: f"{day.silence:.0f}"),
            ("p50 s", lambda day: seconds(day.first_word(0.5))),
            ("p95 s", lambda day: seconds(day.first_word(0.95))),
            ("p99 s", lambda day: seconds(day.first_word(0.99))),
            ("p99.9 s", lambda day: seconds(day.first_word(0.999))),
            ("> 1 s", lambda day: f"{day.later_than(1):.2%}"),
            ("> 2 s", lambda day: f"{day.later_than(2):.2%}"),
            ("lost", lambda day: f"{day.lost:.3%}"),
            ("requests", lambda day: f"{day.bill.requests / day.replies:.3f}"),
            ("words", lambda day: f"{day.bill.generated / day.received:.3f}"),
            ("cost", lambda day: f"{day.relative_cost:.2f}"),
        ],
    )


def make_page(run: Run) -> Page:
    drawn = episodes(run.seed)
    return Page(
        template=Path(__file__).with_name("outage.md"),
        pictures={"outage.png": partial(_draw, run)},
        values={
            "replies": max(day.replies for day in run.days),
            "seed": run.seed,
            "process_replies": PROCESS_REPLIES,
            "modelled": MODELLED,
            "pause": PAUSE,
            "hang_up_after": HANG_UP_AFTER,
            "ask_again_after": ASK_AGAIN_AFTER,
            "prompts": ", ".join(f"{one.characters:,} ({one.share:.0%})" for one in PROMPTS),
            "servers": _servers(),
            "episodes": len(drawn),
            "minutes": sum((one.end - one.start) * len(one.servers) for one in drawn) / 60,
            "days": days_table(run.compared()),
            "budgets": _budgets(run),
        },
    )


def _servers() -> Table:
    return make_table(
        SERVERS,
        [
            ("server", lambda server: server.name),
            ("median s", lambda server: f"{server.median:.2f}"),
            ("spread", lambda server: f"{server.spread:.2f}"),
            ("tail", lambda server: f"{server.tail:.1%}"),
            ("ms a word", lambda server: f"{server.pace * 1000:.0f}"),
            ("limit", lambda server: f"{server.limit:g}" if server.limit else "–"),
            ("$ in", lambda server: f"{server.price_in:.2f}"),
            ("$ out", lambda server: f"{server.price_out:.2f}"),
        ],
    )


def _budgets(run: Run) -> Table:
    def name(budget: float) -> str:
        return f"**{budget:.0%}**" if budget == DEFAULT else f"{budget:.0%}"

    return make_table(
        run.by_budget(),
        [
            ("budget", lambda item: name(item[0])),
            ("replies", lambda item: f"{item[1].replies:,}"),
            ("silence s", lambda item: f"{item[1].silence:.1f}"),
            ("p99 s", lambda item: seconds(item[1].first_word(0.99))),
            ("p99.9 s", lambda item: seconds(item[1].first_word(0.999))),
            ("> 1 s", lambda item: f"{item[1].later_than(1):.2%}"),
            ("> 2 s", lambda item: f"{item[1].later_than(2):.2%}"),
            ("requests", lambda item: f"{item[1].bill.requests / item[1].replies:.3f}"),
            ("cost over none", lambda item: f"{run.added_cost(item[1]):+.1%}"),
        ],
    )


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
