"""Stores calls and what was said in them; see `voice.calls.CallPort` for the promises."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.store.call_conditions import conditions
from llm_router.store.call_rows import (
    call_of,
    end_call,
    get_call,
    going_on,
    insert_call,
    insert_items,
    items_of,
    known_columns,
    return_to_text,
)
from llm_router.store.call_tables import calls
from llm_router.store.database import Database
from llm_router.voice.calls import (
    HANDED_TO,
    MAX_ITEMS,
    Call,
    CallAgent,
    CallFacts,
    CallFilters,
    CallItem,
    HandedTo,
    storable_text,
)

_C = calls.c


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
        *,
        may_begin: bool = True,
    ) -> Call | None:
        mine = {"epoch": epoch, "agent": agent.identity, "worker": agent.worker, "job": agent.job}
        values = mine | known_columns(facts or CallFacts())
        free = or_(_C.epoch == epoch - 1, and_(_C.epoch == epoch, _C.job.in_(["", agent.job])))
        claimed = update(calls).where(_C.room == room, _C.state == "agent", free)
        claimed = claimed.values(**values, last_beat=now, updated_at=now).returning(calls)
        async with self._database.writing() as db:
            if facts and facts.metadata:
                # What others have noted there stays.
                noted = {**await _metadata(db, room), **facts.metadata}
                claimed = claimed.values(metadata=noted)
            row = (await db.execute(claimed)).mappings().one_or_none()
            if row is not None:
                return call_of(row)
            # Of a room whose call has ended, a later agent comes too late, and so do new facts of
            # its own agent; the first of another job begins anew.
            if not may_begin or await _exists(db, room, None if epoch > 1 else agent.job):
                return None
            return await insert_call(db, self._database.dialect, room, now, values)

    async def advance(self, room: str, epoch: int, now: datetime) -> bool:
        before = _C.room == room, _C.state == "agent", _C.epoch == epoch - 1
        unclaimed: dict[str, Any] = {"epoch": epoch, "agent": "", "worker": "", "job": ""}
        return await self._update(before, **unclaimed, last_beat=now, updated_at=now)

    async def beat(self, worker: str, epochs: Mapping[str, int], now: datetime) -> set[str]:
        if not epochs:
            return set()
        own = tuple_(_C.id, _C.epoch).in_(list(epochs.items()))
        beaten = update(calls).where(own, _C.worker == worker, _C.state != "ended")
        async with self._database.writing(is_passing=True) as db:
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
        gone: bool = False,
    ) -> bool:
        values: dict[str, Any] = {"last_beat": now}
        if gone:
            values["worker"] = ""
        if voiced is not None:
            values["voiced"] = storable_text(voiced)
        if tools_in_flight is not None:
            values["tools_in_flight"] = [dict(tool) for tool in tools_in_flight]
        if answered:
            values |= {"answered_at": func.coalesce(_C.answered_at, now), "updated_at": now}
        own = _C.id == call_id, _C.epoch == epoch, _C.state != "ended"
        # Twice a second in each call: a disk that is waited for would hold up all other writers.
        return await self._update(own, is_passing=not gone, **values)

    async def hand_over(
        self, call_id: str, epoch: int, now: datetime, *, to: HandedTo | None = None
    ) -> bool:
        own = _C.id == call_id, _C.epoch == epoch, _C.state == "agent"
        async with self._database.writing() as db:
            query = select(_C["metadata"]).where(*own).with_for_update()
            row = (await db.execute(query)).one_or_none()
            if row is None:
                return False
            values: dict[str, Any] = {"state": "handed_over", "last_beat": now, "updated_at": now}
            if to is not None:
                values["metadata"] = {**row[0], HANDED_TO: to}
            await db.execute(update(calls).where(*own).values(values))
        return True

    async def give_back(self, call_id: str, now: datetime) -> Call | None:
        handed = update(calls).where(_C.id == call_id, _C.state == "handed_over")
        values = {"state": "agent", "agent": "", "job": "", "last_beat": now, "updated_at": now}
        async with self._database.writing() as db:
            row = (await db.execute(handed.values(values).returning(calls))).mappings()
            found = row.one_or_none()
        return call_of(found) if found is not None else None

    async def seen(self, call_ids: Collection[str], now: datetime) -> None:
        """Notes a sign of life of calls that persons answer."""
        theirs = _C.id.in_(list(call_ids)), _C.state == "handed_over"
        if call_ids:
            await self._update(theirs, last_beat=now)

    async def end(
        self, call_id: str, reason: str, now: datetime, *, epoch: int | None = None
    ) -> bool:
        own = [_C.id == call_id, _C.state != "ended"]
        if epoch is not None:
            own += [_C.epoch == epoch, _C.state == "agent"]
        async with self._database.writing() as db:
            query = select(calls).where(*own).with_for_update()
            row = (await db.execute(query)).mappings().one_or_none()
            if row is None:
                return False
            await _end_voice(db, call_of(row), reason, now)
        return True

    # ── Conversation ─────────────────────────────────────────────────────────────────────────────

    async def append(self, call_id: str, items: Sequence[CallItem], now: datetime) -> int:
        async with self._database.writing() as db:
            call = await get_call(db, call_id, for_update=True)
            return await insert_items(db, call, items, now)

    async def going_on(self, room: str) -> Call | None:
        async with self._database.reading() as db:
            return await going_on(db, room)

    async def history(self, room: str) -> tuple[Call, list[CallItem]] | None:
        async with self._database.reading() as db:
            call = await going_on(db, room)
            return (call, await items_of(db, call.id)) if call else None

    # ── Readers ──────────────────────────────────────────────────────────────────────────────────

    async def find(
        self, filters: CallFilters, *, limit: int = 50, offset: int = 0
    ) -> tuple[list[Call], int]:
        """Returns a page of calls, the latest first, and the number of all that match."""
        matching = conditions(filters)
        rows = select(calls).where(*matching).order_by(_C.started_at.desc(), _C.id)
        count = select(func.count()).select_from(calls).where(*matching)
        async with self._database.reading() as db:
            total = (await db.execute(count)).scalar_one()
            page = (await db.execute(rows.limit(limit).offset(offset))).mappings()
            return [call_of(row) for row in page], total

    async def silent(
        self, before: datetime, metadata: Mapping[str, str], limit: int
    ) -> Sequence[Call]:
        """Returns calls with this metadata that await a sign of life of their agent since then, and
        those whose agent is gone.
        """
        is_gone = and_(_C.job != "", _C.worker == "")
        late = [_C.state == "agent", or_(_C.last_beat < before, is_gone)]
        late += [_C["metadata"][key].as_string() == value for key, value in metadata.items()]
        query = select(calls).where(*late).order_by(_C.last_beat.desc()).limit(limit)
        async with self._database.reading() as db:
            return [call_of(row) for row in (await db.execute(query)).mappings()]

    async def of_jobs(self, jobs: Collection[str]) -> Sequence[Call]:
        """Returns the calls that are answered by agents with these jobs at LiveKit."""
        query = select(calls).where(_C.state == "agent", _C.job.in_(list(jobs)))
        async with self._database.reading() as db:
            return [call_of(row) for row in (await db.execute(query)).mappings()]

    async def handed_over(self, limit: int) -> Sequence[Call]:
        """Returns calls that persons answer, the earliest sign of life first."""
        theirs = select(calls).where(_C.state == "handed_over")
        query = theirs.order_by(_C.last_beat, _C.id).limit(limit)
        async with self._database.reading() as db:
            return [call_of(row) for row in (await db.execute(query)).mappings()]

    async def get(self, call_id: str) -> Call:
        """Returns a call. Raises NotFoundError."""
        async with self._database.reading() as db:
            return await get_call(db, call_id)

    async def read(
        self, call_id: str, *, after: int = 0, limit: int = MAX_ITEMS
    ) -> tuple[Call, list[CallItem]]:
        """Returns a call and its items with a higher number than `after`. Raises NotFoundError."""
        async with self._database.reading() as db:
            call = await get_call(db, call_id)
            return call, await items_of(db, call_id, after, limit)

    async def changes(
        self, since: datetime, known: Collection[str], limit: int = 1_000
    ) -> tuple[list[Call], set[str]]:
        """Returns the calls that go on or have changed since then, the earliest change first, and
        those of `known` that are not stored any more. One in writing may rest for a day: it is
        among them when it has changed.
        """
        changed = or_(_C.state.in_(["agent", "handed_over"]), _C.updated_at >= since)
        query = select(calls).where(changed).order_by(_C.updated_at, _C.id).limit(limit)
        left = select(_C.id).where(_C.id.in_(list(known)))
        async with self._database.reading() as db:
            found = [call_of(row) for row in (await db.execute(query)).mappings()]
            stored = set((await db.execute(left)).scalars()) if known else set()
        return found, set(known) - stored

    # ── Removal ──────────────────────────────────────────────────────────────────────────────────

    async def remove(self, call_id: str) -> None:
        """Removes a call with all its items. Raises NotFoundError."""
        async with self._database.writing() as db:
            await get_call(db, call_id, for_update=True)
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

    async def end_lost(
        self, now: datetime, beat_before: datetime, typed_before: datetime, limit: int = 100
    ) -> int:
        """Ends calls without a sign of life since then; returns how many.

        One in writing is ended if nothing was typed since `typed_before`.
        """
        is_lost = and_(_C.state.in_(["agent", "handed_over"]), _C.last_beat < beat_before)
        is_left = and_(_C.state == "text", _C.last_beat < typed_before)
        query = select(calls).where(or_(is_lost, is_left))
        async with self._database.writing() as db:
            rows = (await db.execute(query.limit(limit).with_for_update())).mappings().all()
            for row in rows:
                if row["state"] == "text":
                    await end_call(db, call_of(row), "silence", now)
                else:
                    await _end_voice(db, call_of(row), "lost", now)
        return len(rows)

    async def _update(
        self, where: Sequence[ColumnElement[bool]], *, is_passing: bool = False, **values: Any
    ) -> bool:
        async with self._database.writing(is_passing=is_passing, is_single=True) as db:
            changed = await db.execute(update(calls).where(*where).values(values))
        return bool(changed.rowcount)


async def _end_voice(db: AsyncConnection, call: Call, reason: str, now: datetime) -> None:
    """Ends a call; one that goes on in writing goes back to that."""
    if call.kind == "text":
        await return_to_text(db, call, now)
    else:
        await end_call(db, call, reason, now)


async def _metadata(db: AsyncConnection, room: str) -> Mapping[str, Any]:
    query = select(_C["metadata"]).where(_C.room == room, _C.state != "ended").with_for_update()
    found: Mapping[str, Any] | None = (await db.execute(query)).scalar_one_or_none()
    return found or {}


async def _exists(db: AsyncConnection, room: str, job: str | None) -> bool:
    """Returns whether the room has, or had, a call, of that job if one is given."""
    query = select(_C.id).where(_C.room == room, *([] if job is None else [_C.job == job]))
    return (await db.execute(query.limit(1))).first() is not None
