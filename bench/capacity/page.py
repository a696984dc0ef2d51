"""The page of this bench."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.capacity.figures import (
    CALLERS,
    HTTP,
    KNEE,
    MEDIA,
    SPEECH,
    WORKER,
    CapacityFigures,
    CounterFigures,
    Ramp,
    StoreFigures,
    capacity_goals,
    slope,
)
from bench.capacity.fleet_worker import PERIOD as ASKED_EVERY
from bench.capacity.ramp import FIRST_TOKEN, PERIOD
from bench.capacity.simulation import Costs, Habits, Need, Peaks, Units, binding
from bench.report.goals import goals_table
from bench.report.page import Page
from bench.report.quantiles import quantile
from bench.report.table import Table, make_table, seconds

_PROGRAMS = (WORKER, SPEECH, MEDIA, HTTP, CALLERS)


def costs_of(figures: CapacityFigures) -> Costs:
    """Returns the costs of a call for the simulation: those of our worker, and the store's."""
    best, stores = figures.ramps[0].best, figures.stores
    busiest = stores[-1]
    return Costs(
        worker=best.ours / 60,
        media=best.processor.get(MEDIA, 0.0) / 60,
        memory=figures.ramps[0].megabytes_per_call,
        transactions=slope(stores, lambda one: one.transactions),
        transaction=busiest.cores / busiest.transactions,
        connections=slope(stores, lambda one: one.connections),
        notice=max(0.0, slope(stores, lambda one: one.seen_by_all(0.5))),
    )


def make_page(figures: CapacityFigures, sizes: Mapping[int, tuple[Peaks, Sequence[Need]]]) -> Page:
    habits, units = Habits(), Units()
    return Page(
        template=Path(__file__).with_name("capacity.md"),
        values={
            "knee": KNEE,
            "period": PERIOD,
            "first_token": FIRST_TOKEN * 1000,
            "asked_every": ASKED_EVERY,
            "summary": summary_table(figures.ramps),
            "steps": {ramp.title: steps_table(ramp) for ramp in figures.ramps},
            "stores": stores_table(figures.stores),
            "counters": counters_table(figures.counters),
            "costs": costs_table(costs_of(figures)),
            "needs": needs_table(sizes),
            "habits": habits,
            "units": units,
            "goals": goals_table(capacity_goals(figures)),
        },
    )


def summary_table(ramps: Sequence[Ramp]) -> Table:
    return make_table(
        ramps,
        [
            ("", lambda ramp: ramp.title),
            ("calls before the knee", _carried),
            ("first sound, one call, s", lambda ramp: seconds(ramp.steps[0].wait(0.5))),
            ("processor a minute of call, s", lambda ramp: f"{ramp.best.ours:.1f}"),
            ("calls a core", lambda ramp: f"{ramp.calls_per_core:.1f}"),
            ("MB a call", lambda ramp: f"{ramp.megabytes_per_call:,.0f}"),
            ("MB without a call", lambda ramp: f"{ramp.idle:,.0f}"),
        ],
    )


def _carried(ramp: Ramp) -> str:
    return f"{ramp.carried}" if ramp.is_past_knee else f"{ramp.carried} or more"


def steps_table(ramp: Ramp) -> Table:
    return make_table(
        ramp.steps,
        [
            ("calls", lambda step: f"{step.calls}"),
            ("turns", lambda step: f"{len(step.turns)}"),
            ("first sound p50, s", lambda step: seconds(step.wait(0.5))),
            ("max, s", lambda step: seconds(step.wait(1.0))),
            ("lost", lambda step: f"{step.lost}"),
            *(
                (f"{name}, s", lambda step, name=name: f"{step.processor.get(name, 0):.1f}")
                for name in _PROGRAMS
            ),
            ("MB", lambda step: f"{sum(step.memory.values()):,.0f}"),
        ],
    )


def stores_table(stores: Sequence[StoreFigures]) -> Table:
    return make_table(
        stores,
        [
            ("workers", lambda one: f"{one.workers}"),
            ("calls", lambda one: f"{one.calls}"),
            ("transactions a second", lambda one: f"{one.transactions:,.0f}"),
            ("rows written a second", lambda one: f"{one.writes:,.0f}"),
            ("cores of PostgreSQL", lambda one: f"{one.cores:.2f}"),
            ("connections", lambda one: f"{one.connections}"),
            ("noticed p50, s", lambda one: f"{one.delay(0.5):.3f}"),
            ("p99, s", lambda one: f"{one.delay(0.99):.3f}"),
            ("by all, longest, s", lambda one: f"{one.seen_by_all(1.0):.3f}"),
        ],
    )


def counters_table(counters: CounterFigures | None) -> Table:
    return make_table(
        [counters] if counters else [],
        [
            ("counted a second", lambda one: f"{one.hits:,.0f}"),
            ("cores of Redis", lambda one: f"{one.cores:.2f}"),
            ("wait p50, ms", lambda one: f"{quantile(one.waits, 0.5) * 1e3:.1f}"),
            ("wait p99, ms", lambda one: f"{quantile(one.waits, 0.99) * 1e3:.1f}"),
        ],
    )


def costs_table(costs: Costs) -> Table:
    rows = [
        ["worker and speech models, cores", f"{costs.worker:.3f}"],
        ["media server, cores", f"{costs.media:.3f}"],
        ["memory of the worker, MB", f"{costs.memory:,.0f}"],
        ["transactions of the store a second", f"{costs.transactions:.1f}"],
        ["PostgreSQL, cores", f"{costs.transactions * costs.transaction:.4f}"],
        ["connections to PostgreSQL", f"{costs.connections:.2f}"],
        ["a change is noticed by all later by, ms", f"{costs.notice * 1e3:.2f}"],
    ]
    return Table(("one call more", ""), rows)


def needs_table(sizes: Mapping[int, tuple[Peaks, Sequence[Need]]]) -> Table:
    """Makes a column of each size, with what it needs of each part."""
    found = [*sizes.values()]
    peaks = [peak for peak, _ in found]
    rows = [
        ["calls at once, at the peak", *(f"{peak.calls:,}" for peak in peaks)],
        ["calls that begin in a second", *(f"{peak.starts:,}" for peak in peaks)],
        ["replies in writing at once", *(f"{peak.replies:,}" for peak in peaks)],
    ]
    parts = zip(*(needed for _, needed in found), strict=True)
    rows += [[part[0].part, *map(_units, part)] for part in parts]
    rows.append(["binds", *(binding(needed).part for _, needed in found)])
    return Table(("", *(f"{size:,} calls" for size in sizes)), rows)


def _units(need: Need) -> str:
    text = f"{need.units:,.2f}" if need.units < 10 else f"{need.units:,.0f}"
    return f"**{text}**" if need.is_out_of_reach else text
