"""Stores calls and what was said in them; see `voice.calls.CallPort` for the promises."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, and_, func, or_, select, tuple_, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.errors import NotFoundError
from llm_router.store.call_tables import call_items, calls
from llm_router.store.database import Database
from llm_router.store.dialects import insert
from llm_router.voice.calls import (
    MAX_ITEMS,
    Call,
    CallAgent,
    CallFacts,
    CallFilters,
    CallItem,
    storable_text,
)

_C = calls.c
_I = call_items.c
_CALL = tuple(field.name for field in fields(Call))
_ITEM = tuple(field.name for field in fields(CallItem))
_EQUAL = ("state", "assistant", "room", "caller", "kind", "worker")
"""Filters that compare a column of the same name."""


class CallStore:
    """The calls in a migrated database.

    Implements `voice.calls.CallPort`. Raises StoreError; a cancelled call of a method is done or
    not done, never half.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    # ── Agents ───────────────────────────────────────────────────────────────────────────────────

    async def claim(
        self,
        room: str,
        epoch: int,
        agent: CallAgent,
        now: datetime,
        facts: CallFacts | None = None,
    ) -> Call | None:
        mine = {"epoch": epoch, "agent": agent.identity, "worker": agent.worker, "job": agent.job}
        values = mine | _known(facts or CallFacts())
        free = or_(_C.epoch == epoch - 1, and_(_C.epoch == epoch, _C.job.in_(["", agent.job])))
        claimed = update(calls).where(_C.room == room, _C.state == "agent", free)
        claimed = claimed.values(**values, last_beat=now, updated_at=now).returning(calls)
        async with self._database.writing() as db:
            row = (await db.execute(claimed)).mappings().one_or_none()
            if row is not None:
                return _call(row)
            # Of a room whose call has ended, a later agent comes too late; the first begins anew.
            if epoch > 1 and await _exists(db, room):
                return None
            return await self._insert(db, room, now, values)

    async def advance(self, room: str, epoch: int, now: datetime) -> bool:
        before = _C.room == room, _C.state == "agent", _C.epoch == epoch - 1
        unclaimed = {"epoch": epoch, "agent": "", "worker": "", "job": ""}
        return await self._update(before, **unclaimed, last_beat=now, updated_at=now)

    async def beat(self, worker: str, epochs: Mapping[str, int], now: datetime) -> set[str]:
        if not epochs:
            return set()
        own = tuple_(_C.id, _C.epoch).in_(list(epochs.items()))
        beaten = update(calls).where(own, _C.worker == worker, _C.state != "ended")
        async with self._database.writing() as db:
            return set((await db.execute(beaten.values(last_beat=now).returning(_C.id))).scalars())

    async def note(
        self,
        call_id: str,
        epoch: int,
        now: datetime,
        *,
        voiced: str | None = None,
        tools_in_flight: Sequence[Mapping[str, Any]] | None = None,
        answered: bool = False,
    ) -> bool:
        values: dict[str, Any] = {"last_beat": now}
        if voiced is not None:
            values["voiced"] = storable_text(voiced)
        if tools_in_flight is not None:
            values["tools_in_flight"] = [dict(tool) for tool in tools_in_flight]
        if answered:
            values |= {"answered_at": func.coalesce(_C.answered_at, now), "updated_at": now}
        own = _C.id == call_id, _C.epoch == epoch, _C.state != "ended"
        return await self._update(own, **values)

    async def hand_over(self, call_id: str, epoch: int, now: datetime) -> bool:
        own = _C.id == call_id, _C.epoch == epoch, _C.state == "agent"
        return await self._update(own, state="handed_over", updated_at=now)

    async def end(
        self, call_id: str, reason: str, now: datetime, *, epoch: int | None = None
    ) -> bool:
        own = [_C.id == call_id, _C.state != "ended"]
        if epoch is not None:
            own.append(_C.epoch == epoch)
        async with self._database.writing() as db:
            query = select(calls).where(*own).with_for_update()
            row = (await db.execute(query)).mappings().one_or_none()
            if row is None:
                return False
            await _end(db, _call(row), reason, now)
        return True

    # ── Conversation ─────────────────────────────────────────────────────────────────────────────

    async def append(self, call_id: str, items: Sequence[CallItem], now: datetime) -> int:
        async with self._database.writing() as db:
            call = await _get(db, call_id, for_update=True)
            if call.state == "ended" and call.keep != "transcript":
                return call.items  # the words of this call are gone, and no late ones come
            known = select(_I.id).where(_I.call_id == call_id, _I.id.in_([i.id for i in items]))
            stored = set((await db.execute(known)).scalars())
            new = {item.id: item for item in items if item.id not in stored}
            numbered = range(call.items + 1, MAX_ITEMS + 1)
            rows = [_item_row(call_id, n, i) for n, i in zip(numbered, new.values(), strict=False)]
            if not rows:
                return call.items
            await db.execute(call_items.insert(), rows)
            newest = call.items + len(rows)
            # The reply under way has become an item.
            said = any(item.role == "assistant" for item in new.values())
            values: dict[str, Any] = {"voiced": ""} if said else {}
            changed = update(calls).where(_C.id == call_id)
            await db.execute(changed.values(items=newest, updated_at=now, **values))
        return newest

    async def going_on(self, room: str) -> Call | None:
        async with self._database.reading() as db:
            return await _going_on(db, room)

    async def history(self, room: str) -> tuple[Call, list[CallItem]] | None:
        async with self._database.reading() as db:
            call = await _going_on(db, room)
            return (call, await _items(db, call.id)) if call else None

    # ── Readers ──────────────────────────────────────────────────────────────────────────────────

    async def find(
        self, filters: CallFilters, *, limit: int = 50, offset: int = 0
    ) -> tuple[list[Call], int]:
        """Returns a page of calls, the latest first, and the number of all that match."""
        matching = _conditions(filters)
        rows = select(calls).where(*matching).order_by(_C.started_at.desc(), _C.id)
        count = select(func.count()).select_from(calls).where(*matching)
        async with self._database.reading() as db:
            total = (await db.execute(count)).scalar_one()
            page = (await db.execute(rows.limit(limit).offset(offset))).mappings()
            return [_call(row) for row in page], total

    async def silent(
        self, before: datetime, metadata: Mapping[str, str], limit: int
    ) -> Sequence[Call]:
        """Returns calls with this metadata that await a sign of life of their agent since then."""
        late = [_C.state == "agent", _C.last_beat < before]
        late += [_C["metadata"][key].as_string() == value for key, value in metadata.items()]
        query = select(calls).where(*late).order_by(_C.last_beat.desc()).limit(limit)
        async with self._database.reading() as db:
            return [_call(row) for row in (await db.execute(query)).mappings()]

    async def get(self, call_id: str) -> Call:
        """Returns a call. Raises NotFoundError."""
        async with self._database.reading() as db:
            return await _get(db, call_id)

    async def read(
        self, call_id: str, *, after: int = 0, limit: int = MAX_ITEMS
    ) -> tuple[Call, list[CallItem]]:
        """Returns a call and its items with a higher number than `after`. Raises NotFoundError."""
        async with self._database.reading() as db:
            call = await _get(db, call_id)
            return call, await _items(db, call_id, after, limit)

    async def changes(
        self, since: datetime, known: Collection[str], limit: int = 1_000
    ) -> tuple[list[Call], set[str]]:
        """Returns the calls that go on or have changed since then, the earliest change first, and
        those of `known` that are not stored any more.
        """
        changed = or_(_C.state != "ended", _C.updated_at >= since)
        query = select(calls).where(changed).order_by(_C.updated_at, _C.id).limit(limit)
        left = select(_C.id).where(_C.id.in_(list(known)))
        async with self._database.reading() as db:
            found = [_call(row) for row in (await db.execute(query)).mappings()]
            stored = set((await db.execute(left)).scalars()) if known else set()
        return found, set(known) - stored

    # ── Removal ──────────────────────────────────────────────────────────────────────────────────

    async def remove(self, call_id: str) -> None:
        """Removes a call with all its items. Raises NotFoundError."""
        async with self._database.writing() as db:
            await _get(db, call_id, for_update=True)
            await db.execute(calls.delete().where(_C.id == call_id))

    async def prune(self, now: datetime, before: datetime | None, limit: int = 100) -> bool:
        """Removes some calls that ended before that time or whose own time is over.

        Returns False if none is left.
        """
        over = [_C.expires_at <= now]
        if before is not None:
            over.append(and_(_C.state == "ended", _C.ended_at < before))
        old = select(_C.id).where(or_(*over)).limit(limit)
        async with self._database.writing() as db:
            removed = await db.execute(calls.delete().where(_C.id.in_(old)))
        return removed.rowcount == limit

    async def end_lost(self, now: datetime, beat_before: datetime, limit: int = 100) -> int:
        """Ends calls without a sign of life since then; returns how many."""
        query = select(calls).where(_C.state != "ended", _C.last_beat < beat_before)
        async with self._database.writing() as db:
            rows = (await db.execute(query.limit(limit).with_for_update())).mappings().all()
            for row in rows:
                await _end(db, _call(row), "lost", now)
        return len(rows)

    async def _insert(
        self, db: AsyncConnection, room: str, now: datetime, values: Mapping[str, Any]
    ) -> Call | None:
        """Inserts a call; returns None if the room has one that goes on."""
        call = Call(
            **{"id": str(uuid4()), "room": room, **values},
            last_beat=now, started_at=now, updated_at=now,
        )  # fmt: skip
        row = {name: getattr(call, name) for name in _CALL}
        row["tools_in_flight"] = []
        added = insert(calls, self._database.dialect).values(row).on_conflict_do_nothing()
        stored = (await db.execute(added.returning(calls))).mappings().one_or_none()
        return _call(stored) if stored is not None else None

    async def _update(self, where: Sequence[ColumnElement[bool]], **values: Any) -> bool:
        async with self._database.writing() as db:
            changed = await db.execute(update(calls).where(*where).values(values))
        return bool(changed.rowcount)


