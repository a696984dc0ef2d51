"""Stores sites, whose visitors may talk to an assistant, with the public key of each."""

import asyncio
import logging
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.clock import Clock, SystemClock, utc_now
from llm_router.connections import rules
from llm_router.connections.access import Actor
from llm_router.errors import ConfigurationError, NotFoundError, QuotaError, TakenError
from llm_router.store import audit
from llm_router.store.database import Database
from llm_router.store.dialects import insert
from llm_router.store.key_usage import cost_today
from llm_router.store.site_tables import sites
from llm_router.voice.site import KEY_PREFIX, SiteRecord, account_of, changed, parse_site

MOST = 1_000
"""Sites that may be stored."""
MOST_VERSIONS = 500
"""Changes of a site, the latest, among which its versions are found."""
_S = sites.c
_WHAT = "sites"
_logger = logging.getLogger("llm_router")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSite:
    """A site as it is stored. `key` is the public one that its pages send."""

    record: SiteRecord
    key: str
    version: int
    created_at: datetime
    updated_at: datetime
    spent_today: float = 0.0
    """Cost of its calls since midnight (UTC), up to the last second."""


@dataclass(frozen=True, slots=True)
class FoundSites:
    """Sites, and the number of all. `unreadable`: by the names of those left out, why."""

    items: tuple[StoredSite, ...]
    total: int
    unreadable: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteVersion:
    """A site as it was from one change to the next. `at`: when the earlier was made."""

    record: SiteRecord
    version: int
    author: str
    at: datetime


