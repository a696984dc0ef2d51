"""Stores messages that callers have left, and tells webhooks of each in the same transaction."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime

from sqlalchemy import func, select

from llm_router.clock import Clock, SystemClock, utc_now
from llm_router.connections import rules
from llm_router.connections.access import Actor
from llm_router.errors import NotFoundError
from llm_router.store import audit, outbox
from llm_router.store.database import Database
from llm_router.store.dialects import insert
from llm_router.store.message_tables import messages
from llm_router.voice.messages import Message, bounded, redacted

_M = messages.c
_NAMES = tuple(field.name for field in fields(Message))


class Messages:
    """The messages in a migrated database: agents leave them, administrators read them.

    Implements `voice.messages.MessageBox`; what may be a card's number is taken out of a message if
    `redacts_cards`. Raises ForbiddenError, NotFoundError and StoreError.
    """

    def __init__(
        self, database: Database, clock: Clock | None = None, *, redacts_cards: bool = True
    ) -> None:
        self._database = database
        self._clock = clock or SystemClock()
        self._redacts_cards = redacts_cards

    async def take(self, message: Message) -> None:
        row = asdict(bounded(redacted(message) if self._redacts_cards else message))
        new = insert(messages, self._database.dialect).values(row).on_conflict_do_nothing()
        async with self._database.writing() as db:
            if (await db.execute(new.returning(_M.id))).first():
                data = {**row, "message_id": row["id"], "created_at": row["created_at"].isoformat()}
                del data["id"]
                await outbox.enqueue_for_all(db, "message.taken", utc_now(self._clock), data)

    async def find(
        self, actor: Actor, *, limit: int = 50, offset: int = 0
    ) -> tuple[Sequence[Message], int]:
        """Lists messages, newest first, and the number of all."""
        rules.require_administrator(actor, "messages of callers")
        query = select(messages).order_by(_M.created_at.desc(), _M.id).limit(limit).offset(offset)
        async with self._database.reading() as db:
            total = (await db.execute(select(func.count()).select_from(messages))).scalar_one()
            rows = (await db.execute(query)).mappings().all()
        return [Message(**{name: row[name] for name in _NAMES}) for row in rows], total

    async def prune(self, before: datetime, limit: int = 100) -> bool:
        """Removes some messages that are older; returns False if none is left."""
        old = select(_M.id).where(_M.created_at < before).limit(limit)
        async with self._database.writing() as db:
            removed = await db.execute(messages.delete().where(_M.id.in_(old)))
        return removed.rowcount == limit

    async def remove(self, actor: Actor, message_id: str) -> None:
        """Removes a message; the audit log has who did, and nothing of its words."""
        rules.require_administrator(actor, "messages of callers")
        async with self._database.writing() as db:
            gone = await db.execute(messages.delete().where(_M.id == message_id).returning(_M.id))
            if not gone.first():
                raise NotFoundError(
                    f"there is no message {message_id[:100]!r}; list the messages to see their ids"
                )
            entry = actor.audit_entry("remove", ("message", message_id), utc_now(self._clock))
            await audit.write(db, [entry])
