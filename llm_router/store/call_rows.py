"""Reads and writes the rows of calls, inside the transactions of their stores."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.errors import NotFoundError
from llm_router.store.call_tables import call_items, calls
from llm_router.store.database import Dialect
from llm_router.store.dialects import insert
from llm_router.voice.calls import (
    MAX_ITEMS,
    PAGE_CONTEXT,
    TRIAL,
    Call,
    CallFacts,
    CallItem,
    storable_text,
)

_C = calls.c
_I = call_items.c
CALL_COLUMNS = tuple(field.name for field in fields(Call))
_ITEM = tuple(field.name for field in fields(CallItem))


async def insert_call(
    db: AsyncConnection, dialect: Dialect, room: str, now: datetime, values: Mapping[str, Any]
) -> Call | None:
    """Inserts a call; returns None if the room has one that goes on."""
    call = Call(
        **{"id": str(uuid4()), "room": room, **values},
        last_beat=now, started_at=now, updated_at=now,
    )  # fmt: skip
    row = {name: getattr(call, name) for name in CALL_COLUMNS}
    row["tools_in_flight"] = []
    added = insert(calls, dialect).values(row).on_conflict_do_nothing()
    stored = (await db.execute(added.returning(calls))).mappings().one_or_none()
    return call_of(stored) if stored is not None else None


async def end_call(db: AsyncConnection, call: Call, reason: str, now: datetime) -> None:
    if call.keep == "nothing":
        await db.execute(calls.delete().where(_C.id == call.id))
        return
    metadata = {name: value for name, value in call.metadata.items() if name != TRIAL}
    if call.keep == "facts":
        await db.execute(call_items.delete().where(_I.call_id == call.id))
        metadata.pop(PAGE_CONTEXT, None)
    expires = None if call.keep_days is None else now + timedelta(days=call.keep_days)
    ended = {"state": "ended", "reason": reason, "ended_at": now, "updated_at": now}
    left: dict[str, Any] = {
        "voiced": "",
        "tools_in_flight": [],
        "metadata": metadata,
        "expires_at": expires,
    }
    await db.execute(update(calls).where(_C.id == call.id).values(ended | left))


async def return_to_text(db: AsyncConnection, call: Call, now: datetime) -> None:
    """Notes that no agent answers a call any more, and that its visitor may type.

    The words of a reply under way stay, as those of one that was broken off.
    """
    free = {"state": "text", "agent": "", "worker": "", "job": ""}
    values = free | {"last_beat": now, "updated_at": now}
    await db.execute(update(calls).where(_C.id == call.id).values(values))


async def get_call(db: AsyncConnection, call_id: str, *, for_update: bool = False) -> Call:
    query = select(calls).where(_C.id == call_id)
    if for_update:
        query = query.with_for_update()
    row = (await db.execute(query)).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"there is no call {call_id[:100]!r}; list the calls to see their ids")
    return call_of(row)


async def going_on(db: AsyncConnection, room: str) -> Call | None:
    query = select(calls).where(_C.room == room, _C.state != "ended")
    row = (await db.execute(query)).mappings().one_or_none()
    return call_of(row) if row is not None else None


async def items_of(
    db: AsyncConnection, call_id: str, after: int = 0, limit: int = MAX_ITEMS
) -> list[CallItem]:
    query = select(call_items).where(_I.call_id == call_id, _I.number > after)
    rows = (await db.execute(query.order_by(_I.number).limit(limit))).mappings()
    return [CallItem(**{name: row[name] for name in _ITEM}) for row in rows]


def known_columns(facts: CallFacts) -> dict[str, Any]:
    """Returns the columns of the facts that are known."""
    known = {field.name: getattr(facts, field.name) for field in fields(CallFacts)}
    known["metadata"] = dict(facts.metadata)
    return {name: value for name, value in known.items() if value not in ("", None, {})}


def call_of(row: RowMapping) -> Call:
    return Call(**{name: row[name] for name in CALL_COLUMNS})


def item_row(call_id: str, number: int, item: CallItem) -> dict[str, Any]:
    row = {name: getattr(item, name) for name in _ITEM}
    text = storable_text(item.text)
    row |= {"call_id": call_id, "number": number, "text": text, "search": text.casefold()}
    row |= {"tool_calls": [dict(call) for call in item.tool_calls], "receipt": dict(item.receipt)}
    return row


async def insert_first_items(db: AsyncConnection, call: Call, items: Sequence[CallItem]) -> None:
    """Stores the items of a call that has just been inserted, with their count."""
    if items:
        rows = [item_row(call.id, number, item) for number, item in enumerate(items, 1)]
        await db.execute(call_items.insert(), rows)


async def insert_items(
    db: AsyncConnection,
    call: Call,
    items: Sequence[CallItem],
    now: datetime,
    values: Mapping[str, Any] | None = None,
) -> int:
    """Stores those items of a call that are not stored yet, and these values of the call.

    Returns the number of the newest item.
    """
    if call.state == "ended" and call.keep != "transcript":
        return call.items  # the words of this call are gone, and no late ones come
    known = select(_I.id).where(_I.call_id == call.id, _I.id.in_([i.id for i in items]))
    stored = set((await db.execute(known)).scalars())
    new = {item.id: item for item in items if item.id not in stored}
    numbered = range(call.items + 1, MAX_ITEMS + 1)
    rows = [item_row(call.id, n, i) for n, i in zip(numbered, new.values(), strict=False)]
    changes: dict[str, Any] = {}
    if rows:
        await db.execute(call_items.insert(), rows)
        changes = {"items": call.items + len(rows), "updated_at": now}
        # The reply under way has become an item.
        if any(item.role == "assistant" for item in new.values()):
            changes["voiced"] = ""
    if changes := changes | dict(values or {}):
        await db.execute(update(calls).where(_C.id == call.id).values(changes))
    return call.items + len(rows)
