"""The page of this bench."""

from pathlib import Path

from bench.phone.figures import PhoneFigures, PhoneSet, phone_goals
from bench.report.goals import goals_table
from bench.report.page import Page
from bench.report.table import Table, make_table, percent, seconds


def make_page(figures: PhoneFigures) -> Page:
    single, crowds, crowd = figures.single, figures.crowds, figures.crowd
    return Page(
        template=Path(__file__).with_name("phone.md"),
        values={
            "calls": len(single.calls),
            "crowd": ", ".join(str(len(each.calls)) for each in crowds),
            "times": times_table([single, *crowds]),
            "costs": costs_table(crowd),
            "hellos": hellos_table(figures),
            "goals": goals_table(phone_goals(figures)),
        },
    )


def times_table(sets: list[PhoneSet]) -> Table:
    return make_table(
        sets,
        [
            ("", lambda one: one.title),
            ("answer p50, s", lambda one: seconds(one.answered(0.5))),
            ("answer max, s", lambda one: seconds(one.answered(1.0))),
            ("first sound p50, s", lambda one: seconds(one.greeted(0.5))),
            ("first sound max, s", lambda one: seconds(one.greeted(1.0))),
            ("reply p50, s", lambda one: seconds(one.replied(0.5))),
            ("reply p95, s", lambda one: seconds(one.replied(0.95))),
            ("sound lost, at most", lambda one: percent(one.most_lost)),
        ],
    )


def hellos_table(figures: PhoneFigures) -> Table:
    """Makes the table of the calls out that a person has answered with a hello."""
    return make_table(
        [figures],
        [
            ("calls out", lambda one: f"{len(one.hellos)}"),
            ("first word p50, s", lambda one: seconds(one.hello(0.5))),
            ("first word max, s", lambda one: seconds(one.hello(1.0))),
        ],
    )


def costs_table(crowd: PhoneSet) -> Table:
    """Makes the table of each program's costs of a call: share of one core, and memory."""
    return make_table(
        crowd.costs,
        [
            ("program", lambda cost: cost.program),
            ("core a call", lambda cost: percent(cost.processor / crowd.seconds)),
            ("memory a call, MB", lambda cost: f"{cost.memory / len(crowd.calls):.0f}"),
        ],
    )
