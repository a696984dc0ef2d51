"""Counts the use by each API key or site, from the attempts in the usage log, and reads it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import ColumnElement, ScalarSelect, Select, and_, or_, select
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.routing.limits import MINUTE, month_of
from llm_router.store.database import Dialect
from llm_router.store.dialects import insert
from llm_router.store.tables import api_key_usage, api_keys

_C = api_key_usage.c
_MONTH, _MINUTE = (api_key_usage.alias(unit) for unit in ("month", "minute"))
_DAY = 86_400.0
_RETENTION = {"minute": 10 * MINUTE, "day": 3 * _DAY}
"""Age (s) at which counts of these periods are removed; months stay."""


@dataclass(frozen=True, slots=True)
class KeyUse:
    """Use by an API key in one period, over all processes, up to the last second."""

    tokens: int = 0
    cost: float = 0.0
    """In the currency of the connections' prices; what has no known price costs nothing."""


NO_USE = KeyUse()


class Billed(Protocol):
    """The part of `store.usage.UsageRecord` that is counted for a key."""

    @property
    def at(self) -> datetime: ...
    @property
    def duration(self) -> float: ...
    @property
    def api_key_id(self) -> str: ...
    @property
    def tokens_in(self) -> int: ...
    @property
    def tokens_out(self) -> int: ...
    @property
    def cost(self) -> float | None: ...


async def add_use(db: AsyncConnection, dialect: Dialect, attempts: Sequence[Billed]) -> None:
    """Counts the attempts of API keys and sites in the periods in which each one ended."""
    sums = defaultdict[tuple[str, str, float], list[float]](lambda: [0, 0.0])
    latest = 0.0
    for attempt in attempts:
        if not attempt.api_key_id:
            continue
        ended = (attempt.at + timedelta(seconds=attempt.duration)).timestamp()
        latest = max(latest, ended)
        for unit, begins in _periods(ended).items():
            sums_of_one = sums[attempt.api_key_id, unit, begins]
            sums_of_one[0] += attempt.tokens_in + attempt.tokens_out
            sums_of_one[1] += attempt.cost or 0.0
    if not sums:
        return
    rows = [
        {"api_key_id": key, "unit": unit, "begins": begins, "tokens": tokens, "cost": cost}
        # Sorted, so that two writers to the same rows cannot deadlock.
        for (key, unit, begins), (tokens, cost) in sorted(sums.items())
    ]
    row = insert(api_key_usage, dialect)
    total = {name: _C[name] + row.excluded[name] for name in ("tokens", "cost")}
    keys = [column.name for column in api_key_usage.primary_key]
    await db.execute(row.on_conflict_do_update(index_elements=keys, set_=total), rows)
    old = [and_(_C.unit == unit, _C.begins < latest - age) for unit, age in _RETENTION.items()]
    await db.execute(api_key_usage.delete().where(or_(*old)))


def keys_with_use(wall: float) -> Select[tuple[object, ...]]:
    """Returns the query for API keys with their use in this minute and month; see `use_of`."""
    periods = _periods(wall)
    query = select(
        api_keys,
        _MONTH.c.tokens.label("month_tokens"),
        _MONTH.c.cost.label("month_cost"),
        _MINUTE.c.tokens.label("minute_tokens"),
        _MINUTE.c.cost.label("minute_cost"),
    ).select_from(api_keys)
    for table in (_MONTH, _MINUTE):
        this = table.c.unit == table.name, table.c.begins == periods[table.name]
        query = query.outerjoin(table, and_(table.c.api_key_id == api_keys.c.id, *this))
    return query


def use_of(row: RowMapping, unit: str) -> KeyUse:
    """Returns the use in the period `unit`, "minute" or "month", from a row of `keys_with_use`."""
    return KeyUse(row[f"{unit}_tokens"] or 0, row[f"{unit}_cost"] or 0.0)


def cost_today(account: ColumnElement[str], wall: float) -> ScalarSelect[float]:
    """Returns the query for the cost of one account since midnight (UTC); NULL: nothing yet."""
    today = _C.unit == "day", _C.begins == _periods(wall)["day"]
    query = select(_C.cost).where(_C.api_key_id == account, *today)
    return query.scalar_subquery()


def _periods(wall: float) -> Mapping[str, float]:
    return {
        "minute": wall // MINUTE * MINUTE,
        "day": wall // _DAY * _DAY,
        "month": month_of(wall).begins,
    }