class Sites:
    """The sites in a migrated database. Only admins may read or change them; changes are audited.

    Raises ForbiddenError, NotFoundError, TakenError, StaleError, QuotaError, ConfigurationError for
    an invalid record, and StoreError.
    """

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock or SystemClock()
        self._unreadable: dict[str, str] = {}
        """By the names of sites that `all` has left out: why."""

    async def find(self, actor: Actor, *, limit: int | None = 50, offset: int = 0) -> FoundSites:
        """Lists the sites by name; one that this version cannot read is left out."""
        rules.require_administrator(actor, _WHAT)
        query = self._query().order_by(_S.name).limit(limit).offset(offset)
        async with self._database.reading() as db:
            total = (await db.execute(select(func.count()).select_from(sites))).scalar_one()
            rows = (await db.execute(query)).mappings().all()
        found, unreadable = _readable(rows)
        return FoundSites(found, total, unreadable)

    async def get(self, actor: Actor, name: str) -> StoredSite:
        """Returns a site."""
        rules.require_administrator(actor, _WHAT)
        async with self._database.reading() as db:
            return _stored(await self._row(db, name))

    async def all(self) -> tuple[StoredSite, ...]:
        """Returns all sites, active or not, for the pages of their visitors.

        One that this version cannot read is left out, and logged: it must not close the others.
        """
        async with self._database.reading() as db:
            rows = (await db.execute(self._query())).mappings().all()
        # In a thread: a thousand records would hold up the calls of this process.
        found, unreadable = await asyncio.to_thread(_readable, rows)
        for name, reason in unreadable.items():
            if self._unreadable.get(name) != reason:  # they are read every few seconds
                _logger.error("its visitors are refused: %s", reason)
        self._unreadable = unreadable
        return found

    async def add(self, actor: Actor, record: SiteRecord) -> StoredSite:
        """Adds a site with a new key."""
        rules.require_administrator(actor, _WHAT)
        now = utc_now(self._clock)
        row = {
            "name": record.name, "key": _new_key(), "record": _plain(record), "version": 1,
            "created_at": now, "updated_at": now,
        }  # fmt: skip
        async with self._database.writing() as db:
            added = insert(sites, self._database.dialect).values(row)
            taken = added.on_conflict_do_nothing(index_elements=["name"]).returning(_S.name)
            if (await db.execute(taken)).first() is None:
                raise TakenError(
                    f"there is a site {record.name!r} already; choose another name", "name"
                )
            count = select(func.count()).select_from(sites)
            if (await db.execute(count)).scalar_one() > MOST:
                raise QuotaError(f"{MOST:,} sites are stored already; remove some first")
            await self._audit(db, actor, "add", record.name, after=row["record"])
            return _stored(await self._row(db, record.name))

    async def change(
        self, actor: Actor, name: str, changes: Mapping[str, Any], *, version: int | None = None
    ) -> StoredSite:
        """Sets the fields named in `changes`; None: back to the default.

        Raises StaleError if `version` is given and no longer the present one.
        """
        rules.require_administrator(actor, _WHAT)
        async with self._database.writing() as db:
            stored = _stored(await self._row(db, name, for_update=True))
            rules.check_version("site", name, stored.version, version)
            record = changed(stored.record, changes)
            if record == stored.record:
                return stored
            before, after = _plain(stored.record), _plain(record)
            await self._set(db, stored, record=after)
            await self._audit(db, actor, "edit", name, before=before, after=after)
            return _stored(await self._row(db, name))

    async def versions(self, actor: Actor, name: str) -> tuple[SiteVersion, ...]:
        """Returns the versions of a site, the latest first.

        They are those of the audit log, which has each change whole. A new key is none: it cannot
        be taken back.
        """
        rules.require_administrator(actor, _WHAT)
        async with self._database.reading() as db:
            return await self._versions(db, _stored(await self._row(db, name)))

    async def rollback(
        self, actor: Actor, name: str, to: int, *, version: int | None = None
    ) -> StoredSite:
        """Makes a new version with the content of version `to`.

        Its key stays, and so does whether it is active. Raises as `change` does.
        """
        rules.require_administrator(actor, _WHAT)
        async with self._database.reading() as db:
            stored = _stored(await self._row(db, name))
            found = [one for one in await self._versions(db, stored) if one.version == to]
        if not found:
            raise NotFoundError(f"site {name!r} has no version {to}")
        unset = dict.fromkeys(SiteRecord.model_fields)
        content = {**unset, **_plain(found[0].record)}
        del content["is_active"]
        # What `to` means holds for the version that was read alone.
        return await self.change(actor, name, content, version=version or stored.version)

    async def rotate_key(self, actor: Actor, name: str) -> StoredSite:
        """Gives a site a new key. Pages with the old one are refused from now on."""
        rules.require_administrator(actor, _WHAT)
        async with self._database.writing() as db:
            stored = _stored(await self._row(db, name, for_update=True))
            await self._set(db, stored, key=_new_key())
            await self._audit(db, actor, "rotate", name)
            return _stored(await self._row(db, name))

    async def remove(self, actor: Actor, name: str, *, version: int | None = None) -> None:
        """Removes a site, also one that this version cannot read.

        Its key is refused from now on; calls that go on are not ended.
        """
        rules.require_administrator(actor, _WHAT)
        async with self._database.writing() as db:
            row = await self._row(db, name, for_update=True)
            rules.check_version("site", name, row["version"], version)
            await db.execute(delete(sites).where(_S.name == name))
            await self._audit(db, actor, "remove", name, before=row["record"])

    async def _versions(self, db: AsyncConnection, stored: StoredSite) -> tuple[SiteVersion, ...]:
        name = stored.record.name
        versions = []
        for number, entry in enumerate(await audit.read(db, name, MOST_VERSIONS, kind="site")):
            with suppress(ConfigurationError):  # a rule of today may refuse a record of then
                if entry.after:
                    record, version = parse_site(entry.after), stored.version - number
                    versions.append(
                        SiteVersion(record=record, version=version, author=entry.actor, at=entry.at)
                    )
            if entry.action == "add":
                break  # an earlier site of that name was removed
        return tuple(versions)

    async def _set(self, db: AsyncConnection, stored: StoredSite, **values: Any) -> None:
        values |= {"version": stored.version + 1, "updated_at": utc_now(self._clock)}
        await db.execute(update(sites).where(_S.name == stored.record.name).values(values))

    async def _audit(
        self, db: AsyncConnection, actor: Actor, action: str, name: str, **facts: Any
    ) -> None:
        entry = actor.audit_entry(action, ("site", name), utc_now(self._clock), **facts)
        await audit.write(db, [entry])

    def _query(self) -> Select[Any]:
        today = cost_today(account_of("") + _S.name, self._clock.wall())
        return select(sites, today.label("spent_today"))

    async def _row(self, db: AsyncConnection, name: str, *, for_update: bool = False) -> RowMapping:
        if for_update:
            await db.execute(select(_S.name).where(_S.name == name).with_for_update())
        query = self._query().where(_S.name == name)
        row: RowMapping | None = (await db.execute(query)).mappings().one_or_none()
        if row is None:
            raise NotFoundError(
                f"there is no site {name[:64]!r}; list the sites to see their names"
            )
        return row


def _new_key() -> str:
    return KEY_PREFIX + secrets.token_urlsafe(15)


def _plain(record: SiteRecord) -> dict[str, Any]:
    plain = record.model_dump(mode="json", exclude_defaults=True)
    return {**plain, "modes": sorted(record.modes)}


def _stored(row: RowMapping) -> StoredSite:
    return StoredSite(
        record=parse_site(row["record"]),
        key=row["key"],
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        spent_today=row["spent_today"] or 0.0,
    )


def _readable(rows: Sequence[RowMapping]) -> tuple[tuple[StoredSite, ...], dict[str, str]]:
    """Returns the sites that can be read, and by the names of the others why they cannot."""
    found, unreadable = [], {}
    for row in rows:
        try:
            found.append(_stored(row))
        except ConfigurationError as error:
            unreadable[row["name"]] = str(error)
    return tuple(found), unreadable
