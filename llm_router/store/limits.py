"""Counts the use of connections against their limits, over all processes."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.routing.limits import MINUTE, SLOT, Amount, Counted, Period, month_of
from llm_router.store import outbox
from llm_router.store.connections import connection_from_row
from llm_router.store.database import Database
from llm_router.store.dialects import insert
from llm_router.store.tables import connections, limit_counts

_C = limit_counts.c
_AMOUNTS = Amount._fields
_SLOT_RETENTION = 10 * MINUTE
"""Age at which slots are removed; months stay."""


class SqlCounters:
    """Implements `routing.limits.Counters` in a migrated database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def exchange(
        self, counted: Mapping[str, Counted], wanted: Iterable[str], at: float
    ) -> Mapping[str, Counted]:
        rows = [
            {"connection_id": name, **period._asdict(), **amount._asdict()}
            # Sorted, so that two writers to the same rows cannot deadlock.
            for name, periods in sorted(counted.items())
            for period, amount in sorted(periods.items())
        ]
        names = sorted(wanted)
        if rows:
            async with self._database.writing() as db:
                await self._add(db, rows)
                old = and_(_C.unit == "slot", _C.begins < at - _SLOT_RETENTION)
                await db.execute(limit_counts.delete().where(old))
                await _enqueue_budget_events(db, counted, at)
                return await _read(db, names, at)
        if not names:
            return {}
        async with self._database.reading() as db:
            return await _read(db, names, at)

    async def _add(self, db: AsyncConnection, rows: list[dict[str, object]]) -> None:
        row = insert(limit_counts, self._database.dialect)
        total = {name: _C[name] + row.excluded[name] for name in _AMOUNTS}
        keys = [column.name for column in limit_counts.primary_key]
        await db.execute(row.on_conflict_do_update(index_elements=keys, set_=total), rows)


async def _enqueue_budget_events(
    db: AsyncConnection, counted: Mapping[str, Counted], at: float
) -> None:
    """Enqueues an event for each budget reached by the amounts just added.

    Each budget causes one event, since writers add to a row one after the other.
    """
    month, now = month_of(at), datetime.fromtimestamp(at, UTC)
    added = {name: periods[month].cost for name, periods in counted.items() if month in periods}
    names = [name for name, cost in added.items() if cost > 0]
    if not names:
        return
    spent = and_(
        _C.connection_id == connections.c.id, _C.unit == "month", _C.begins == month.begins
    )
    rows = select(connections, _C.cost).join(limit_counts, spent)
    rows = rows.where(connections.c.id.in_(names), connections.c.monthly_budget <= _C.cost)
    for row in (await db.execute(rows)).mappings():
        connection, cost = connection_from_row(row), row[_C.cost]
        if cost - added[connection.id] < row["monthly_budget"]:
            data = {"monthly_budget": row["monthly_budget"], "spent": cost}
            await outbox.enqueue_event(db, "connection.budget_reached", connection, now, data)


async def _read(db: AsyncConnection, names: list[str], at: float) -> Mapping[str, Counted]:
    recent = and_(_C.unit == "slot", _C.begins > at - MINUTE - SLOT)
    month = and_(_C.unit == "month", _C.begins == month_of(at).begins)
    query = select(limit_counts).where(_C.connection_id.in_(names), or_(recent, month))
    known: dict[str, dict[Period, Amount]] = defaultdict(dict)
    for row in (await db.execute(query)).mappings():
        period = Period(row["unit"], row["begins"])
        known[row["connection_id"]][period] = Amount(*(row[name] for name in _AMOUNTS))
    return known
