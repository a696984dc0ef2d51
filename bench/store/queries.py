"""Queries and writes of a database of usage, and their timings."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from statistics import median
from time import perf_counter
from typing import Any

from sqlalchemy import func, select

from bench.full_store.fill import PERIOD, VIEWER_TEAM, connection_id
from bench.report.command import Progress
from bench.report.quantiles import quantile
from llm_router.connections.access import SYSTEM, Actor
from llm_router.connections.store import Query
from llm_router.routing.events import AttemptEvent, ReplyEvent
from llm_router.store.analytics import Analytics, GroupBy, Span
from llm_router.store.call_figures import call_figures
from llm_router.store.calls import CallStore
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.database import Database
from llm_router.store.summaries import ROLL_UP_BATCH, roll_up, summed_up_to
from llm_router.store.tables import usage
from llm_router.store.usage import UsageLog, UsageRecord, from_row
from llm_router.telemetry.usage import UsageObserver
from llm_router.voice.calls import AttemptFilters, CallFilters

RunQuery = Callable[[], Awaitable[object]]
VIEWER = Actor("vera", "viewer", owner="vera", team=VIEWER_TEAM)
_BATCH = 500
WRITING = f"write {_BATCH} attempts"
RECORDING = "record one attempt"
_RECORDED = 2_000
_LARGE_STEP = 500_000
_STEPS_TIMED = 20


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of each run of a query."""

    query: str
    seconds: Sequence[float]

    @property
    def p50(self) -> float:
        return median(self.seconds)

    @property
    def p95(self) -> float:
        return quantile(self.seconds, 0.95)


_SUMMARY: Sequence[Sequence[GroupBy]] = ((), ["pool"], ["integration"], ["assistant"])
"""The groupings of the summary that the page of usage shows."""
ANALYTICS = (
    "summary, 30 days",
    "summary, 30 days, as a viewer",
    "summary, last 24 hours",
    "series, 30 days by day",
    "series, 48 hours by hour",
    "connections compared, 30 days",
    "one connection, 30 days by day",
    "latest 50 attempts of a connection",
    "month's cost of 24 connections",
)


CALLS = (
    "calls and their ends, 30 days",
    "calls with a failover, first page",
    "calls with a failed attempt on a connection, first page",
    "calls that were spared a silence, first page",
)


def make_queries(store: SqlConnectionStore, now: datetime) -> Mapping[str, RunQuery]:
    analytics = Analytics(store.database)
    days = timedelta(days=1)
    # Each span ends within the last hour, as on the console.
    month = Span(since=now - PERIOD, until=now)
    day = replace(month, since=now - days)
    hours = Span(since=now - 2 * days, until=now, by="hour")
    ids = [connection_id(place) for place in range(24)]

    async def compared() -> None:
        leading, _ = await analytics.leading(SYSTEM, month, "attempts", 100)
        await analytics.figures(SYSTEM, month, ["connection_id"], among=leading)
        await analytics.names(leading)

    one = replace(month, connection_id=ids[0])
    runs: list[RunQuery] = [
        lambda: analytics.groupings(SYSTEM, month, *_SUMMARY),
        lambda: analytics.groupings(VIEWER, month, *_SUMMARY),
        lambda: analytics.figures(SYSTEM, day),
        lambda: analytics.figures(SYSTEM, month, ["at"]),
        lambda: analytics.figures(SYSTEM, hours, ["at"]),
        compared,
        lambda: analytics.figures(SYSTEM, one, ["at"]),
        lambda: analytics.latest(ids[0]),
        lambda: analytics.spent_this_month(ids, now),
    ]
    listed = Query(tags=("spare",), text="model-3")
    return (
        dict(zip(ANALYTICS, runs, strict=True))
        | _call_queries(store.database, month)
        | {
            "connections, first page": lambda: store.find(SYSTEM, Query()),
            "connections, by tag and text, as a viewer": lambda: store.find(VIEWER, listed),
        }
    )


def _call_queries(database: Database, month: Span) -> dict[str, RunQuery]:
    calls = CallStore(database)

    def page(**wanted: Any) -> RunQuery:
        had = AttemptFilters(**wanted)
        filters = CallFilters(started_from=month.since, started_to=month.until, attempts=had)
        return lambda: calls.find(filters, limit=100)

    runs: list[RunQuery] = [
        lambda: call_figures(database, month, (), ["at"], ["assistant"]),
        page(role="failover"),
        page(outcome="failed", connection_id=connection_id(0)),
        page(avoided_silence=True),
    ]
    return dict(zip(CALLS, runs, strict=True))


async def measure_queries(
    queries: Mapping[str, RunQuery], rounds: int, progress: Progress
) -> list[Timing]:
    """Runs each query once uncounted, then `rounds` times."""
    timings = []
    for name, query in queries.items():
        progress(name)
        await query()
        timings.append(Timing(name, [await _time(query) for _ in range(rounds)]))
    return timings


async def measure_writing(
    database: Database, samples: Sequence[Mapping[str, Any]], now: datetime, rounds: int
) -> list[Timing]:
    """Writes batches, as busy processes do, and single attempts, as a quiet call does."""
    log = UsageLog(database)
    at = now - timedelta(seconds=1)
    batch = [replace(from_row(sample), at=at) for sample in samples[:_BATCH]]
    many = [await _time(lambda: log.append(batch)) for _ in range(rounds)]
    one = [await _time(lambda: log.append(batch[:1])) for _ in range(rounds)]
    return [Timing(WRITING, many), Timing("write one attempt", one)]


async def measure_summaries(database: Database, progress: Progress) -> Timing:
    """Sums up all waiting attempts; measures the last ones, in the steps used in service."""
    while (left := await count_waiting(database) - _STEPS_TIMED * ROLL_UP_BATCH) > 0:
        progress(f"{database.dialect}: {left:,} attempts to sum up")
        await roll_up(database, min(_LARGE_STEP, left))
    steps: list[float] = []
    while True:
        start = perf_counter()
        if not await roll_up(database):
            return Timing(f"sum up {ROLL_UP_BATCH:,} attempts", steps)
        steps.append(perf_counter() - start)


async def count_waiting(database: Database) -> int:
    """Returns the number of attempts that are not summed up yet."""
    async with database.reading() as db:
        last = (await db.execute(select(func.max(usage.c.id)))).scalar_one()
        return int(last or 0) - await summed_up_to(db)


def measure_recording() -> Timing:
    """Measures the time that an attempt takes on the event loop of the calls."""
    attempt = AttemptEvent(
        connection="a", role="first", outcome="won", failure=None, first_word=0.2, duration=2.0,
        characters=200,
    )  # fmt: skip
    reply = ReplyEvent(
        session_id="s", connection="a", model="m", first_word=0.2, took_over_from=(), attempts=1,
        resumes=0, last_resort=False, cancelled=False, characters=200, wasted=0, failures=(),
        tries=(attempt,),
    )  # fmt: skip

    class DiscardUsage:
        async def append(self, attempts: Sequence[UsageRecord], *, again: bool = False) -> None:
            """Writes nothing."""

    observer = UsageObserver(DiscardUsage(), bound=_RECORDED)
    return Timing(RECORDING, [_time_call(observer, reply) for _ in range(_RECORDED)])


def _time_call(observer: UsageObserver, reply: ReplyEvent) -> float:
    start = perf_counter()
    observer.reply_ended(reply)
    return perf_counter() - start


async def _time(query: RunQuery) -> float:
    start = perf_counter()
    await query()
    return perf_counter() - start
