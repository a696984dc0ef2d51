"""Stores conversations in writing: calls whose messages are answered one at a time.

A reply belongs to the process that has claimed its epoch. While that process gives signs of life,
no other one answers; after its death another one claims the next epoch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import select, update

from llm_router.store.call_rows import (
    call_of,
    end_call,
    insert_call,
    insert_first_items,
    insert_items,
    items_of,
    known_columns,
    return_to_text,
)
from llm_router.store.call_tables import calls
from llm_router.store.database import Database
from llm_router.voice.calls import (
    MAX_ITEMS,
    TALKING_SINCE,
    Call,
    CallAgent,
    CallFacts,
    CallItem,
)

_C = calls.c


class TextCalls:
    """The conversations in writing of a migrated database, each by the name of its room.

    Raises StoreError; a cancelled call of a method is done or not done, never half.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(
        self, room: str, after: int = 0, limit: int = MAX_ITEMS
    ) -> tuple[Call, list[CallItem]] | None:
        """Returns the latest conversation of a room with its items after a number; None: none."""
        query = select(calls).where(_C.room == room).order_by(_C.started_at.desc()).limit(1)
        async with self._database.reading() as db:
            row = (await db.execute(query)).mappings().one_or_none()
            if row is None:
                return None
            call = call_of(row)
            items = await items_of(db, call.id, after, limit)
        # A reply that has become an item since the row was read is not under way as well.
        return call, [item for item in items if item.number <= call.items]

    async def claim(
        self,
        room: str,
        before: Call | None,
        agent: CallAgent,
        items: Sequence[CallItem],
        now: datetime,
        *,
        facts: CallFacts,
        voiced: str = "",
    ) -> Call | None:
        """Claims the next epoch for one reply and stores items with it.

        `before` is the call as it was read, None if there was none; `voiced` are words of the reply
        that were given out already. Of a call that goes on, the facts' metadata alone count: what
        they have as None is removed. Returns None if the call is not as it was any more.
        """
        mine = {"state": "text", "agent": agent.identity, "worker": agent.worker, "job": agent.job}
        said = {"voiced": voiced, "tools_in_flight": [], "last_beat": now, "updated_at": now}
        # No visitor waits for a disk: a power cut takes the message with the reply under way, and
        # the end of the reply makes both last.
        async with self._database.writing(is_passing=True) as db:
            if before is None:
                values = {**mine, **known_columns(facts), "kind": "text"}
                values |= {"metadata": _noted({}, facts), "items": len(items)}
                call = await insert_call(db, self._database.dialect, room, now, values)
                if call is not None:
                    await insert_first_items(db, call, items)
                return call
            same = (
                _C.id == before.id, _C.epoch == before.epoch, _C.state == before.state,
                _C.job == before.job, _C.last_beat == before.last_beat,
                _C["items"] == before.items,
            )  # fmt: skip
            claimed = update(calls).where(*same).returning(calls)
            next_one = {**mine, **said, "epoch": before.epoch + 1}
            if _noted(before.metadata, facts) != before.metadata:
                # As it is now: others note things there as well.
                query = select(_C["metadata"]).where(_C.id == before.id).with_for_update()
                found = (await db.execute(query)).scalar_one_or_none()
                next_one["metadata"] = _noted(found or {}, facts)
            row = (await db.execute(claimed.values(next_one))).mappings().one_or_none()
            call = call_of(row) if row is not None else None
            if call is None:
                return None
            # An item of an assistant clears the words of a reply under way: these are later ones.
            later = {"voiced": voiced} if voiced and items else None
            newest = await insert_items(db, call, items, now, later)
        return replace(call, items=newest)

    async def finish(
        self,
        call_id: str,
        epoch: int,
        items: Sequence[CallItem],
        now: datetime,
        *,
        reason: str = "",
    ) -> bool:
        """Stores the end of the reply of this epoch, and so lets the next message in.

        With a `reason` the conversation ends with it. Returns False if the epoch has passed.
        """
        own = _C.id == call_id, _C.epoch == epoch, _C.state == "text"
        async with self._database.writing() as db:
            query = select(calls).where(*own).with_for_update()
            row = (await db.execute(query)).mappings().one_or_none()
            if row is None:
                return False
            call = call_of(row)
            free = {"agent": "", "worker": "", "job": "", "voiced": "", "tools_in_flight": []}
            answered = {"answered_at": call.answered_at or now, "last_beat": now}
            await insert_items(db, call, items, now, {**free, **answered})
            if reason:
                await end_call(db, call, reason, now)
        return True

    async def to_voice(self, room: str, now: datetime, facts: CallFacts) -> Call | None:
        """Moves a conversation to its room, where an agent of its epoch is to answer.

        What the facts' metadata has as None is removed from the call's.
        Returns None if it is not in writing, but in its room already, or over.
        """
        talking: dict[str, Any] = {"state": "agent", "agent": "", "worker": "", "job": ""}
        async with self._database.writing() as db:
            query = select(calls).where(_C.room == room).order_by(_C.started_at.desc()).limit(1)
            row = (await db.execute(query.with_for_update())).mappings().one_or_none()
            call = call_of(row) if row is not None else None
            noted = _noted(call.metadata if call else {}, facts)
            talking["metadata"] = {**noted, TALKING_SINCE: now.timestamp()}
            if call is None:
                values = {**known_columns(facts), **talking, "kind": "text"}
                return await insert_call(db, self._database.dialect, room, now, values)
            if call.state != "text":
                return None
            values = {**talking, "epoch": call.epoch + 1, "last_beat": now, "updated_at": now}
            moved = update(calls).where(_C.id == call.id).returning(calls)
            return call_of((await db.execute(moved.values(values))).mappings().one())

    async def to_text(self, call_id: str, epoch: int, now: datetime) -> bool:
        """Takes a conversation back from a room to which no agent came, or whose agent is gone."""
        async with self._database.writing() as db:
            own = _C.id == call_id, _C.epoch == epoch, _C.state == "agent", _C.kind == "text"
            query = select(calls).where(*own).with_for_update()
            row = (await db.execute(query)).mappings().one_or_none()
            if row is not None:
                await return_to_text(db, call_of(row), now)
        return row is not None


def _noted(metadata: Mapping[str, Any], facts: CallFacts) -> dict[str, Any]:
    """Returns the metadata with what the facts say; None there removes a key."""
    noted = {**metadata, **facts.metadata}
    return {key: value for key, value in noted.items() if value is not None}
