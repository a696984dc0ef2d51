"""The usage log summed up by hour and by day, and pruned: what questions about long times are
answered from.

Attempts are added in the order of their ids, each exactly once: a counter says how far that has
come, and rises in the transaction that adds. So it does not matter when an attempt is written, how
often this is run, by how many, or where it is cut off.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
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

from llm_router.clock import Clock
from llm_router.periodic import OutageLog, PeriodicTask
from llm_router.store.database import Database, Dialect
from llm_router.store.dialects import TimeUnit, insert, start_of, text_literal
from llm_router.store.leases import Lease
from llm_router.store.tables import (
    counters,
    times_daily,
    times_hourly,
    usage,
    usage_daily,
    usage_hourly,
)
from llm_router.store.usage import APPEND_LOCK

MEASURES = ("ttft", "ttfc")
SUMS = (
    "attempts", "heard", "duration", "silence_avoided", "tokens_in", "tokens_out", "tokens_cached",
    "estimated", "cost",
)  # fmt: skip
"""What is kept of many attempts."""

_ZERO: ColumnElement[float] = literal_column("0.0", Float)
_Columns = Mapping[str, ColumnElement[Any]]
TABLES: Mapping[TimeUnit, tuple[Table, Table]] = {
    "hour": (usage_hourly, times_hourly),
    "day": (usage_daily, times_daily),
}
"""Sums, and times."""
ROLL_UP_BATCH = 5_000
"""Attempts in one transaction: others who write wait for it, for a fraction of a second."""
_PRUNED_AT_ONCE = 5_000
_EVERY = 30.0
LEASE_NAME = "usage summaries"
_LEASE_FOR = 4 * _EVERY


async def summed_up_to(db: AsyncConnection) -> int:
    """The id of the last attempt that is in the summaries."""
    mark = select(counters.c.value).where(counters.c.name == "usage")
    return int((await db.execute(mark)).scalar_one())


def sums_of(attempts: FromClause) -> _Columns:
    """`SUMS`, of rows of the log."""
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


async def roll_up(database: Database, most: int = ROLL_UP_BATCH) -> bool:
    """Add the next attempts to the summaries. False: there was none left."""
    async with database.writing() as db:
        if database.dialect == "postgresql":
            await db.execute(select(func.pg_advisory_xact_lock(APPEND_LOCK)))
        done = await summed_up_to(db)
        last = (await db.execute(select(func.max(usage.c.id)))).scalar_one()
        upto = min(last or 0, done + most)
        if upto <= done:
            return False
        for statement in _additions(done, upto, database.dialect):
            await db.execute(statement)
        raised = update(counters).where(counters.c.name == "usage").values(value=upto)
        await db.execute(raised)
    return True


async def prune(database: Database, before: datetime, most: int = _PRUNED_AT_ONCE) -> bool:
    """Remove attempts that began before then and are in the summaries. False: none is left.

    The last one stays: SQLite would give its id to another.
    """
    async with database.writing() as db:
        mark = await summed_up_to(db)
        old = select(usage.c.id).where(usage.c.at < before, usage.c.id < mark).limit(most)
        removed = await db.execute(usage.delete().where(usage.c.id.in_(old)))
    return removed.rowcount == most


class UsageMaintenance:
    """Sums up and prunes the usage log, from `start` to `aclose`.

    Any number of processes may do it; a lease lets one of them work at a time. Attempts stay in the
    log for `retention`, their sums for good.
    """

    def __init__(
        self, database: Database, clock: Clock, retention: timedelta = timedelta(days=30)
    ) -> None:
        self._database = database
        self._clock = clock
        self._retention = retention
        self._lease = Lease(database, LEASE_NAME, clock, _LEASE_FOR)
        outage = OutageLog(
            "usage is not summed up until the database answers again", "usage is summed up again"
        )
        self._task = PeriodicTask(self._step, clock, _EVERY, outage, name="usage summaries")

    def start(self) -> None:
        self._task.start()

    async def aclose(self) -> None:
        """Ends the work and gives the lease back, so that another process need not wait for it."""
        await self._task.aclose()
        await self._lease.release()

    async def _step(self) -> None:
        while await self._lease.acquire():
            before = datetime.fromtimestamp(self._clock.wall(), UTC) - self._retention
            if not await roll_up(self._database) and not await prune(self._database, before):
                return
            await asyncio.sleep(0)


# ── What is added ────────────────────────────────────────────────────────────────────────────────


def _additions(done: int, upto: int, dialect: Dialect) -> Iterator[Insert]:
    these = usage.c.id > done, usage.c.id <= upto
    for unit, (sums, times) in TABLES.items():
        at = start_of(unit, usage.c.at, dialect)
        summed = {**sums_of(usage), "connection_name": func.max(usage.c.connection_name)}
        yield _addition(sums, {**_key(sums), "at": at}, summed, these, dialect)
        for measure in MEASURES:
            bucket = usage.c[f"{measure}_bucket"]
            key = {**_key(times), "at": at, "measure": text_literal(measure), "bucket": bucket}
            came = *these, bucket.is_not(None)
            yield _addition(times, key, {"attempts": func.count()}, came, dialect)


def _key(table: Table) -> dict[str, ColumnElement[Any]]:
    return {c.name: usage.c[c.name] for c in table.primary_key if c.name in usage.c}


def _addition(
    table: Table,
    key: _Columns,
    summed: _Columns,
    where: Sequence[ColumnElement[bool]],
    dialect: Dialect,
) -> Insert:
    grouped = [column for name, column in key.items() if name != "measure"]  # that is but a word
    picked = select(*key.values(), *summed.values()).where(*where).group_by(*grouped)
    new = insert(table, dialect).from_select([*key, *summed], picked)
    more = {name: table.c[name] + new.excluded[name] for name in summed}
    if "connection_name" in more:
        more["connection_name"] = new.excluded.connection_name
    return new.on_conflict_do_update(index_elements=[*key], set_=more)
