"""Stores API keys and sign-ins, and authenticates requests by them."""

import logging
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.clock import Clock, SystemClock
from llm_router.connections.access import SYSTEM, Actor, AuditEntry, Role, may_act
from llm_router.errors import ConfigurationError, ForbiddenError, NotFoundError, StoreError
from llm_router.store import audit
from llm_router.store.database import Database
from llm_router.store.key_format import NewKey, digest, key_id, make_key, matches
from llm_router.store.tables import api_keys, counters, sign_ins

_MOST_SIGN_INS = 100
"""Sign-ins of one key at a time."""
_logger = logging.getLogger("llm_router")

SIGN_IN_LIFETIME = timedelta(hours=12)
_LAST_USED_PRECISION = timedelta(minutes=1)
"""Precision of `last_used_at`: a write for each request would cost too much."""
_K = api_keys.c


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
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
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    def actor(self, origin: str) -> Actor:
        return Actor(
            self.name,
            self.role,
            owner=self.owner,
            team=self.team,
            origin=origin,
            may_serve_calls=self.may_serve_calls,
        )


class ApiKeys:
    """The API keys of the gateway, and the sign-ins made with them. Every change is audited.

    Raises ForbiddenError for an actor who may not administer, and StoreError for a database fault.
    """

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock or SystemClock()

    async def add(
        self,
        actor: Actor,
        name: str,
        role: Role,
        *,
        owner: str = "",
        team: str = "",
        expires_at: datetime | None = None,
        may_serve_calls: bool = False,
    ) -> tuple[ApiKey, str]:
        """Adds a key; returns its record and its text, which can never be read again.

        `may_serve_calls`: its connections answer live callers without an admin's approval.
        Raises ConfigurationError if `expires_at` has passed.
        """
        _require_administrator(actor)
        now = self._now()
        if expires_at is not None and expires_at <= now:
            raise ConfigurationError(f"API key {name!r}: expires_at has passed; give a later time")
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
            expires_at=expires_at,
        )
        async with self._database.writing() as db:
            await _add(db, actor, key, made)
        return key, made.text

    async def find(
        self, actor: Actor, *, limit: int = 50, offset: int = 0
    ) -> tuple[tuple[ApiKey, ...], int]:
        """Lists keys, newest first, revoked ones included, and the number of all keys."""
        _require_administrator(actor)
        query = select(api_keys).order_by(_K.created_at.desc(), _K.id)
        async with self._database.reading() as db:
            total = (await db.execute(select(func.count()).select_from(api_keys))).scalar_one()
            rows = (await db.execute(query.limit(limit).offset(offset))).mappings().all()
        return tuple(_key(row) for row in rows), total

    async def revoke(self, actor: Actor, id_: str) -> None:
        """Revokes a key and ends all sign-ins made with it. Raises NotFoundError."""
        _require_administrator(actor)
        now = self._now()
        revoked = update(api_keys).where(_K.id == id_, _K.revoked_at.is_(None))
        async with self._database.writing() as db:
            if (await db.execute(revoked.values(revoked_at=now))).rowcount == 0:
                raise NotFoundError(f"there is no API key {id_[:100]!r} that could be revoked")
            await db.execute(sign_ins.delete().where(sign_ins.c.api_key_id == id_))
            await audit.write(db, [actor.audit_entry("revoke", ("api_key", id_), now)])

    async def authenticate(self, text: str) -> ApiKey | None:
        """Returns the record of a key, or None if it is unknown, revoked or expired."""
        if (name := key_id(text)) is None:
            return None
        row = await self._find_valid(select(api_keys).where(_K.id == name))
        return _key(row) if row and matches(text, row["hash"]) else None

    async def sign_in(self, key: ApiKey, origin: str) -> tuple[str, datetime]:
        """Starts a sign-in; returns its cookie and the time at which it expires."""
        now = self._now()
        cookie = secrets.token_urlsafe(32)
        until = min(filter(None, (now + SIGN_IN_LIFETIME, key.expires_at)))
        row = {
            "hash": digest(cookie), "api_key_id": key.id, "created_at": now, "expires_at": until,
        }  # fmt: skip
        async with self._database.writing() as db:
            await db.execute(sign_ins.delete().where(sign_ins.c.expires_at <= now))
            await db.execute(sign_ins.insert(), row)
            await _end_oldest(db, key.id)
            await audit.write(
                db, [key.actor(origin).audit_entry("sign in", ("api_key", key.id), now)]
            )
        return cookie, until

    async def authenticate_sign_in(self, cookie: str) -> ApiKey | None:
        """Returns the key of a sign-in, or None if it is unknown or expired, or its key revoked."""
        query = select(api_keys).join(sign_ins, sign_ins.c.api_key_id == _K.id)
        query = query.where(sign_ins.c.hash == digest(cookie), sign_ins.c.expires_at > self._now())
        row = await self._find_valid(query)
        return None if row is None else _key(row)

    async def sign_out(self, cookie: str, actor: Actor) -> None:
        this = sign_ins.c.hash == digest(cookie)
        async with self._database.writing() as db:
            key = (await db.execute(select(sign_ins.c.api_key_id).where(this))).scalar()
            if key is not None:
                await db.execute(sign_ins.delete().where(this))
                await audit.write(
                    db, [actor.audit_entry("sign out", ("api_key", key), self._now())]
                )

    async def add_first(self, save: Callable[[str], None]) -> bool:
        """Adds an admin key if no valid one exists; returns whether one was added.

        `save` puts the key where a person finds it; the key is committed after that. Processes that
        start at the same time add only one key.
        """
        now = self._now()
        made = make_key()
        admins = select(_K.id).where(_K.role == "admin", _is_valid(now))
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

    async def _find_valid(self, query: Select[tuple[object, ...]]) -> RowMapping | None:
        now = self._now()
        async with self._database.reading() as db:
            row = (await db.execute(query.where(_is_valid(now)))).mappings().one_or_none()
        if row and (
            row["last_used_at"] is None or row["last_used_at"] < now - _LAST_USED_PRECISION
        ):
            used = update(api_keys).where(_K.id == row["id"]).values(last_used_at=now)
            try:
                async with self._database.writing() as db:
                    await db.execute(used)
            except StoreError:  # a database that can be read is enough to know the key
                _logger.debug("the use of an API key is not noted", exc_info=True)
        return row

    @asynccontextmanager
    async def _exclusive(self) -> AsyncIterator[AsyncConnection]:
        async with self._database.writing() as db:
            if self._database.dialect == "postgresql":  # SQLite has one writer in any case
                await db.execute(select(counters).with_for_update())
            yield db

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall(), UTC)


