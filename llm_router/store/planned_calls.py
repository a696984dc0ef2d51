"""Stores planned calls: plans of people and programs, and how far the process that dials has got.

A number is claimed before it is dialed, by one process; one whose process has died in between is
not dialed again by itself.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import uuid4

from sqlalchemy import ColumnElement, case, func, or_, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.clock import Clock, SystemClock, utc_now
from llm_router.connections.access import Actor, may_act
from llm_router.errors import ConflictError, ForbiddenError, NotFoundError, QuotaError
from llm_router.store import audit
from llm_router.store.database import Database
from llm_router.store.dialects import insert
from llm_router.store.planned_call_tables import planned_calls
from llm_router.voice.phone.plan import (
    UNDER_WAY,
    CallPlan,
    PlannedCall,
    PlanStatus,
    planned,
)

MOST_WAITING = 20_000
"""Planned calls that may wait."""
_AHEAD = timedelta(seconds=10)
"""Time for which an attempt may wait for its turn, beside its agent, after it was claimed."""
_LOCK = 0x5048_4F4E
"""PostgreSQL's advisory lock of those that claim numbers, so that they count one after the other.
SQLite's writers take turns in any case."""
_C = planned_calls.c
_NAMES = tuple(field.name for field in fields(PlannedCall))


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRates:
    """Limits of calls out, for all processes together."""

    at_once: int = 10
    per_second: float = 1.0

    @property
    def window(self) -> tuple[timedelta, int]:
        """Returns a stretch of time, and how many numbers may be dialed in it."""
        seconds = max(1.0, 1.0 / self.per_second)
        return timedelta(seconds=seconds), max(1, int(self.per_second * seconds))

    @property
    def ahead(self) -> int:
        """Returns how many numbers may wait for their turn: few, as an agent waits with each."""
        return max(1, int(self.per_second * _AHEAD.total_seconds()))


