"""Stores webhooks: their addresses, subscriptions and signing secrets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import func, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.clock import Clock, SystemClock, utc_now
from llm_router.connections import rules
from llm_router.connections.access import SYSTEM, Actor
from llm_router.connections.webhooks import Event, new_secret
from llm_router.errors import NotFoundError
from llm_router.store import audit, outbox
from llm_router.store.crypto import Vault
from llm_router.store.database import Database
from llm_router.store.outbox import Delivery
from llm_router.store.sealing import seal_binding
from llm_router.store.tables import webhooks

_W = webhooks.c
_EDITABLE = ("name", "url", "events", "is_active", "owner", "team")


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A subscription to events of the connections of `owner` and `team`; empty: of all."""

    id: str
    name: str
    url: str
    events: tuple[Event, ...]
    is_active: bool = True
    owner: str = ""
    team: str = ""
    created_at: datetime
    updated_at: datetime
    version: int = 1


_NAMES = tuple(field.name for field in fields(Webhook))


class Webhooks:
    """The webhooks in a migrated database, for administrators. Every change is audited.

    Raises ForbiddenError, NotFoundError, StaleError and StoreError.
    """

    def __init__(self, database: Database, vault: Vault, clock: Clock | None = None) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock or SystemClock()

    def require(self, actor: Actor) -> None:
        """Raises ForbiddenError for an actor who may not administer."""
        rules.require_administrator(actor, "webhooks")

    async def add(
        self,
        actor: Actor,
        name: str,
        url: str,
        events: Sequence[Event],
        *,
        owner: str = "",
        team: str = "",
    ) -> tuple[Webhook, str]:
        """Adds a webhook; returns its record and its secret, which only the sender reads again."""
        self.require(actor)
        now = self._now()
        hook = Webhook(
            id=str(uuid4()),
            name=name,
            url=url,
            events=tuple(events),
            owner=owner,
            team=team,
            created_at=now,
            updated_at=now,
        )
        secret = new_secret()
        row = _row(hook) | {"secret_sealed": self._vault.seal(secret, bound_to=_binding(hook.id))}
        async with self._database.writing() as db:
            await db.execute(webhooks.insert(), row)
            await audit.write(
                db, [actor.audit_entry("add", _target(hook), now, after=_facts(hook))]
            )
        return hook, secret

    async def find(
        self, actor: Actor, *, limit: int = 50, offset: int = 0
    ) -> tuple[tuple[Webhook, ...], int]:
        """Lists webhooks, newest first, and the number of all."""
        self.require(actor)
        query = select(webhooks).order_by(_W.created_at.desc(), _W.id).limit(limit).offset(offset)
        async with self._database.reading() as db:
            total = (await db.execute(select(func.count()).select_from(webhooks))).scalar_one()
            rows = (await db.execute(query)).mappings().all()
        return tuple(_hook(row) for row in rows), total

    async def get(self, actor: Actor, webhook_id: str) -> Webhook:
        self.require(actor)
        async with self._database.reading() as db:
            return _hook(await _get_row(db, webhook_id))

    async def change(
        self,
        actor: Actor,
        webhook_id: str,
        changes: Mapping[str, Any],
        *,
        version: int | None = None,
    ) -> Webhook:
        self.require(actor)
        now = self._now()
        async with self._database.writing() as db:
            stored = _hook(await _get_row(db, webhook_id, for_update=True))
            rules.check_version("webhook", stored.name, stored.version, version)
            new = replace(stored, **{name: changes[name] for name in _EDITABLE if name in changes})
            if new == stored:
                return stored
            new = replace(new, updated_at=now, version=stored.version + 1)
            await db.execute(update(webhooks).where(_W.id == new.id).values(_row(new)))
            before, after = _facts(stored), _facts(new)
            differ = [name for name in _EDITABLE if before[name] != after[name]]
            entry = actor.audit_entry(
                "edit", _target(new), now,
                before={name: before[name] for name in differ},
                after={name: after[name] for name in differ},
            )  # fmt: skip
            await audit.write(db, [entry])
        return new

    async def remove(self, actor: Actor, webhook_id: str) -> None:
        """Removes a webhook and its deliveries; waiting ones are not sent."""
        self.require(actor)
        async with self._database.writing() as db:
            hook = _hook(await _get_row(db, webhook_id, for_update=True))
            await db.execute(webhooks.delete().where(_W.id == hook.id))
            entry = actor.audit_entry("remove", _target(hook), self._now(), before=_facts(hook))
            await audit.write(db, [entry])

    async def deliveries(
        self, actor: Actor, webhook_id: str, *, limit: int = 50, offset: int = 0
    ) -> tuple[tuple[Delivery, ...], int]:
        """Lists the deliveries of a webhook, newest first, and the number of all."""
        await self.get(actor, webhook_id)
        async with self._database.reading() as db:
            return await outbox.read_page(db, webhook_id, limit, offset)

    async def get_with_secret(self, actor: Actor, webhook_id: str) -> tuple[Webhook, str]:
        """Returns a webhook with its secret, for sending. Raises SealError."""
        self.require(actor)
        async with self._database.reading() as db:
            row = await _get_row(db, webhook_id)
        return _hook(row), self._vault.open(row["secret_sealed"], bound_to=_binding(webhook_id))

    async def add_delivery(self, actor: Actor, delivery: Delivery) -> Delivery:
        """Stores a delivery made as a test, without an event; returns it with its id."""
        self.require(actor)
        values = {name: getattr(delivery, name) for name in outbox.RESULT_FIELDS}
        async with self._database.writing() as db:
            hook = _hook(await _get_row(db, delivery.webhook_id))
            id_ = await outbox.enqueue(db, hook.id, delivery.payload, delivery.created_at, **values)
            await audit.write(db, [actor.audit_entry("test", _target(hook), self._now())])
        return replace(delivery, id=id_)

    async def deactivate(self, webhook_id: str) -> None:
        """Deactivates a webhook whose receiver says that it is gone for good."""
        await self.change(SYSTEM, webhook_id, {"is_active": False})

    def _now(self) -> datetime:
        return utc_now(self._clock)


async def _get_row(db: AsyncConnection, webhook_id: str, *, for_update: bool = False) -> RowMapping:
    query = select(webhooks).where(_W.id == webhook_id)
    if for_update:
        query = query.with_for_update()
    row = (await db.execute(query)).mappings().one_or_none()
    if row is None:
        raise NotFoundError(
            f"there is no webhook {webhook_id[:100]!r}; list the webhooks to see their ids"
        )
    return row


def _binding(webhook_id: str) -> str:
    return seal_binding(webhooks, webhook_id, "secret_sealed")


def _target(hook: Webhook) -> tuple[str, str]:
    return "webhook", hook.id


def _facts(hook: Webhook) -> dict[str, Any]:
    return {name: value for name, value in _row(hook).items() if name in _EDITABLE}


def _row(hook: Webhook) -> dict[str, Any]:
    return {name: getattr(hook, name) for name in _NAMES} | {"events": list(hook.events)}


def _hook(row: RowMapping) -> Webhook:
    return Webhook(**{name: row[name] for name in _NAMES} | {"events": tuple(row["events"])})
