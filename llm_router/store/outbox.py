"""Stores webhook deliveries (transactional outbox).

A delivery is written in the transaction of the change it reports, so that both are committed or
neither is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import func, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.connections.record import Connection
from llm_router.connections.webhooks import Event, Payload, event_data, make_payload
from llm_router.store.database import Database
from llm_router.store.tables import webhook_deliveries, webhooks

DeliveryStatus = Literal["waiting", "delivered", "given_up"]
_D, _W = webhook_deliveries.c, webhooks.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event for one webhook, with the HTTP status and error of the latest attempt."""

    id: int
    webhook_id: str
    event: str
    payload: Payload
    status: DeliveryStatus
    attempts: int
    last_status: int | None = None
    last_error: str = ""
    created_at: datetime
    next_at: datetime | None = None
    delivered_at: datetime | None = None


_NAMES = tuple(field.name for field in fields(Delivery))
RESULT_FIELDS = ("status", "attempts", "last_status", "last_error", "next_at", "delivered_at")
"""Fields that an attempt changes."""


async def enqueue_event(
    db: AsyncConnection,
    event: Event,
    connection: Connection,
    now: datetime,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Adds a delivery for every active webhook that subscribes to this event and connection."""
    query = select(webhooks).where(
        _W.is_active,
        _W.owner.in_(["", connection.owner]),
        _W.team.in_(["", connection.team]),
    )
    for hook in (await db.execute(query)).mappings():
        if event in hook["events"]:
            payload = make_payload(event, now, event_data(connection, **(data or {})))
            await enqueue(db, hook["id"], payload, now)


async def enqueue_for_all(
    db: AsyncConnection, event: Event, now: datetime, data: Mapping[str, Any]
) -> None:
    """Adds a delivery of an event of no connection, for webhooks that are for all connections."""
    query = select(webhooks).where(_W.is_active, _W.owner == "", _W.team == "")
    for hook in (await db.execute(query)).mappings():
        if event in hook["events"]:
            await enqueue(db, hook["id"], make_payload(event, now, data), now)


async def enqueue_status_change(
    db: AsyncConnection, before: Connection, after: Connection, now: datetime
) -> None:
    """Adds deliveries for a change of status and for a deactivation; none if the status stays."""
    if after.status == before.status:
        return
    data = {"previous_status": before.status}
    await enqueue_event(db, "connection.status_changed", after, now, data)
    if after.status == "deactivated":
        await enqueue_event(db, "connection.deactivated", after, now, data)


async def enqueue(
    db: AsyncConnection, webhook_id: str, payload: Payload, now: datetime, **values: Any
) -> int:
    """Adds a delivery to send and returns its id. `values` replace those of a new delivery."""
    row = {
        "webhook_id": webhook_id, "event": payload["type"], "payload": dict(payload), "attempts": 0,
        "status": "waiting", "last_error": "", "created_at": now, "next_at": now,
    }  # fmt: skip
    added = await db.execute(webhook_deliveries.insert().returning(_D.id), row | values)
    return int(added.scalar_one())


class Outbox:
    """The deliveries in a migrated database. Raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, now: datetime, limit: int, busy: Sequence[str]) -> Sequence[Delivery]:
        """Returns the oldest due delivery of each active webhook that is not in `busy`."""
        of_active = _D.webhook_id.in_(select(_W.id).where(_W.is_active, _W.id.not_in(busy)))
        is_due = (_D.status == "waiting", _D.next_at <= now, of_active)
        rank = func.row_number().over(partition_by=_D.webhook_id, order_by=(_D.next_at, _D.id))
        ranked = select(webhook_deliveries, rank.label("rank")).where(*is_due).subquery()
        query = select(ranked).where(ranked.c.rank == 1).order_by(ranked.c.next_at).limit(limit)
        async with self._database.reading() as db:
            return [_delivery(row) for row in (await db.execute(query)).mappings()]

    async def save_result(self, delivery: Delivery) -> None:
        """Stores the result of an attempt."""
        values = {name: getattr(delivery, name) for name in RESULT_FIELDS}
        by_id = update(webhook_deliveries).where(_D.id == delivery.id).values(values)
        async with self._database.writing() as db:
            await db.execute(by_id)

    async def prune(self, before: datetime, limit: int = 1_000) -> None:
        """Removes up to `limit` finished deliveries that were created before that time."""
        old = select(_D.id).where(_D.status != "waiting", _D.created_at < before).limit(limit)
        async with self._database.writing() as db:
            await db.execute(webhook_deliveries.delete().where(_D.id.in_(old)))


async def read_page(
    db: AsyncConnection, webhook_id: str, limit: int, offset: int
) -> tuple[tuple[Delivery, ...], int]:
    """Returns a page of deliveries, newest first, and the number of all."""
    query = select(webhook_deliveries).where(_D.webhook_id == webhook_id)
    total = (await db.execute(query.with_only_columns(func.count()))).scalar_one()
    rows = query.order_by(_D.created_at.desc(), _D.id.desc()).limit(limit).offset(offset)
    return tuple(_delivery(row) for row in (await db.execute(rows)).mappings()), total


def _delivery(row: RowMapping) -> Delivery:
    return Delivery(**{name: row[name] for name in _NAMES})