class PlannedCalls:
    """The planned calls in a migrated database.

    Raises ForbiddenError, NotFoundError, ConflictError, QuotaError and StoreError.
    """

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock or SystemClock()

    # ── People and programs ──────────────────────────────────────────────────────────────────────

    async def plan(self, actor: Actor, plans: Sequence[CallPlan]) -> Sequence[PlannedCall]:
        """Stores all plans or none; one with an idempotency key that is known stays as it was.

        Raises ConfigurationError for a plan that begins more than a year ahead.
        """
        require_planner(actor)
        now = utc_now(self._clock)
        new = [planned(p, call_id=str(uuid4()), author=actor.name, now=now) for p in plans]
        async with self._database.writing() as db:
            stored = [await self._add(db, call) for call in new]
            added = {call.id for call in stored} & {call.id for call in new}
            if added:  # what was planned before is answered as before, however many wait
                await _refuse_too_many(db)
                entries = [actor.audit_entry("plan", ("call", one), now) for one in sorted(added)]
                await audit.write(db, entries)
        return stored

    async def known_keys(self, actor: Actor, keys: Collection[str]) -> set[str]:
        """Returns which of these idempotency keys the actor has planned a call with."""
        require_planner(actor)
        known = select(_C.idempotency_key).where(
            _C.author == actor.name, _C.idempotency_key.in_(keys)
        )
        async with self._database.reading() as db:
            return {*(await db.execute(known)).scalars()}

    async def find(
        self,
        actor: Actor,
        *,
        status: PlanStatus | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[Sequence[PlannedCall], int]:
        """Lists planned calls, the latest first, and the number of all."""
        require_planner(actor)
        matching = [] if status is None else [_C.status == status]
        count = select(func.count()).select_from(planned_calls).where(*matching)
        rows = select(planned_calls).where(*matching).order_by(_C.created_at.desc(), _C.id)
        async with self._database.reading() as db:
            total = (await db.execute(count)).scalar_one()
            page = (await db.execute(rows.limit(limit).offset(offset))).mappings()
            return [_call(row) for row in page], total

    async def get(self, actor: Actor, call_id: str) -> PlannedCall:
        require_planner(actor)
        async with self._database.reading() as db:
            return await _get(db, call_id)

    async def cancel(self, actor: Actor, call_id: str) -> PlannedCall:
        """Takes back a call that waits. Raises ConflictError for one that is under way or done."""
        require_planner(actor)
        now = utc_now(self._clock)
        async with self._database.writing() as db:
            values = {"status": "cancelled", "next_at": None, "updated_at": now}
            if not await _update(db, [_C.id == call_id, _C.status == "waiting"], values):
                call = await _get(db, call_id)
                raise ConflictError(
                    f"planned call {call_id} is {call.status}: one that waits can be cancelled"
                )
            await audit.write(db, [actor.audit_entry("cancel", ("call", call_id), now)])
            return await _get(db, call_id)

    # ── The process that dials ───────────────────────────────────────────────────────────────────

    async def due(self, now: datetime, limit: int) -> Sequence[PlannedCall]:
        """Returns calls whose time has come: first those whose window has closed, the longest due
        first. Not among them are calls to a number that is in a call: they could not be claimed,
        and many of them would hide all others.
        """
        busy = select(_C.number).where(_C.status.in_(UNDER_WAY))
        may_move = or_(_C.latest <= now, _C.number.not_in(busy))
        query = select(planned_calls).where(_C.status == "waiting", _C.next_at <= now, may_move)
        is_closed = case((_C.latest <= now, 0), else_=1)
        return await self._read(query.order_by(is_closed, _C.next_at, _C.id).limit(limit))

    async def last_tries(self, call_ids: Collection[str]) -> set[tuple[str, str]]:
        """Returns the id and the last room of those of the calls that are not over."""
        is_open = _C.status.in_({"waiting", *UNDER_WAY})
        query = select(_C.id, _C.room).where(_C.id.in_(call_ids), is_open)
        async with self._database.reading() as db:
            return {(call, room) for call, room in await db.execute(query)}

    async def explain(self, now: datetime, outcome: str, reason: str) -> None:
        """Notes on every call whose time has come why it is not dialed.

        The outcome of one that was dialed before stays.
        """
        due = _C.status == "waiting", _C.next_at <= now, _C.reason != reason
        own = case((_C.attempt == 0, outcome), else_=_C.outcome)
        values = {"outcome": own, "reason": reason, "updated_at": now}
        async with self._database.writing() as db:
            await db.execute(update(planned_calls).where(*due).values(values))

    async def forget_faults(self, now: datetime) -> None:
        """Removes what `explain` has noted, in whichever process, on calls never dialed.

        On others it is replaced as they are dialed, which they are from now on.
        """
        due = _C.status == "waiting", _C.next_at <= now, _C.attempt == 0, _C.reason != ""
        values = {"outcome": "", "reason": "", "updated_at": now}
        async with self._database.writing() as db:
            await db.execute(update(planned_calls).where(*due).values(values))

    async def claim(
        self, call: PlannedCall, holder: str, room: str, now: datetime, rates: CallRates
    ) -> PlannedCall | None:
        """Begins the next attempt of a call that waits.

        Returns None if another process has it, if as many calls as may be are under way, if one of
        them is to the same number, or if the number could not be dialed soon.
        """
        async with self._counting() as db:
            under_way = select(func.count()).where(_C.status.in_(UNDER_WAY))
            preparing = select(func.count()).where(_C.status == "preparing")
            if (await db.execute(under_way)).scalar_one() >= rates.at_once:
                return None
            if (await db.execute(preparing)).scalar_one() >= rates.ahead:
                return None
            same = under_way.where(_C.number == call.number)
            if (await db.execute(same)).scalar_one():
                return None
            if await _next_turn(db, now, rates) - now > _AHEAD:
                return None
            waits = _C.id == call.id, _C.status == "waiting", _C.attempt == call.attempt
            begun = {
                "status": "preparing", "attempt": call.attempt + 1, "next_at": None,
                "outcome": "", "reason": "", "room": room, "holder": holder, "updated_at": now,
            }  # fmt: skip
            return await _update(db, waits, begun)

    async def begin_dialing(
        self, call: PlannedCall, now: datetime, rates: CallRates
    ) -> datetime | Literal["dial", "lost"]:
        """Notes that the number is dialed now, or returns the time at which to ask again.

        `lost`: the attempt is another process's.
        """
        async with self._counting() as db:
            if (turn := await _next_turn(db, now, rates)) > now:
                return turn
            values = {"status": "dialing", "dialed_at": now, "updated_at": now}
            own = [*_attempt(call), _C.status == "preparing"]
            return "dial" if await _update(db, own, values) else "lost"

    async def note(self, call: PlannedCall, status: PlanStatus, now: datetime) -> bool:
        """Notes how far an attempt is; returns False if it is another process's, or has ended."""
        values: dict[str, Any] = {"status": status, "updated_at": now}
        if status == "answered":
            values["holder"] = ""  # whichever process leads follows it from now on
        async with self._database.writing() as db:
            return await _update(db, _attempt(call), values) is not None

    async def settle(self, call: PlannedCall, after: PlannedCall) -> bool:
        """Replaces a call by what it is `after` its attempt.

        Returns False if the attempt has ended, or is another process's by now.
        """
        names = ("status", "outcome", "reason", "attempt", "next_at", "holder", "updated_at")
        values = {name: getattr(after, name) for name in names}
        async with self._database.writing() as db:
            return await _update(db, _attempt(call), values) is not None

    async def adopt(self, call: PlannedCall, holder: str, now: datetime) -> PlannedCall | None:
        """Makes an abandoned attempt that of another holder; None: its process lives after all."""
        seen = _C.status == call.status, _C.updated_at == call.updated_at
        async with self._database.writing() as db:
            return await _update(
                db, [*_attempt(call), *seen], {"holder": holder, "updated_at": now}
            )

    async def postpone(self, call: PlannedCall, after: PlannedCall) -> None:
        """Moves a call that waits to the time, or the end, that `after` has."""
        names = ("status", "outcome", "reason", "next_at", "updated_at")
        waits = _C.id == call.id, _C.status == "waiting", _C.attempt == call.attempt
        async with self._database.writing() as db:
            await _update(db, waits, {name: getattr(after, name) for name in names})

    async def beat(self, holder: str, call_ids: Collection[str], now: datetime) -> None:
        """Notes a sign of life of these attempts of a process."""
        own = _C.holder == holder, _C.id.in_(call_ids), _C.status.in_(UNDER_WAY)
        async with self._database.writing() as db:
            await db.execute(update(planned_calls).where(*own).values(updated_at=now))

    async def answered(self, limit: int = 1_000) -> Sequence[PlannedCall]:
        """Returns the calls that go on."""
        return await self._read(
            select(planned_calls).where(_C.status == "answered").order_by(_C.id).limit(limit)
        )

    async def abandoned(self, beat_before: datetime, limit: int = 100) -> Sequence[PlannedCall]:
        """Returns the attempts whose process has given no sign of life since then."""
        unfinished = UNDER_WAY - {"answered"}
        old = _C.status.in_(unfinished), _C.updated_at < beat_before
        return await self._read(select(planned_calls).where(*old).order_by(_C.id).limit(limit))

    async def prune(self, before: datetime, limit: int = 100) -> bool:
        """Removes some calls that ended before that time; returns False if none is left."""
        old = select(_C.id).where(_C.status.in_(["done", "cancelled"]), _C.updated_at < before)
        async with self._database.writing() as db:
            gone = await db.execute(planned_calls.delete().where(_C.id.in_(old.limit(limit))))
        return gone.rowcount == limit

    async def _read(self, query: Any) -> Sequence[PlannedCall]:
        async with self._database.reading() as db:
            return [_call(row) for row in (await db.execute(query)).mappings()]

    @asynccontextmanager
    async def _counting(self) -> AsyncIterator[AsyncConnection]:
        """Opens a transaction in which what is counted stays true until its end."""
        async with self._database.writing() as db:
            if self._database.dialect == "postgresql":
                await db.execute(select(func.pg_advisory_xact_lock(_LOCK)))
            yield db

    async def _add(self, db: AsyncConnection, call: PlannedCall) -> PlannedCall:
        row = {name: getattr(call, name) for name in _NAMES}
        row |= {
            "variables": dict(call.variables),
            "retry_after_minutes": [*call.retry_after_minutes],
        }
        added = insert(planned_calls, self._database.dialect).values(row)
        stored = await db.execute(added.on_conflict_do_nothing().returning(planned_calls))
        if (new := stored.mappings().one_or_none()) is not None:
            return _call(new)
        same = _C.author == call.author, _C.idempotency_key == call.idempotency_key
        return _call((await db.execute(select(planned_calls).where(*same))).mappings().one())


async def _refuse_too_many(db: AsyncConnection) -> None:
    count = select(func.count()).where(_C.status == "waiting")
    if (await db.execute(count)).scalar_one() > MOST_WAITING:
        raise QuotaError(
            f"at most {MOST_WAITING:,} planned calls may wait: cancel some, or plan fewer"
        )


def require_planner(actor: Actor) -> None:
    """Raises ForbiddenError unless the actor may call people."""
    if not may_act(actor, "test") or actor.pools is not None:
        why = (
            "its API key is limited to some pools"
            if actor.pools is not None
            else (f"its role is {actor.role}")
        )
        raise ForbiddenError(f"{actor.name} may not plan calls: {why}; ask an admin")


def _attempt(call: PlannedCall) -> list[ColumnElement[bool]]:
    """Returns the conditions that an attempt is still this one and its holder's, and under way."""
    own = [_C.id == call.id, _C.attempt == call.attempt, _C.room == call.room]
    return [*own, _C.holder == call.holder, _C.status.in_(UNDER_WAY)]


async def _next_turn(db: AsyncConnection, now: datetime, rates: CallRates) -> datetime:
    """Returns the time, `now` or later, at which one more number may be dialed."""
    stretch, most = rates.window
    lately = select(_C.dialed_at).where(_C.dialed_at > now - stretch)
    times = (await db.execute(lately.order_by(_C.dialed_at.desc()).limit(most))).scalars().all()
    return times[-1] + stretch if len(times) == most else now


async def _update(
    db: AsyncConnection, where: Sequence[ColumnElement[bool]], values: Mapping[str, Any]
) -> PlannedCall | None:
    changed = update(planned_calls).where(*where).values(values).returning(planned_calls)
    row = (await db.execute(changed)).mappings().one_or_none()
    return _call(row) if row is not None else None


async def _get(db: AsyncConnection, call_id: str) -> PlannedCall:
    query = select(planned_calls).where(_C.id == call_id)
    row = (await db.execute(query)).mappings().one_or_none()
    if row is None:
        raise NotFoundError(
            f"there is no planned call {call_id[:100]!r}; list the planned calls to see their ids"
        )
    return _call(row)


def _call(row: RowMapping) -> PlannedCall:
    values = {name: row[name] for name in _NAMES}
    return PlannedCall(**values | {"retry_after_minutes": tuple(row["retry_after_minutes"])})
