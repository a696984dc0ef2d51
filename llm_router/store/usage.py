"""Stores the usage log: one row per attempt, appended and never changed."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select, true, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.store.database import Database
from llm_router.store.key_usage import add_use
from llm_router.store.tables import connections, usage
from llm_router.store.time_buckets import bucket_of

APPEND_LOCK = zlib.crc32(b"patchbay usage")
"""PostgreSQL's advisory lock, shared by all that append. Its exclusive holder sees every row up to
the last id: PostgreSQL assigns ids in one order and commits them in another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRecord:
    """One attempt in the usage log. Times in seconds.

    `role` and `outcome` are those of `routing.events.AttemptEvent`. `silence_avoided`: see
    `telemetry.usage`. `cost` in the currency of the connection's prices; None: unknown price.
    `is_estimated`: the server did not count the tokens.
    """

    at: datetime
    connection_id: str
    connection_name: str
    model: str = ""
    pool: str = ""
    integration: str = ""
    api_key_id: str = ""
    assistant: str = ""
    session_id: str = ""
    reply_id: str
    role: str
    outcome: str
    delivered: bool = False
    """True if the caller received any part of it, a tool call included. Column `heard`."""
    ttft: float | None = None
    ttfc: float | None = None
    duration: float
    silence_avoided: float | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    is_estimated: bool = False
    cost: float | None = None


_NAMES = tuple(field.name for field in fields(UsageRecord))
_COLUMNS = {"delivered": "heard"}
"""Column of each field whose column has another name."""


class UsageLog:
    """The usage log in a migrated database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._last_uses: dict[str, datetime] = {}  # last passed to `touch`

    async def append(self, attempts: Sequence[UsageRecord], *, again: bool = False) -> None:
        """Appends all attempts or none. Raises StoreError.

        `again`: they may be stored already, by a call that failed or was cancelled, since a
        database can disconnect between committing and confirming.
        """
        if not attempts:
            return
        async with self._database.writing() as db:
            if self._database.dialect == "postgresql":
                await db.execute(select(func.pg_advisory_xact_lock_shared(APPEND_LOCK)))
            if not (again and await _has(db, attempts[0])):
                await db.execute(usage.insert(), [to_row(attempt) for attempt in attempts])
                await add_use(db, self._database.dialect, attempts)
        uses = {
            one: at for one, at in _last_uses(attempts).items() if self._last_uses.get(one) != at
        }
        await touch(self._database, uses, true())
        self._last_uses |= uses

    async def answered_since(self, connection_id: str, since: datetime) -> bool:
        """Returns whether a caller got a reply from the connection that began since then."""
        c = usage.c
        won = c.connection_id == connection_id, c.at >= since, c.outcome == "won"
        async with self._database.reading() as db:
            return (await db.execute(select(c.id).where(*won).limit(1))).first() is not None


def to_row(attempt: UsageRecord) -> dict[str, Any]:
    values = {_COLUMNS.get(name, name): getattr(attempt, name) for name in _NAMES}
    values["ttft_bucket"] = bucket_of(attempt.ttft)
    values["ttfc_bucket"] = bucket_of(attempt.ttfc)
    return values


def from_row(row: Mapping[str, Any] | RowMapping) -> UsageRecord:
    return UsageRecord(**{name: row[_COLUMNS.get(name, name)] for name in _NAMES})


async def touch(
    database: Database,
    used: Mapping[str, datetime],
    within: ColumnElement[bool],
) -> None:
    """Sets the time of last use of connections that match `within`, unless a later one is stored.

    Each update is a transaction of its own, which waits while holding no other row.
    """
    c = connections.c
    for connection_id, time in used.items():
        earlier = or_(c.last_used_at.is_(None), c.last_used_at < time)
        one = update(connections).where(c.id == connection_id, earlier)
        async with database.writing() as db:
            await db.execute(one.where(within).values(last_used_at=time))


def _last_uses(attempts: Sequence[UsageRecord]) -> Mapping[str, datetime]:
    """Rounds to the minute, so that a busy connection's row is not written every second."""
    by_time = sorted(attempts, key=lambda attempt: attempt.at)
    return {one.connection_id: one.at.replace(second=0, microsecond=0) for one in by_time}


async def read_latest(
    db: AsyncConnection, connection_id: str, limit: int
) -> tuple[UsageRecord, ...]:
    """Returns the latest attempts on one connection, newest first."""
    query = select(usage).where(usage.c.connection_id == connection_id)
    query = query.order_by(usage.c.at.desc(), usage.c.id.desc()).limit(limit)
    rows = (await db.execute(query)).mappings()
    return tuple(from_row(each) for each in rows)


async def read_reply(
    db: AsyncConnection, reply_id: str, *conditions: ColumnElement[bool]
) -> tuple[UsageRecord, ...]:
    """Returns the attempts of one reply that meet the conditions, the earliest first."""
    query = select(usage).where(usage.c.reply_id == reply_id, *conditions)
    rows = (await db.execute(query.order_by(usage.c.at, usage.c.id))).mappings()
    return tuple(from_row(each) for each in rows)


async def _has(db: AsyncConnection, attempt: UsageRecord) -> bool:
    same = usage.c.at == attempt.at, usage.c.reply_id == attempt.reply_id
    return (await db.execute(select(usage.c.id).where(*same).limit(1))).first() is not None
