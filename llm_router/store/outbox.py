"""What webhooks are still to be told, and were: written in the transaction of what it tells of, so
that neither is there without the other, whatever ends in between.
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
    """One event for one webhook. `last_status` is of HTTP; `last_error` says why it failed."""

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
"""What a try changes."""


async def enqueue_event(
    db: AsyncConnection,
    event: Event,
    connection: Connection,
    now: datetime,
    data: Mapping[str, Any] | None = None,
) -> None:
    """To every webhook that wants to know of this event and this connection."""
    wanted = select(webhooks).where(
        _W.is_active,
        _W.owner.in_(["", connection.owner]),
        _W.team.in_(["", connection.team]),
    )
    for hook in (await db.execute(wanted)).mappings():
        if event in hook["events"]:
            said = make_payload(event, now, event_data(connection, **(data or {})))
            await enqueue(db, hook["id"], said, now)


async def enqueue_status_change(
    db: AsyncConnection, before: Connection, after: Connection, now: datetime
) -> None:
    if after.status == before.status:
        return
    data = {"previous_status": before.status}
    await enqueue_event(db, "connection.status_changed", after, now, data)
    if after.status == "deactivated":
        await enqueue_event(db, "connection.deactivated", after, now, data)


async def enqueue(
    db: AsyncConnection, webhook_id: str, said: Payload, now: datetime, **more: Any
) -> int:
    """To be sent; its id. `more`: what is known of it already."""
    row = {
        "webhook_id": webhook_id, "event": said["type"], "payload": dict(said), "attempts": 0,
        "status": "waiting", "last_error": "", "created_at": now, "next_at": now,
    }  # fmt: skip
    added = await db.execute(webhook_deliveries.insert().returning(_D.id), row | more)
    return int(added.scalar_one())


class Outbox:
    """The deliveries in a database that has been migrated. Raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, now: datetime, limit: int, busy: Sequence[str]) -> Sequence[Delivery]:
        """The one that has waited longest for each webhook that is active and not `busy`."""
        of_active = _D.webhook_id.in_(select(_W.id).where(_W.is_active, _W.id.not_in(busy)))
        is_due = (_D.status == "waiting", _D.next_at <= now, of_active)
        place = func.row_number().over(partition_by=_D.webhook_id, order_by=(_D.next_at, _D.id))
        ranked = select(webhook_deliveries, place.label("place")).where(*is_due).subquery()
        wanted = select(ranked).where(ranked.c.place == 1).order_by(ranked.c.next_at).limit(limit)
        async with self._database.reading() as db:
            return [_delivery(row) for row in (await db.execute(wanted)).mappings()]

    async def save_result(self, delivery: Delivery) -> None:
        """Keep what came of it."""
        values = {name: getattr(delivery, name) for name in RESULT_FIELDS}
        by_id = update(webhook_deliveries).where(_D.id == delivery.id).values(values)
        async with self._database.writing() as db:
            await db.execute(by_id)

    async def prune(self, before: datetime, most: int = 1_000) -> None:
        """Remove some of those that were made before then and wait no more."""
        old = select(_D.id).where(_D.status != "waiting", _D.created_at < before).limit(most)
        async with self._database.writing() as db:
            await db.execute(webhook_deliveries.delete().where(_D.id.in_(old)))


async def read_page(
    db: AsyncConnection, webhook_id: str, limit: int, offset: int
) -> tuple[tuple[Delivery, ...], int]:
    """The latest first, and how many there are in all."""
    wanted = select(webhook_deliveries).where(_D.webhook_id == webhook_id)
    total = (await db.execute(wanted.with_only_columns(func.count()))).scalar_one()
    rows = wanted.order_by(_D.created_at.desc(), _D.id.desc()).limit(limit).offset(offset)
    return tuple(_delivery(row) for row in (await db.execute(rows)).mappings()), total


def _delivery(row: RowMapping) -> Delivery:
    return Delivery(**{name: row[name] for name in _NAMES})
