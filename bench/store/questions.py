"""What a database of usage is asked, how long it takes, and how it goes about it."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from statistics import median
from time import perf_counter
from typing import Any

from sqlalchemy import event, func, select

from bench.first_word.turn import quantile
from bench.report.table import Progress
from bench.store.fill import LASTED, VIEWER_TEAM, connection_id
from llm_router.connections.access import SYSTEM, Actor
from llm_router.connections.store import Query
from llm_router.routing.events import AttemptEvent, ReplyEvent
from llm_router.store.analytics import Analytics, Span
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.database import Database
from llm_router.store.summaries import ROLL_UP_BATCH, roll_up, summed_up_to
from llm_router.store.tables import usage
from llm_router.store.usage import UsageLog, UsageRecord, from_row
from llm_router.telemetry.usage import UsageObserver

Ask = Callable[[], Awaitable[object]]
VIEWER = Actor("vera", "viewer", owner="vera", team=VIEWER_TEAM)
_BATCH = 500
WRITING, NOTING = f"write {_BATCH} attempts", "note one attempt"
_NOTED = 2_000
_LARGE_STEP, _STEPS_TIMED = 500_000, 20


@dataclass(frozen=True, slots=True)
class Answer:
    """Seconds, each time it was asked."""

    question: str
    took: Sequence[float]

    @property
    def p50(self) -> float:
        return median(self.took)

    @property
    def p95(self) -> float:
        return quantile(self.took, 0.95)


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


def questions(store: SqlConnectionStore, now: datetime) -> Mapping[str, Ask]:
    analytics, days = Analytics(store.database), timedelta(days=1)
    # The last hour is a part of what is asked for, as it is for whoever looks at a page.
    month = Span(since=now - LASTED, until=now)
    day, hours = replace(month, since=now - days), Span(since=now - 2 * days, until=now, by="hour")
    ids = [connection_id(place) for place in range(24)]
    one = replace(month, connection_id=ids[0])
    asks: list[Ask] = [
        lambda: analytics.figures(SYSTEM, month),
        lambda: analytics.figures(VIEWER, month),
        lambda: analytics.figures(SYSTEM, day),
        lambda: analytics.figures(SYSTEM, month, ["at"]),
        lambda: analytics.figures(SYSTEM, hours, ["at"]),
        lambda: analytics.figures(SYSTEM, month, ["connection_id"]),
        lambda: analytics.figures(SYSTEM, one, ["at"]),
        lambda: analytics.latest(ids[0]),
        lambda: analytics.spent_this_month(ids, now),
    ]
    listed = Query(tags=("spare",), text="model-3")
    return dict(zip(ANALYTICS, asks, strict=True)) | {
        "connections, first page": lambda: store.find(SYSTEM, Query()),
        "connections, by tag and text, as a viewer": lambda: store.find(VIEWER, listed),
    }


async def answers(asked: Mapping[str, Ask], rounds: int, tell: Progress) -> list[Answer]:
    found = []
    for question, ask in asked.items():
        tell(question)
        await ask()
        found.append(Answer(question, [await _timed(ask) for _ in range(rounds)]))
    return found


async def writing(
    database: Database, like: Sequence[Mapping[str, Any]], now: datetime, rounds: int
) -> list[Answer]:
    """Batches as busy processes write them, and the one attempt of a quiet call."""
    log, at = UsageLog(database), now - timedelta(seconds=1)
    batch = [replace(from_row(kind), at=at) for kind in like[:_BATCH]]
    many = [await _timed(lambda: log.append(batch)) for _ in range(rounds)]
    one = [await _timed(lambda: log.append(batch[:1])) for _ in range(rounds)]
    return [Answer(WRITING, many), Answer("write one attempt", one)]


async def summing_up(database: Database, tell: Progress) -> Answer:
    """All that is left; the last of it in the steps of the process that tends the log, timed."""
    while (left := await waiting(database) - _STEPS_TIMED * ROLL_UP_BATCH) > 0:
        tell(f"{database.dialect}: {left:,} attempts to sum up")
        await roll_up(database, min(_LARGE_STEP, left))
    took: list[float] = []
    while True:
        start = perf_counter()
        if not await roll_up(database):
            return Answer(f"sum up {ROLL_UP_BATCH:,} attempts", took)
        took.append(perf_counter() - start)


async def waiting(database: Database) -> int:
    """Attempts that are not summed up yet."""
    async with database.reading() as db:
        last = (await db.execute(select(func.max(usage.c.id)))).scalar_one()
        return int(last or 0) - await summed_up_to(db)


def noting() -> Answer:
    """What an attempt costs the loop that calls run on."""
    attempt = AttemptEvent(
        connection="a", role="first", outcome="won", failure=None, first_word=0.2, duration=2.0,
        characters=200,
    )  # fmt: skip
    reply = ReplyEvent(
        session_id="s", connection="a", model="m", first_word=0.2, took_over_from=(), attempts=1,
        resumes=0, last_resort=False, cancelled=False, characters=200, wasted=0, failures=(),
        tries=(attempt,),
    )  # fmt: skip

    class Nowhere:
        async def append(self, attempts: Sequence[UsageRecord], *, again: bool = False) -> None:
            """Nothing is written."""

    observer = UsageObserver(Nowhere(), bound=_NOTED)
    return Answer(NOTING, [_timed_call(observer, reply) for _ in range(_NOTED)])


def _timed_call(observer: UsageObserver, reply: ReplyEvent) -> float:
    start = perf_counter()
    observer.reply_ended(reply)
    return perf_counter() - start


async def _timed(ask: Ask) -> float:
    start = perf_counter()
    await ask()
    return perf_counter() - start


# ── How the database goes about it ───────────────────────────────────────────────────────────────


async def plans(database: Database, asked: Mapping[str, Ask]) -> dict[str, list[str]]:
    """The database's own words on every statement of some questions."""
    return {question: await _plan(database, asked[question]) for question in _EXPLAINED}


_EXPLAINED = (ANALYTICS[0], ANALYTICS[7], ANALYTICS[8])


async def _plan(database: Database, ask: Ask) -> list[str]:
    heard: list[tuple[str, Any]] = []
    with _listening(database, heard):
        await ask()
    explain = "EXPLAIN QUERY PLAN " if database.dialect == "sqlite" else "EXPLAIN (COSTS OFF) "
    lines = []
    async with database.reading() as db:
        for statement, parameters in heard:
            found = await db.exec_driver_sql(explain + statement, parameters)
            lines += [str(each[-1]) for each in found]
    return lines


@contextmanager
def _listening(database: Database, heard: list[tuple[str, Any]]) -> Iterator[None]:
    def hear(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if statement.startswith(("SELECT", "WITH")):
            heard.append((statement, parameters))

    engine = database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", hear)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", hear)
