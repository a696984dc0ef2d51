"""The checks of connections in the database: history, and what of it a status is judged by."""

from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.connections.health import ALIVE_OUTCOMES, Evidence
from llm_router.connections.record import Connection
from llm_router.connections.store import NOT_ASKED, Check, CheckPage
from llm_router.options import HealthOptions
from llm_router.store.tables import health_checks

_C = health_checks.c
_LATEST_FIRST = _C.at.desc(), _C.id.desc()
_NAMES = tuple(Check.__slots__)


async def add_check(
    db: AsyncConnection, connection_id: str, check: Check, options: HealthOptions
) -> None:
    """Add it, and remove those that are too old, or too many."""
    row = {name: getattr(check, name) for name in _NAMES}
    await db.execute(health_checks.insert(), row | {"connection_id": connection_id})
    await db.execute(health_checks.delete().where(_C.at < check.at - options.retention))
    too_many = _of(connection_id).with_only_columns(_C.id).order_by(*_LATEST_FIRST)
    too_many = too_many.offset(options.max_stored).limit(_REMOVED_AT_ONCE)
    await db.execute(health_checks.delete().where(_C.id.in_(too_many.scalar_subquery())))


async def read_page(db: AsyncConnection, connection_id: str, limit: int, offset: int) -> CheckPage:
    wanted = _of(connection_id)
    count = wanted.with_only_columns(func.count())
    total = (await db.execute(count)).scalar_one()
    rows = await db.execute(wanted.order_by(*_LATEST_FIRST).limit(limit).offset(offset))
    return CheckPage(tuple(_check(row) for row in rows.mappings()), total)


async def read_evidence(
    db: AsyncConnection, connection: Connection, options: HealthOptions
) -> Evidence:
    wanted = _of(connection.id).where(_C.outcome != NOT_ASKED).order_by(*_LATEST_FIRST)
    if connection.updated_at:
        wanted = wanted.where(_C.at >= connection.updated_at)
    recent = await _some(db, wanted.limit(max(options.fall, options.rise)))
    answered = await _some(db, wanted.where(_C.kind != "probe").limit(1))
    alive = await _some(db, wanted.where(_C.outcome.in_(ALIVE_OUTCOMES)).limit(1))
    broken = wanted.where(_C.at > alive[0].at) if alive else wanted
    since = broken.with_only_columns(func.min(_C.at)).order_by(None)
    return Evidence(recent, next(iter(answered), None), (await db.execute(since)).scalar_one())


_REMOVED_AT_ONCE = 1_000


def _of(connection_id: str) -> Select[Any]:
    return select(health_checks).where(_C.connection_id == connection_id)


async def _some(db: AsyncConnection, wanted: Select[Any]) -> tuple[Check, ...]:
    return tuple(_check(row) for row in (await db.execute(wanted)).mappings())


def _check(row: Any) -> Check:
    return Check(**{name: row[name] for name in _NAMES})
