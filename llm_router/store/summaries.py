"""Sums up the usage log by hour and by day, and prunes it. Long spans are queried from the sums.

Attempts are added in the order of their ids, each exactly once: a counter stores the last id added,
and increases in the transaction that adds. So it does not matter when an attempt is written, how
often and by how many processes this runs, or where it is interrupted.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Float,
    FromClause,
    Insert,
    Table,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.clock import Clock, utc_now
from llm_router.periodic import OutageLog
from llm_router.store.database import Database, Dialect
from llm_router.store.dialects import TimeUnit, insert, start_of, text_literal
from llm_router.store.leases import LeasedTask
from llm_router.store.summary_tables import (
    times_daily,
    times_hourly,
    total_times_daily,
    total_times_hourly,
    total_usage_daily,
    total_usage_hourly,
    usage_daily,
    usage_hourly,
)
from llm_router.store.tables import counters, usage
from llm_router.store.usage import APPEND_LOCK

MEASURES = ("ttft", "ttfc")
SUMS = (
    "attempts", "heard", "duration", "silence_avoided", "tokens_in", "tokens_out", "tokens_cached",
    "estimated", "cost",
)  # fmt: skip
"""Columns that are summed over attempts."""

_ZERO: ColumnElement[float] = literal_column("0.0", Float)
_Columns = Mapping[str, ColumnElement[Any]]
TABLES: Mapping[TimeUnit, tuple[Table, Table]] = {
    "hour": (usage_hourly, times_hourly),
    "day": (usage_daily, times_daily),
}
"""Tables of sums and of times by connection, by unit."""
TOTALS: Mapping[TimeUnit, tuple[Table, Table]] = {
    "hour": (total_usage_hourly, total_times_hourly),
    "day": (total_usage_daily, total_times_daily),
}
"""The same over all connections, which count by assistant too."""
ROLL_UP_BATCH = 5_000
"""Attempts per transaction, during which other writers wait for a fraction of a second."""
_PRUNE_BATCH = 5_000
_INTERVAL = 30.0  # s
LEASE_NAME = "usage summaries"
_LEASE_SECONDS = 4 * _INTERVAL


async def summed_up_to(db: AsyncConnection) -> int:
    """Returns the id of the last attempt that is in the summaries."""
    query = select(counters.c.value).where(counters.c.name == "usage")
    return int((await db.execute(query)).scalar_one())


def sums_of(attempts: FromClause) -> _Columns:
    """Returns the expressions of `SUMS` over rows of the log."""
    c = attempts.c
    return {
        "attempts": func.count(),
        "heard": func.count().filter(c["heard"]),
        "duration": func.sum(c.duration),
        "silence_avoided": func.coalesce(func.sum(c.silence_avoided), _ZERO),
        "tokens_in": func.sum(c.tokens_in),
        "tokens_out": func.sum(c.tokens_out),
        "tokens_cached": func.sum(c.tokens_cached),
        "estimated": func.count().filter(c.is_estimated),
        "cost": func.coalesce(func.sum(c.cost), _ZERO),
    }


async def roll_up(database: Database, limit: int = ROLL_UP_BATCH) -> bool:
    """Adds the next attempts to the summaries; returns False if there were none."""
    async with database.writing() as db:
        if database.dialect == "postgresql":
            await db.execute(select(func.pg_advisory_xact_lock(APPEND_LOCK)))
        done = await summed_up_to(db)
        last = (await db.execute(select(func.max(usage.c.id)))).scalar_one()
        end = min(last or 0, done + limit)
        if end <= done:
            return False
        for statement in _additions(done, end, database.dialect):
            await db.execute(statement)
        mark = update(counters).where(counters.c.name == "usage").values(value=end)
        await db.execute(mark)
    return True


async def prune(database: Database, before: datetime, limit: int = _PRUNE_BATCH) -> bool:
    """Removes attempts that began before that time and are in the summaries.

    Returns whether more may be left. The last attempt stays, since SQLite would reuse its id.
    """
    async with database.writing() as db:
        mark = await summed_up_to(db)
        old = select(usage.c.id).where(usage.c.at < before, usage.c.id < mark).limit(limit)
        removed = await db.execute(usage.delete().where(usage.c.id.in_(old)))
    return removed.rowcount == limit


class UsageMaintenance(LeasedTask):
    """Sums up and prunes the usage log: attempts stay for `retention`, their sums for good."""

    def __init__(
        self, database: Database, clock: Clock, retention: timedelta = timedelta(days=30)
    ) -> None:
        self._database = database
        self._clock = clock
        self._retention = retention
        outage = OutageLog(
            "usage is not summed up until the database answers again", "usage is summed up again"
        )
        super().__init__(
            database, clock, _INTERVAL, name=LEASE_NAME, lasts=_LEASE_SECONDS, outage=outage
        )

    async def work(self) -> bool:
        before = utc_now(self._clock) - self._retention
        return await roll_up(self._database) or await prune(self._database, before)


# ── Statements ───────────────────────────────────────────────────────────────────────────────────


def _additions(done: int, end: int, dialect: Dialect) -> Iterator[Insert]:
    batch = usage.c.id > done, usage.c.id <= end
    for unit, (sums, times) in [*TABLES.items(), *TOTALS.items()]:
        at = start_of(unit, usage.c.at, dialect)
        summed = dict(sums_of(usage))
        if "connection_name" in sums.c:
            summed["connection_name"] = func.max(usage.c.connection_name)
        yield _addition(sums, {**_key(sums), "at": at}, summed, batch, dialect)
        for measure in MEASURES:
            bucket = usage.c[f"{measure}_bucket"]
            key = {**_key(times), "at": at, "measure": text_literal(measure), "bucket": bucket}
            measured = *batch, bucket.is_not(None)
            yield _addition(times, key, {"attempts": func.count()}, measured, dialect)


def _key(table: Table) -> dict[str, ColumnElement[Any]]:
    return {c.name: usage.c[c.name] for c in table.primary_key if c.name in usage.c}


def _addition(
    table: Table,
    key: _Columns,
    summed: _Columns,
    where: Sequence[ColumnElement[bool]],
    dialect: Dialect,
) -> Insert:
    grouped = [column for name, column in key.items() if name != "measure"]  # a constant
    selected = select(*key.values(), *summed.values()).where(*where).group_by(*grouped)
    new = insert(table, dialect).from_select([*key, *summed], selected)
    updates = {name: table.c[name] + new.excluded[name] for name in summed}
    if "connection_name" in updates:
        updates["connection_name"] = new.excluded.connection_name
    return new.on_conflict_do_update(index_elements=[*key], set_=updates)
