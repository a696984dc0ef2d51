"""Tests the figures of the usage log, on every database, before and after it is summed up."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, get_args

import pytest
from sqlalchemy import event, func, select, text

from llm_router.clock import SystemClock, Timer, checkpoint
from llm_router.connections.access import SYSTEM
from llm_router.errors import ConfigurationError, ForbiddenError
from llm_router.store import leases
from llm_router.store.analytics import Analytics, GroupBy, GroupKey, Order, Span
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.database import Database
from llm_router.store.dialects import TimeUnit
from llm_router.store.migrations import migrate
from llm_router.store.summaries import LEASE_NAME, UsageMaintenance, prune, roll_up, summed_up_to
from llm_router.store.tables import usage
from llm_router.store.usage import APPEND_LOCK, UsageLog, UsageRecord, to_row
from llm_router.store.usage_figures import Figures
from tests.contracts.databases import Postgres, Server, opened
from tests.contracts.stores import ANNA, BEN, VAULT, VERA, added
from tests.contracts.usage_records import LASTS, MONDAY, attempt, attempts, counted

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ALL = Span(since=MONDAY, until=MONDAY + LASTS)


async def written(database: Database, some: Sequence[UsageRecord]) -> Analytics:
    await UsageLog(database).append(some)
    return Analytics(database)


async def summed_up(database: Database, limit: int = 97) -> None:
    while await roll_up(database, limit):
        pass


async def rows(database: Database) -> int:
    async with database.reading() as db:
        return int((await db.execute(select(func.count()).select_from(usage))).scalar_one())


def plain(figures: dict[GroupKey, Figures]) -> dict[GroupKey, Figures]:
    return {key: replace(one, ttft={}, ttfc={}) for key, one in figures.items()}


def expected(
    some: Sequence[UsageRecord],
    by: Sequence[GroupBy],
    unit: TimeUnit,
    wanted: Callable[[UsageRecord], bool],
) -> dict[GroupKey, Figures]:
    groups: dict[GroupKey, list[UsageRecord]] = defaultdict(list)
    for one in filter(wanted, some):
        groups[tuple(_value(one, name, unit) for name in by)].append(one)
    return {key: counted(groups[key]) for key in sorted(groups)}


def _value(one: UsageRecord, name: str, unit: TimeUnit) -> Any:
    if name != "at":
        return getattr(one, name)
    begun = one.at.replace(minute=0, second=0, microsecond=0)
    return begun if unit == "hour" else begun.replace(hour=0)


# ── Figures ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "by", [[], ["connection_id"], ["pool", "integration"], ["assistant"], ["at"]]
)
@pytest.mark.parametrize(("unit", "lasts"), [("hour", 47 * HOUR), ("day", 6 * DAY - 4 * HOUR)])
async def test_figures_are_right_however_much_is_summed_up(
    database: Database, by: list[GroupBy], unit: TimeUnit, lasts: timedelta
) -> None:
    some = attempts()
    analytics = await written(database, some)
    since = MONDAY + DAY + 5 * HOUR + HOUR / 3
    span = Span(since=since, until=since + lasts)
    begins, ends = span.begins, span.ends
    assert (since - begins, ends - span.until) < (HOUR, HOUR) if unit == "hour" else (DAY, DAY)
    right = expected(some, by, unit, lambda one: begins <= one.at < ends)
    first = await analytics.figures(SYSTEM, span, by)
    assert plain(first) == right
    for _ in range(3):
        await roll_up(database, 97)
        assert await analytics.figures(SYSTEM, span, by) == first
    await summed_up(database)
    assert await analytics.figures(SYSTEM, span, by) == first


@pytest.mark.parametrize(
    ("lasts", "by", "whole"),
    [
        (2 * HOUR, None, (10, 13)),
        (2 * HOUR, "day", (0, 24)),
        (48 * HOUR, "hour", (10, 59)),
        (49 * HOUR, None, (0, 72)),
        (2 * HOUR - HOUR / 3, None, (10, 12)),  # it ends with an hour
    ],
)
def test_a_span_is_of_whole_hours_or_days(
    lasts: timedelta, by: TimeUnit | None, whole: tuple[int, int]
) -> None:
    since = MONDAY + 10 * HOUR + HOUR / 3
    span = Span(since=since, until=since + lasts, by=by)
    assert [(at - MONDAY) / HOUR for at in (span.begins, span.ends)] == [*whole]


@pytest.mark.parametrize(
    "asked",
    [
        {"connection_id": "2"},
        {"pool": "night"},
        {"integration": "mcp", "pool": "night"},
        {"assistant": "desk"},
    ],
)
async def test_figures_are_filtered(database: Database, asked: dict[str, str]) -> None:
    some = attempts()
    analytics = await written(database, some)
    await roll_up(database, 200)

    def is_meant(one: UsageRecord) -> bool:
        return all(getattr(one, name) == value for name, value in asked.items())

    right = expected(some, (), "day", is_meant)
    assert plain(await analytics.figures(SYSTEM, replace(ALL, **asked))) == right  # type: ignore[arg-type]  # fields by name


async def test_several_groupings_are_of_one_reading(database: Database) -> None:
    analytics = await written(database, attempts())
    await roll_up(database, 200)
    found = await analytics.groupings(SYSTEM, ALL, (), ["pool"], ["assistant", "at"])
    for by, figures in zip(((), ["pool"], ["assistant", "at"]), found, strict=True):
        assert figures == await analytics.figures(SYSTEM, ALL, by)  # type: ignore[arg-type]  # names of columns
    some = await analytics.figures(SYSTEM, ALL, ["connection_id"], among=["1", "3"])
    assert [key for (key,) in some] == ["1", "3"]


@pytest.mark.parametrize("order", ["attempts", "failed", "cost"])
async def test_the_connections_with_the_most_come_first_page_by_page(
    database: Database, order: Order
) -> None:
    analytics = await written(database, attempts())
    await roll_up(database, 200)
    all_of_them = await analytics.figures(SYSTEM, ALL, ["connection_id"])
    right = sorted(all_of_them, key=lambda key: getattr(all_of_them[key], order), reverse=True)
    assert await analytics.leading(SYSTEM, ALL, order, 2) == ([key for (key,) in right[:2]], 3)
    assert await analytics.leading(SYSTEM, ALL, order, 2, 2) == ([right[2][0]], 3)
    assert await analytics.leading(SYSTEM, ALL, order, 2, 4) == ([], 3)
    assert await analytics.leading(SYSTEM, replace(ALL, pool="none"), order, 2) == ([], 0)


async def test_the_connections_with_the_most_are_found_in_the_span_alone(tmp_path: Path) -> None:
    """Not by the index of connections, which leads through the rows of all times."""
    statements: list[tuple[str, Any]] = []
    orders: Sequence[Order] = get_args(Order)

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if "llm_connection_usage_daily" in statement:
            statements.append((statement, parameters))

    async with opened(f"sqlite:///{tmp_path}/store.sqlite3") as database:
        await migrate(database)
        event.listen(database.engine.sync_engine, "before_cursor_execute", note)
        for order in orders:
            await Analytics(database).leading(SYSTEM, ALL, order, 5)
        event.remove(database.engine.sync_engine, "before_cursor_execute", note)
        assert len(statements) == len(orders)
        async with database.reading() as db:
            for statement, parameters in statements:
                rows = await db.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                plan = " ".join(str(row[-1]) for row in rows)
                assert "llm_connection_usage_daily USING PRIMARY KEY (at>? AND at<?)" in plan


async def test_assistants_are_counted_over_all_connections_for_who_sees_all(
    database: Database,
) -> None:
    analytics = await written(database, attempts(20))
    with pytest.raises(ForbiddenError, match="ask an admin"):
        await analytics.figures(ANNA, ALL, ["assistant"])
    for span, by in (
        (replace(ALL, assistant="desk"), ["connection_id"]),
        (replace(ALL, connection_id="1"), ["assistant"]),
    ):
        with pytest.raises(ConfigurationError, match="leave out the connection"):
            await analytics.figures(SYSTEM, span, by)  # type: ignore[arg-type]  # names of columns


async def test_figures_of_no_attempts_are_zero(database: Database) -> None:
    assert await Analytics(database).figures(SYSTEM, ALL) == {(): Figures()}
    assert await Analytics(database).figures(SYSTEM, ALL, ["pool"]) == {}


async def test_quantiles_are_within_a_twentieth(database: Database) -> None:
    some = [attempt(reply_id=str(n), ttft=n / 1000, ttfc=n / 500) for n in range(1, 1001)]
    analytics = await written(database, [*some, attempt(ttft=None)])
    await roll_up(database, 500)
    [found] = (await analytics.figures(SYSTEM, ALL)).values()
    for name, right in {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}.items():
        assert found.ttft[name] == pytest.approx(right, rel=0.051)
        assert found.ttfc[name] == pytest.approx(2 * right, rel=0.051)


async def test_a_day_begins_in_utc_whatever_the_zone_of_the_span(database: Database) -> None:
    late = datetime(2026, 11, 3, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    analytics = await written(database, [attempt(at=late)])
    there = Span(since=late - HOUR, until=late + HOUR, by="day")
    for _ in range(2):
        assert [*await analytics.figures(SYSTEM, there, ["at"])] == [(MONDAY,)]
        await summed_up(database)


def test_an_invalid_span_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at most two days"):
        replace(ALL, by="hour")
    with pytest.raises(ConfigurationError, match="before until"):
        Span(since=MONDAY, until=MONDAY)
    with pytest.raises(ConfigurationError, match="time zone"):
        Span(since=MONDAY.replace(tzinfo=None), until=MONDAY)


# ── Visibility ──────────────────────────────────────────────────────────────────────────────────


async def test_only_visible_connections_are_counted(database: Database) -> None:
    store = SqlConnectionStore(database, VAULT)
    private = await added(store, ANNA, "private")
    shared = await added(store, ANNA, "shared", team="red", visibility="team")
    ids = [private.id, shared.id, "removed"]
    analytics = await written(
        database, [attempt(connection_id=one, reply_id=one) for one in ids for _ in range(2)]
    )
    for _ in range(2):
        seen = {
            actor.name: {key[0] for key in await analytics.figures(actor, ALL, ["connection_id"])}
            for actor in (SYSTEM, ANNA, BEN, VERA)
        }
        assert seen == {
            "system": {*ids}, "anna": {private.id, shared.id}, "ben": {shared.id},
            "vera": {shared.id},
        }  # fmt: skip
        assert (await analytics.figures(BEN, ALL))[()].attempts == 2
        await summed_up(database, 3)


async def test_a_reply_is_found_by_its_id_as_far_as_its_connections_are_visible(
    database: Database,
) -> None:
    store = SqlConnectionStore(database, VAULT)
    private = await added(store, ANNA, "private")
    shared = await added(store, ANNA, "shared", team="red", visibility="team")
    first = attempt(connection_id=private.id, outcome="unreachable")
    second = attempt(connection_id=shared.id, role="failover", at=MONDAY + HOUR)
    removed = attempt(connection_id="removed", role="resume", at=MONDAY + 2 * HOUR)
    other = attempt(connection_id=shared.id, reply_id="other")
    analytics = await written(database, [second, other, removed, first])
    assert await analytics.reply(SYSTEM, "r") == (first, second, removed)
    assert await analytics.reply(ANNA, "r") == (first, second)
    assert await analytics.reply(BEN, "r") == (second,)
    assert await analytics.reply(BEN, "nothing") == ()


async def test_names_are_current_or_the_last_before_removal(
    database: Database,
) -> None:
    current = await added(SqlConnectionStore(database, VAULT), name="today")
    some = [attempt(connection_id=current.id, connection_name="before"), attempt()]
    analytics = await written(database, some)
    await summed_up(database)
    assert await analytics.names([current.id, "1", "unknown"]) == {
        current.id: "today",
        "1": "cellar",
    }


# ── Money, and single attempts ───────────────────────────────────────────────────────────────────


async def test_the_cost_of_this_month(database: Database) -> None:
    some = [
        attempt(at=MONDAY, cost=0.5),
        attempt(at=MONDAY + 5 * HOUR, cost=0.25, reply_id="2"),
        attempt(at=MONDAY - timedelta(days=3), cost=64.0, reply_id="3"),  # October
        attempt(connection_id="2", cost=1.0),
        attempt(connection_id="2", cost=None),
        attempt(connection_id="3", cost=8.0),
    ]
    analytics = await written(database, some)
    for _ in range(4):
        spent = await analytics.spent_this_month(["1", "2", "4"], MONDAY + LASTS)
        assert spent == {"1": 0.75, "2": 1.0, "4": 0.0}
        await roll_up(database, 2)
    assert await analytics.spent_this_month(["1"], MONDAY + timedelta(days=30)) == {"1": 0.0}


async def test_the_latest_attempts_come_as_they_were_written(database: Database) -> None:
    some = attempts(60)
    analytics = await written(database, some)
    right = sorted((one for one in some if one.connection_id == "1"), key=lambda one: one.at)
    assert await analytics.latest("1", 7) == tuple(reversed(right[-7:]))


async def test_a_repeated_batch_is_not_written_twice(database: Database) -> None:
    log, batch = UsageLog(database), attempts(3)
    await log.append(batch)
    await log.append(batch, again=True)
    assert await rows(database) == 3
    await log.append([attempt(reply_id="another")], again=True)
    assert await rows(database) == 4


async def test_a_connection_has_the_time_of_its_last_use(database: Database) -> None:
    store = SqlConnectionStore(database, VAULT)
    used, unused = await added(store), await added(store, name="b")
    log, noon = UsageLog(database), MONDAY + 12 * HOUR
    earlier, later = noon + timedelta(seconds=59), noon + timedelta(minutes=2)
    await log.append([attempt(connection_id=used.id, at=at) for at in (later, earlier)])
    await log.append([attempt(connection_id=used.id, at=earlier), attempt(connection_id="gone")])
    assert (await store.get(SYSTEM, used.id)).last_used_at == later
    assert (await store.get(SYSTEM, unused.id)).last_used_at is None


# ── Summing up and pruning ───────────────────────────────────────────────────────────────────────


async def test_late_attempts_are_counted(database: Database) -> None:
    analytics = await written(database, [attempt(at=MONDAY + 8 * 24 * HOUR)])
    await summed_up(database)
    await UsageLog(database).append([attempt(reply_id="late")])
    await summed_up(database)
    by_day = await analytics.figures(SYSTEM, ALL, ["at"])
    assert [one.attempts for one in by_day.values()] == [1, 1]


async def test_many_may_sum_up_while_others_write_and_each_attempt_counts_once(
    server: Server,
) -> None:
    url, some = await server.new(), attempts(600)
    async with opened(url) as mine, opened(url) as yours, asyncio.TaskGroup() as tasks:
        for place in range(0, 600, 20):
            tasks.create_task(UsageLog(mine).append(some[place : place + 20]))
            tasks.create_task(roll_up(yours, 7))
            tasks.create_task(roll_up(mine, 30))
    async with opened(url) as database:
        await summed_up(database)
        found = await Analytics(database).figures(SYSTEM, ALL)
        assert plain(found) == {(): counted(some)}


async def test_an_attempt_committed_after_a_later_one_is_not_skipped(
    postgres: Postgres,
) -> None:
    url = await postgres.new()
    waits = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    async with opened(url) as mine, opened(url) as yours:
        async with mine.writing() as db:
            await db.execute(select(func.pg_advisory_xact_lock_shared(APPEND_LOCK)))
            await db.execute(usage.insert(), to_row(attempt()))
            await UsageLog(yours).append([attempt(reply_id="later")])
            rolling = asyncio.create_task(roll_up(yours))
            while not (rolling.done() or (await db.execute(waits)).scalar_one()):
                pass
        await rolling
        await summed_up(yours)
        assert (await Analytics(yours).figures(SYSTEM, ALL))[()].attempts == 2


async def test_pruned_attempts_stay_in_the_figures(database: Database) -> None:
    some = attempts()
    analytics = await written(database, some)
    before = await analytics.figures(SYSTEM, ALL)
    assert not await prune(database, MONDAY + LASTS)  # nothing is in the summaries yet
    assert await rows(database) == len(some)
    await summed_up(database)
    while await prune(database, MONDAY + LASTS / 2, 50):
        pass
    assert 0 < await rows(database) < len(some)
    assert await analytics.figures(SYSTEM, ALL) == before


async def test_attempts_after_all_was_pruned_are_counted_too(database: Database) -> None:
    analytics = await written(database, attempts(20))
    await summed_up(database)
    await prune(database, MONDAY + 2 * LASTS)
    assert await rows(database) == 1
    await UsageLog(database).append([attempt()])
    await summed_up(database)
    assert (await analytics.figures(SYSTEM, ALL))[()].attempts == 21


async def test_an_interrupted_roll_up_leaves_nothing_and_can_be_repeated(
    database: Database,
) -> None:
    some = attempts(100)
    analytics = await written(database, some)
    before = await analytics.figures(SYSTEM, ALL, ["at", "connection_id"])
    for steps in range(0, 60, 6):
        task = asyncio.create_task(roll_up(database))
        for _ in range(steps):
            await checkpoint()
        task.cancel()
        await asyncio.wait([task])
        assert await analytics.figures(SYSTEM, ALL, ["at", "connection_id"]) == before


# ── UsageMaintenance ─────────────────────────────────────────────────────────────────────────────


class Steps(SystemClock):
    """Stops at each pause until `step` ends it; its time is later by as much as the pause lasts."""

    def __init__(self, now: datetime) -> None:
        self.time = now
        self._pauses = asyncio.Event()
        self._end_pause: Callable[[], None] = lambda: None

    def wall(self) -> float:
        return self.time.timestamp()

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        self.time += timedelta(seconds=round(when - self.now()))
        self._end_pause = callback
        self._pauses.set()
        return super().call_at(when, callback)

    async def step(self) -> None:
        self._end_pause()
        await self.paused()

    async def paused(self) -> None:
        await self._pauses.wait()
        self._pauses.clear()


@asynccontextmanager
async def maintained(database: Database, clock: Steps) -> AsyncIterator[None]:
    maintenance = UsageMaintenance(database, clock, retention=LASTS)
    maintenance.start()
    try:
        await clock.paused()
        yield
    finally:
        await maintenance.aclose()


async def test_one_process_maintains_the_log_until_its_lease_is_free(database: Database) -> None:
    analytics, clock = await written(database, attempts(30)), Steps(MONDAY + 4 * LASTS)
    before = await analytics.figures(SYSTEM, ALL)
    assert await leases.acquire(database, LEASE_NAME, "another", clock.time, 40)
    async with maintained(database, clock):
        assert await rows(database) == 30
        await clock.step()
        assert await rows(database) == 30
        await clock.step()  # a minute later: the other has not renewed its lease
        assert await rows(database) == 1
        assert await analytics.figures(SYSTEM, ALL) == before
        assert not await leases.acquire(database, LEASE_NAME, "another", clock.time, 60)
    assert await leases.acquire(database, LEASE_NAME, "another", clock.time, 60)  # let go at once


async def test_maintenance_waits_for_a_database_that_fails(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Steps(MONDAY + LASTS)
    async with opened(await server.new(migrated=False)) as database, maintained(database, clock):
        await clock.step()
        await migrate(database)
        await written(database, attempts(5))
        await clock.step()
        found = await Analytics(database).figures(SYSTEM, ALL, ["at"])
        async with database.reading() as db:
            assert await summed_up_to(db) == 5
    assert sum(one.attempts for one in found.values()) == 5
    assert len(caplog.records) == 1  # once, not at each step


async def test_a_lease_is_for_one_until_it_runs_out_or_is_let_go(database: Database) -> None:
    assert await leases.acquire(database, "work", "a", MONDAY, 60)
    assert not await leases.acquire(database, "work", "b", MONDAY, 60)
    assert await leases.acquire(database, "other work", "b", MONDAY, 60)
    later = MONDAY + timedelta(seconds=50)
    assert await leases.acquire(database, "work", "a", later, 60)  # renewed
    assert not await leases.acquire(database, "work", "b", later + timedelta(seconds=59), 60)
    assert await leases.acquire(database, "work", "b", later + timedelta(seconds=60), 60)
    await leases.release(database, "work", "a")  # not its own any more
    assert not await leases.acquire(database, "work", "a", later + timedelta(seconds=61), 60)
    await leases.release(database, "work", "b")
    assert await leases.acquire(database, "work", "a", later + timedelta(seconds=61), 60)
