"""The usage log summed up by hour and by day, and pruned: what questions about long times are
answered from.

Attempts are added in the order of their ids, each exactly once: a counter says how far that has
come, and rises in the transaction that adds. So it does not matter when an attempt is written, how
often this is run, by how many, or where it is cut off.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

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
from llm_router.errors import StoreError
from llm_router.store import leases
from llm_router.store.database import Database, Dialect
from llm_router.store.dialects import TimeUnit, insert, start_of, text_literal
from llm_router.store.tables import (
    counters,
    times_daily,
    times_hourly,
    usage,
    usage_daily,
    usage_hourly,
)
from llm_router.store.usage import APPEND_LOCK

_logger = logging.getLogger("llm_router")

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


async def maintain(
    database: Database, clock: Clock, kept_for: timedelta = timedelta(days=30)
) -> None:
    """Sum up and prune for ever, in any number of processes, of which one does it at a time.

    Single attempts are there for `kept_for`, their sums for good. A database that is away is waited
    for. To be run as a task, and cancelled.
    """
    me, is_away = uuid4().hex, False
    try:
        while True:
            try:
                await _step(database, clock, me, kept_for)
                is_away = False
            except StoreError as error:
                if not is_away:
                    _logger.warning("usage is not summed up until it is back: %s", error)
                is_away = True
            await clock.sleep(_EVERY)
    finally:
        if not is_away:
            await _let_go(database, me)


async def _step(database: Database, clock: Clock, me: str, kept_for: timedelta) -> None:
    def now() -> datetime:
        return datetime.fromtimestamp(clock.wall(), UTC)

    while await leases.acquire(database, LEASE_NAME, me, now(), _LEASE_FOR):
        if not await roll_up(database) and not await prune(database, now() - kept_for):
            return
        await asyncio.sleep(0)


async def _let_go(database: Database, me: str) -> None:
    try:
        await leases.release(database, LEASE_NAME, me)
    except StoreError:
        _logger.debug("the lease is left to run out", exc_info=True)


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
