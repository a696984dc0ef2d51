"""Stores API keys, and authenticates requests by them."""

import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.clock import Clock, SystemClock, utc_now
from llm_router.connections.access import (
    SYSTEM,
    Actor,
    AuditEntry,
    KeyIntegration,
    Role,
    RouteGroup,
)
from llm_router.connections.rules import require_administrator
from llm_router.errors import ConfigurationError, ExpiredError, NotFoundError, StoreError
from llm_router.store import audit
from llm_router.store.database import Database
from llm_router.store.key_format import NewKey, key_id, make_key, matches
from llm_router.store.key_usage import NO_USE, KeyUse, keys_with_use, use_of
from llm_router.store.tables import api_keys, counters, sign_ins

_logger = logging.getLogger("llm_router")

_LAST_USED_PRECISION = timedelta(minutes=1)
"""Precision of `last_used_at`: a write for each request would cost too much."""
_K = api_keys.c
_LISTS = ("routes", "pools")
KeyState = Literal["valid", "expired", "revoked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLimits:
    """Limits of an API key, within what its role allows. None: no limit of that kind."""

    routes: tuple[RouteGroup, ...] | None = None
    """Groups of routes that it may ask."""
    pools: tuple[str, ...] | None = None
    """Pools whose connections it may see and use."""
    integration: KeyIntegration = "automation"
    """Integration for which a connection must be flagged to answer its requests for replies."""
    rate_limit_rpm: int | None = None
    """Requests a minute, of any kind."""
    rate_limit_tpm: int | None = None
    """Tokens a minute, counted when an attempt has ended."""
    monthly_budget: float | None = None
    """Cost a calendar month (UTC), in the currency of the connections' prices."""
    monthly_tokens: int | None = None
    """Tokens a calendar month (UTC)."""
    expires_at: datetime | None = None
    """Time from which it is refused."""

    @property
    def is_limited(self) -> bool:
        """Whether there is any limit that its holder could lift with a key of its own making."""
        return any(getattr(self, name) is not None for name in LIFTABLE)


LIFTABLE = (
    "routes", "pools", "rate_limit_rpm", "rate_limit_tpm", "monthly_budget", "monthly_tokens",
)  # fmt: skip
"""Limits that keep the key of an admin from administering."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey(KeyLimits):
    """A stored key, without its secret. `created_by` is the name of the actor who made it."""

    id: str
    name: str
    last4: str
    role: Role
    owner: str = ""
    team: str = ""
    may_serve_calls: bool = False
    created_by: str
    created_at: datetime
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None
    used_this_minute: KeyUse = NO_USE
    used_this_month: KeyUse = NO_USE

    def actor(self, origin: str) -> Actor:
        return Actor(
            self.name,
            self.role,
            owner=self.owner,
            team=self.team,
            origin=origin,
            may_serve_calls=self.may_serve_calls,
            key_id=self.id,
            pools=None if self.pools is None else frozenset(self.pools),
            integration=self.integration,
            is_limited=self.is_limited,
        )

    def state(self, now: datetime) -> KeyState:
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "valid"


_COLUMNS = tuple(field.name for field in fields(ApiKey) if field.name in _K)


class ApiKeys:
    """The API keys of the gateway. Every change is audited.

    Raises ForbiddenError for an actor who may not administer, and StoreError for a database fault.
    """

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock or SystemClock()
        self.changes = 0
        """Counts the keys that this object has revoked or limited."""

    async def add(
        self,
        actor: Actor,
        name: str,
        role: Role,
        *,
        owner: str = "",
        team: str = "",
        may_serve_calls: bool = False,
        limits: KeyLimits | None = None,
    ) -> tuple[ApiKey, str]:
        """Adds a key; returns its record and its text, which can never be read again.

        `may_serve_calls`: its connections answer live callers without an admin's approval.
        Raises ConfigurationError if it would have expired already.
        """
        require_administrator(actor, "API keys")
        now = self._now()
        limits = limits or KeyLimits()
        _require_future(name, limits.expires_at, now)
        made = make_key()
        key = ApiKey(
            id=made.id,
            name=name,
            last4=made.last_four,
            role=role,
            owner=owner,
            team=team,
            may_serve_calls=may_serve_calls,
            created_by=actor.name,
            created_at=now,
            **_limits_of(limits),
        )
        async with self._database.writing() as db:
            await _add(db, actor, key, made)
        return key, made.text

    async def find(
        self, actor: Actor, *, limit: int = 50, offset: int = 0
    ) -> tuple[tuple[ApiKey, ...], int]:
        """Lists keys, newest first, revoked ones included, and the number of all keys."""
        require_administrator(actor, "API keys")
        query = keys_with_use(self._clock.wall()).order_by(_K.created_at.desc(), _K.id)
        async with self._database.reading() as db:
            total = (await db.execute(select(func.count()).select_from(api_keys))).scalar_one()
            rows = (await db.execute(query.limit(limit).offset(offset))).mappings().all()
        return tuple(_key(row) for row in rows), total

    async def change(self, actor: Actor, id_: str, changes: Mapping[str, Any]) -> ApiKey:
        """Changes limits of a key, from its next request on; `changes`: fields of `KeyLimits`.

        Raises NotFoundError for a key that is unknown or revoked, and ConfigurationError for an
        `expires_at` that has passed.
        """
        require_administrator(actor, "API keys")
        now = self._now()
        async with self._database.writing() as db:
            query = self._unrevoked(id_).with_for_update(of=api_keys)
            row = (await db.execute(query)).mappings().one_or_none()
            if row is None:
                raise NotFoundError(
                    f"there is no API key {id_[:100]!r} that could be changed; list the API keys"
                    " to see their ids"
                )
            before = _key(row)
            after = replace(before, **changes)
            if after == before:
                return before
            if after.expires_at != before.expires_at:
                _require_future(after.name, after.expires_at, now)
            old, new = (_stored(_limits_of(key)) for key in (before, after))
            differ = [name for name in new if new[name] != old[name]]
            await db.execute(update(api_keys).where(_K.id == id_).values(new))
            entry = actor.audit_entry(
                "edit", ("api_key", id_), now,
                before=_shown({name: old[name] for name in differ}),
                after=_shown({name: new[name] for name in differ}),
            )  # fmt: skip
            await audit.write(db, [entry])
        self.changes += 1
        return after

    async def revoke(self, actor: Actor, id_: str) -> None:
        """Revokes a key and ends all sign-ins made with it. Raises NotFoundError."""
        require_administrator(actor, "API keys")
        now = self._now()
        revoked = update(api_keys).where(_K.id == id_, _K.revoked_at.is_(None))
        async with self._database.writing() as db:
            if (await db.execute(revoked.values(revoked_at=now))).rowcount == 0:
                raise NotFoundError(
                    f"there is no API key {id_[:100]!r} that could be revoked; list the API keys"
                    " to see their ids"
                )
            await db.execute(sign_ins.delete().where(sign_ins.c.api_key_id == id_))
            await audit.write(db, [actor.audit_entry("revoke", ("api_key", id_), now)])
        self.changes += 1

    async def authenticate(self, text: str) -> ApiKey | None:
        """Returns the record of a key, or None if it is unknown or revoked.

        Raises ExpiredError.
        """
        if (id_ := key_id(text)) is None:
            return None
        row = await self._find(id_)
        return await self._in_use(row) if row and matches(text, row["hash"]) else None

    async def get_valid(self, id_: str) -> ApiKey | None:
        """Returns the key of this id, for one who has proven to have it; as `authenticate`."""
        row = await self._find(id_)
        return await self._in_use(row) if row else None

    async def get_all_valid(self, ids: Collection[str]) -> Mapping[str, ApiKey]:
        """Returns the keys of these ids that are valid, by id, for those who have proven to have
        them.
        """
        query = keys_with_use(self._clock.wall()).where(_K.id.in_(ids), _K.revoked_at.is_(None))
        async with self._database.reading() as db:
            found = [_key(row) for row in (await db.execute(query)).mappings()]
        return {key.id: key for key in found if key.state(self._now()) == "valid"}

    async def note_use(self, keys: Collection[ApiKey]) -> None:
        """Stores that these keys are in use, if that was not done a while ago. Raises nothing."""
        now = self._now()
        due = [
            key.id
            for key in keys
            if key.last_used_at is None or key.last_used_at < now - _LAST_USED_PRECISION
        ]
        if not due:
            return
        used = update(api_keys).where(_K.id.in_(due)).values(last_used_at=now)
        try:
            async with self._database.writing() as db:
                await db.execute(used)
        except StoreError:  # a database that can be read is enough to know the keys
            _logger.debug("the use of API keys is not noted", exc_info=True)

    async def _in_use(self, row: RowMapping) -> ApiKey:
        key = _key(row)
        if key.state(self._now()) == "expired":
            raise ExpiredError(
                f"The API key {key.name!r} ({key.id}) expired at {key.expires_at:%Y-%m-%d %H:%M}"
                " UTC; ask an admin for another."
            )
        await self.note_use([key])
        return key

    async def add_first(self, save: Callable[[str], None]) -> bool:
        """Adds an admin key if no valid one without limits exists; returns whether one was added.

        `save` puts the key where a person finds it; the key is committed after that. Processes that
        start at the same time add only one key.
        """
        now = self._now()
        made = make_key()
        unlimited = [_K[name].is_(None) for name in LIFTABLE]
        admins = select(_K.id).where(_K.role == "admin", _is_valid(now), *unlimited)
        async with self._exclusive() as db:
            if (await db.execute(admins.limit(1))).first():
                return False
            key = ApiKey(
                id=made.id,
                name="first admin",
                last4=made.last_four,
                role="admin",
                created_by=SYSTEM.name,
                created_at=now,
            )
            await _add(db, SYSTEM, key, made)
            save(made.text)
        return True

    async def note(self, entry: AuditEntry) -> None:
        """Writes an entry about an action that changes nothing stored, such as a use of a key."""
        async with self._database.writing() as db:
            await audit.write(db, [entry])

    async def _find(self, id_: str) -> RowMapping | None:
        async with self._database.reading() as db:
            return (await db.execute(self._unrevoked(id_))).mappings().one_or_none()

    def _unrevoked(self, id_: str) -> Select[tuple[object, ...]]:
        query = keys_with_use(self._clock.wall())
        return query.where(_K.id == id_, _K.revoked_at.is_(None))

    @asynccontextmanager
    async def _exclusive(self) -> AsyncIterator[AsyncConnection]:
        async with self._database.writing() as db:
            if self._database.dialect == "postgresql":  # SQLite has one writer in any case
                await db.execute(select(counters).with_for_update())
            yield db

    def _now(self) -> datetime:
        return utc_now(self._clock)


async def _add(db: AsyncConnection, actor: Actor, key: ApiKey, made: NewKey) -> None:
    row = _stored({name: getattr(key, name) for name in _COLUMNS})
    await db.execute(api_keys.insert(), row | {"hash": made.digest})
    facts = {name: row[name] for name in ("name", "role", "owner", "team", "may_serve_calls")}
    facts |= _shown({name: value for name, value in _stored(_limits_of(key)).items() if value})
    await audit.write(
        db, [actor.audit_entry("add", ("api_key", key.id), key.created_at, after=facts)]
    )


def _key(row: RowMapping) -> ApiKey:
    known: dict[str, Any] = {name: row[name] for name in _COLUMNS}
    for name in _LISTS:
        known[name] = None if known[name] is None else tuple(known[name])
    return ApiKey(
        **known, used_this_minute=use_of(row, "minute"), used_this_month=use_of(row, "month")
    )


def _stored(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values as their columns have them."""
    return {name: list(value) if name in _LISTS and value else value
            for name, value in values.items()}  # fmt: skip


def _shown(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values as the audit log has them, in JSON."""
    return {name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in values.items()}  # fmt: skip


def _limits_of(limits: KeyLimits) -> dict[str, Any]:
    return {field.name: getattr(limits, field.name) for field in fields(KeyLimits)}


def _require_future(name: str, expires_at: datetime | None, now: datetime) -> None:
    if expires_at is not None and expires_at <= now:
        raise ConfigurationError(f"API key {name!r}: expires_at has passed; give a later time")


def _is_valid(now: datetime) -> ColumnElement[bool]:
    return and_(_K.revoked_at.is_(None), or_(_K.expires_at.is_(None), _K.expires_at > now))