async def _end_oldest(db: AsyncConnection, key_id: str) -> None:
    """Ends the oldest sign-ins of a key beyond the most that it may have."""
    c = sign_ins.c
    newest = select(c.hash).where(c.api_key_id == key_id).order_by(c.created_at.desc(), c.hash)
    await db.execute(sign_ins.delete().where(c.hash.in_(newest.offset(_MOST_SIGN_INS))))


async def _add(db: AsyncConnection, actor: Actor, key: ApiKey, made: NewKey) -> None:
    row = {field.name: getattr(key, field.name) for field in fields(ApiKey)}
    await db.execute(api_keys.insert(), row | {"hash": made.digest})
    facts = {name: row[name] for name in ("name", "role", "owner", "team", "may_serve_calls")}
    await audit.write(
        db, [actor.audit_entry("add", ("api_key", key.id), key.created_at, after=facts)]
    )


def _key(row: RowMapping) -> ApiKey:
    return ApiKey(**{field.name: row[field.name] for field in fields(ApiKey)})


def _is_valid(now: datetime) -> ColumnElement[bool]:
    return and_(_K.revoked_at.is_(None), or_(_K.expires_at.is_(None), _K.expires_at > now))


def _require_administrator(actor: Actor) -> None:
    if not may_act(actor, "administer"):
        raise ForbiddenError(
            f"{actor.name} may not administer API keys: its role is {actor.role}; ask an admin"
        )