async def _end(db: AsyncConnection, call: Call, reason: str, now: datetime) -> None:
    if call.keep == "nothing":
        await db.execute(calls.delete().where(_C.id == call.id))
        return
    if call.keep == "facts":
        await db.execute(call_items.delete().where(_I.call_id == call.id))
    expires = None if call.keep_days is None else now + timedelta(days=call.keep_days)
    ended = {"state": "ended", "reason": reason, "ended_at": now, "updated_at": now}
    done = ended | {"voiced": "", "tools_in_flight": [], "expires_at": expires}
    await db.execute(update(calls).where(_C.id == call.id).values(done))


async def _get(db: AsyncConnection, call_id: str, *, for_update: bool = False) -> Call:
    query = select(calls).where(_C.id == call_id)
    if for_update:
        query = query.with_for_update()
    row = (await db.execute(query)).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"there is no call {call_id[:100]!r}")
    return _call(row)


async def _going_on(db: AsyncConnection, room: str) -> Call | None:
    query = select(calls).where(_C.room == room, _C.state != "ended")
    row = (await db.execute(query)).mappings().one_or_none()
    return _call(row) if row is not None else None


async def _exists(db: AsyncConnection, room: str) -> bool:
    return (await db.execute(select(_C.id).where(_C.room == room).limit(1))).first() is not None


