"""Stores the health checks of connections, and reads the evidence for a status."""

from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.connections.health import ALIVE_OUTCOMES, Evidence
from llm_router.connections.record import Connection
from llm_router.connections.store import NOT_ASKED, Check, CheckPage
from llm_router.options import HealthOptions
from llm_router.store.tables import connections, health_checks

_C = health_checks.c
_LATEST_FIRST = _C.at.desc(), _C.id.desc()
_NAMES = tuple(Check.__slots__)


async def add_check(
    db: AsyncConnection, connection_id: str, check: Check, options: HealthOptions
) -> None:
    """Adds a check, and removes checks that are too old or too many."""
    row = {name: getattr(check, name) for name in _NAMES}
    await db.execute(health_checks.insert(), row | {"connection_id": connection_id})
    await db.execute(health_checks.delete().where(_C.at < check.at - options.retention))
    too_many = _checks_of(connection_id).with_only_columns(_C.id).order_by(*_LATEST_FIRST)
    too_many = too_many.offset(options.max_stored).limit(_REMOVED_AT_ONCE)
    await db.execute(health_checks.delete().where(_C.id.in_(too_many.scalar_subquery())))


async def read_page(db: AsyncConnection, connection_id: str, limit: int, offset: int) -> CheckPage:
    query = _checks_of(connection_id)
    count = query.with_only_columns(func.count())
    total = (await db.execute(count)).scalar_one()
    rows = await db.execute(query.order_by(*_LATEST_FIRST).limit(limit).offset(offset))
    return CheckPage(tuple(_check(row) for row in rows.mappings()), total)


async def read_latest(db: AsyncConnection, where: ColumnElement[bool]) -> dict[str, Check]:
    """Returns the latest check of each connection that `where` selects, by the connection's id."""
    # Found for each connection in the index: sorting the whole history would read all of it.
    of_one = _checks_of(connections.c.id).with_only_columns(_C.id).order_by(*_LATEST_FIRST).limit(1)
    latest = of_one.correlate(connections).scalar_subquery()
    both = connections.join(health_checks, _C.id == latest)
    rows = await db.execute(select(health_checks).select_from(both).where(where))
    return {row["connection_id"]: _check(row) for row in rows.mappings()}


async def read_evidence(
    db: AsyncConnection, connection: Connection, options: HealthOptions
) -> Evidence:
    query = _checks_of(connection.id).where(_C.outcome != NOT_ASKED).order_by(*_LATEST_FIRST)
    if connection.updated_at:
        query = query.where(_C.at >= connection.updated_at)
    recent = await _read(db, query.limit(max(options.fall, options.rise)))
    answered = await _read(db, query.where(_C.kind != "probe").limit(1))
    alive = await _read(db, query.where(_C.outcome.in_(ALIVE_OUTCOMES)).limit(1))
    broken = query.where(_C.at > alive[0].at) if alive else query
    since = broken.with_only_columns(func.min(_C.at)).order_by(None)
    return Evidence(recent, next(iter(answered), None), (await db.execute(since)).scalar_one())


_REMOVED_AT_ONCE = 1_000


def _checks_of(connection_id: str | ColumnElement[str]) -> Select[Any]:
    return select(health_checks).where(_C.connection_id == connection_id)


async def _read(db: AsyncConnection, query: Select[Any]) -> tuple[Check, ...]:
    return tuple(_check(row) for row in (await db.execute(query)).mappings())


def _check(row: Any) -> Check:
    return Check(**{name: row[name] for name in _NAMES})