async def _items(
    db: AsyncConnection, call_id: str, after: int = 0, limit: int = MAX_ITEMS
) -> list[CallItem]:
    query = select(call_items).where(_I.call_id == call_id, _I.number > after)
    rows = (await db.execute(query.order_by(_I.number).limit(limit))).mappings()
    return [CallItem(**{name: row[name] for name in _ITEM}) for row in rows]


def _conditions(filters: CallFilters) -> list[ColumnElement[bool]]:
    found = [_C[name] == value for name in _EQUAL if (value := getattr(filters, name))]
    if filters.started_from:
        found.append(_C.started_at >= filters.started_from)
    if filters.started_to:
        found.append(_C.started_at < filters.started_to)
    if filters.beat_before:
        found.append(_C.last_beat < filters.beat_before)
    if filters.updated_from:
        found.append(_C.updated_at >= filters.updated_from)
    if filters.text:
        text = storable_text(filters.text).casefold()
        holds = _I.search.contains(text, autoescape=True)
        found.append(select(_I.number).where(_I.call_id == _C.id, holds).exists())
    return found


def _known(facts: CallFacts) -> dict[str, Any]:
    """Returns the columns of the facts that are known."""
    known = {field.name: getattr(facts, field.name) for field in fields(CallFacts)}
    known["metadata"] = dict(facts.metadata)
    return {name: value for name, value in known.items() if value not in ("", None, {})}


def _call(row: RowMapping) -> Call:
    return Call(**{name: row[name] for name in _CALL})


def _item_row(call_id: str, number: int, item: CallItem) -> dict[str, Any]:
    row = {name: getattr(item, name) for name in _ITEM}
    text = storable_text(item.text)
    row |= {"call_id": call_id, "number": number, "text": text, "search": text.casefold()}
    row |= {"tool_calls": [dict(call) for call in item.tool_calls], "receipt": dict(item.receipt)}
    return row
