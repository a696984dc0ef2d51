"""Implements ConnectionStore in a database."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import fields, replace
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import and_, func, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.clock import Clock, SystemClock, utc_now
from llm_router.connections import rules
from llm_router.connections.access import Actor, AuditEntry
from llm_router.connections.health import assess, deactivate_if_replaceable
from llm_router.connections.record import SECRET_FIELDS, Connection
from llm_router.connections.store import Change, Check, CheckPage, Page, Query, Removal, Step
from llm_router.errors import ConfigurationError, SealError
from llm_router.options import HealthOptions, Quota
from llm_router.store import audit, outbox
from llm_router.store import change_feed as feed
from llm_router.store import check_history as history
from llm_router.store.admission import check_quota, refuse_inherited_ids, refuse_taken
from llm_router.store.crypto import Vault
from llm_router.store.database import Database
from llm_router.store.migrations import migrate
from llm_router.store.sealing import seal_binding
from llm_router.store.search import conditions, ordered, visible_to
from llm_router.store.tables import connections, counters
from llm_router.store.usage import touch

_C = connections.c
_REVISION = select(counters.c.value).where(counters.c.name == "connections")
_COLUMNS = tuple(field.name for field in fields(Connection) if field.name not in SECRET_FIELDS)
_TUPLES = ("tags", "aliases", "header_names")
_READ_AT_ONCE = 500
"""Records that are made of rows without giving way to other work."""
_OWNERSHIP = (
    "id", "owner", "team", "visibility", "use_in_livekit", "is_approved_for_calls", "version",
)  # fmt: skip


@asynccontextmanager
async def open_store(
    url: str, vault: Vault, clock: Clock | None = None
) -> AsyncIterator["SqlConnectionStore"]:
    """Opens a store over the database at `url`, migrates it, and closes it after the block."""
    database = Database(url)
    try:
        await migrate(database)
        yield SqlConnectionStore(database, vault, clock)
    finally:
        await database.aclose()


class SqlConnectionStore:
    """A `ConnectionStore` over a migrated database, which its owner closes.

    Every change begins by locking the revision. So writers wait for each other, in any number of
    processes, and none meets a deadlock or a half-made change.
    """

    def __init__(
        self,
        database: Database,
        vault: Vault,
        clock: Clock | None = None,
        *,
        quota: Quota | None = None,
    ) -> None:
        self.database = database
        self.vault = vault
        self._clock = clock or SystemClock()
        self._quota = quota or Quota()

    async def add(self, actor: Actor, new: Sequence[Connection]) -> tuple[Connection, ...]:
        return await self.apply(actor, new)

    async def get(self, actor: Actor, connection_id: str, *, secrets: bool = False) -> Connection:
        async with self.database.reading() as db:
            row = await _row(db, connection_id)
        connection = rules.require_visible(actor, _connection(row), connection_id)
        if not secrets or row is None:
            return connection
        rules.require(actor, "use", connection)
        return self._opened(row)

    async def find(self, actor: Actor, query: Query, *, secrets: bool = False) -> Page:
        if secrets:
            rules.require(actor, "use")
        matching = and_(visible_to(actor), *conditions(query, self.database.dialect))
        rows = select(connections).where(matching).limit(query.limit).offset(query.offset)
        rows = ordered(rows, query, self.database.dialect)
        async with self.database.reading() as db:
            count = select(func.count()).select_from(connections).where(matching)
            total = (await db.execute(count)).scalar_one()
            found = (await db.execute(rows)).mappings().all()
        if len(found) <= _READ_AT_ONCE:
            return self._page(found, total, secrets=secrets)
        # Thousands of records take seconds to check: other work of this process goes on meanwhile.
        return await asyncio.to_thread(self._page, found, total, secrets=secrets)

    def _page(self, found: Sequence[RowMapping], total: int, *, secrets: bool) -> Page:
        items: list[Connection] = []
        unreadable: dict[str, str] = {}
        for row in found:
            try:
                items.append(self._opened(row) if secrets else connection_from_row(row))
            except (SealError, ConfigurationError) as error:  # one bad row must not hide the rest
                unreadable[row["id"]] = str(error)
        return Page(tuple(items), total, unreadable)

    async def change(
        self,
        actor: Actor,
        connection_id: str,
        changes: Mapping[str, Any],
        *,
        version: int | None = None,
    ) -> Connection:
        step = Change(id=connection_id, changes=changes, version=version)
        (changed,) = await self.apply(actor, [step])
        return changed

    async def remove(self, actor: Actor, connection_id: str, *, version: int | None = None) -> None:
        await self.apply(actor, [Removal(id=connection_id, version=version)])

    async def apply(self, actor: Actor, steps: Sequence[Step]) -> tuple[Connection, ...]:
        if not steps:
            return ()
        now = self._now()
        results: list[Connection] = []
        entries: list[AuditEntry] = []
        async with self._changing() as db:
            for new, group in groupby(steps, lambda step: isinstance(step, Connection)):
                if new:
                    added = [step for step in group if isinstance(step, Connection)]
                    results += await self._add(db, actor, added, entries, now)
                    continue
                for step in group:
                    if isinstance(step, Removal):
                        entries.append(await self._remove(db, actor, step, now))
                    elif isinstance(step, Change):
                        changed, entry = await self._change(db, actor, step, now)
                        results.append(changed)
                        entries += [entry] if entry else []
            await check_quota(db, actor, results, self._quota)
            if entries:
                await _finish(db, entries)
        return tuple(results)

    async def record_check(
        self, actor: Actor, connection_id: str, check: Check, options: HealthOptions
    ) -> Connection:
        check = rules.trim_check(check)
        async with self._changing() as db:
            stored = rules.require_visible(
                actor, _connection(await _row(db, connection_id)), connection_id
            )
            rules.require(actor, "test", stored)
            await history.add_check(db, connection_id, check, options)
            verdict = assess(stored, await history.read_evidence(db, stored, options), options)
            if verdict.is_lasting:
                verdict = deactivate_if_replaceable(stored, verdict, await _active(db))
            if not (changed := rules.apply_verdict(actor, stored, verdict, self._now())):
                return stored
            new, entry = changed
            values = {name: getattr(new, name) for name in rules.VERDICT_FIELDS}
            await db.execute(update(connections).where(_C.id == connection_id).values(values))
            await outbox.enqueue_status_change(db, stored, new, entry.at)
            await _finish(db, [entry])
        return new

    async def checks(
        self, actor: Actor, connection_id: str, *, limit: int = 50, offset: int = 0
    ) -> CheckPage:
        async with self.database.reading() as db:
            rules.require_visible(actor, _connection(await _row(db, connection_id)), connection_id)
            return await history.read_page(db, connection_id, limit, offset)

    async def latest_checks(self, actor: Actor) -> Mapping[str, Check]:
        async with self.database.reading() as db:
            return await history.read_latest(db, visible_to(actor))

    async def touch(self, actor: Actor, used: Mapping[str, datetime]) -> None:
        await touch(self.database, used, visible_to(actor))

    async def audit(
        self, actor: Actor, *, target: str | None = None, limit: int = 100, offset: int = 0
    ) -> tuple[AuditEntry, ...]:
        rules.require(actor, "administer")
        async with self.database.reading() as db:
            return await audit.read(db, target, limit, offset)

    async def revision(self) -> int:
        async with self.database.reading() as db:
            return int((await db.execute(_REVISION)).scalar_one())

    def changes(self) -> AsyncGenerator[int, None]:
        return feed.follow_revisions(self.database, self.revision)

    async def _add(
        self,
        db: AsyncConnection,
        actor: Actor,
        new: Sequence[Connection],
        entries: list[AuditEntry],
        now: datetime,
    ) -> list[Connection]:
        """Adds connections with one statement, however many, and their audit entries to the list.

        So that many of them do not keep other writers waiting.
        """
        admitted = [rules.prepare_new(actor, connection, now) for connection in new]
        await refuse_taken(db, admitted)
        given = {c.id for c in new if c.id}
        await refuse_inherited_ids(db, [c for c in admitted if c.id in given])
        await db.execute(connections.insert(), [self._row(c) for c in admitted])
        entries += (
            rules.audit_entry(actor, "add", c, rules.changed_facts(None, c), now) for c in admitted
        )
        return [c.without_secrets() for c in admitted]

    async def _change(
        self, db: AsyncConnection, actor: Actor, step: Change, now: datetime
    ) -> tuple[Connection, AuditEntry | None]:
        stored = rules.require_visible(actor, _connection(await _row(db, step.id)), step.id)
        new = rules.apply_edit(actor, stored, step.changes, step.version, now, reason=step.reason)
        if new is stored:
            return stored, None
        if (new.owner, new.name) != (stored.owner, stored.name):
            await refuse_taken(db, [new])
        row = self._row(new)
        # The time of last use and secrets that were not given stay unchanged.
        unchanged = {
            "last_used_at",
            *(f"{name}_sealed" for name in SECRET_FIELDS if name not in step.changes),
        }
        values = {name: value for name, value in row.items() if name not in unchanged}
        await db.execute(update(connections).where(_C.id == step.id).values(values))
        await outbox.enqueue_status_change(db, stored, new, now)
        changed = rules.changed_facts(stored, new, step.changes)
        return new.without_secrets(), rules.audit_entry(actor, "edit", new, changed, now)

    async def _remove(
        self, db: AsyncConnection, actor: Actor, step: Removal, now: datetime
    ) -> AuditEntry:
        row = await _row(db, step.id)
        stored = rules.require_visible(actor, _connection_or_stub(row), step.id)
        rules.require(actor, "remove", stored)
        rules.check_version("connection", stored.name, stored.version, step.version)
        await db.execute(connections.delete().where(_C.id == step.id))
        return rules.audit_entry(actor, "remove", stored, rules.changed_facts(stored, None), now)

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[AsyncConnection]:
        async with self.database.writing() as db:
            if self.database.dialect == "postgresql":  # SQLite has one writer in any case
                await db.execute(_REVISION.with_for_update())
            yield db

    def _now(self) -> datetime:
        return utc_now(self._clock)

    def _row(self, connection: Connection) -> dict[str, Any]:
        shown = connection.without_secrets()
        row = {name: getattr(shown, name) for name in _COLUMNS}
        row |= {name: list(row[name]) for name in _TUPLES}
        row["extra_body"] = dict(row["extra_body"])
        headers = json.dumps(dict(connection.headers)) if connection.headers else None
        row["api_key_sealed"] = self._sealed(connection.id, "api_key", connection.api_key)
        row["headers_sealed"] = self._sealed(connection.id, "headers", headers)
        row["search"] = rules.search_text(shown)
        return row

    def _sealed(self, connection_id: str, field: str, text: str | None) -> str | None:
        if text is None:
            return None
        return self.vault.seal(text, bound_to=seal_binding(connections, connection_id, field))

    def _opened(self, row: RowMapping) -> Connection:
        """Makes a record with its secrets. Raises SealError, and ConfigurationError as below."""
        texts = {
            name: self.vault.open(sealed, bound_to=seal_binding(connections, row["id"], name))
            for name in SECRET_FIELDS
            if (sealed := row[f"{name}_sealed"]) is not None
        }
        headers = json.loads(texts.get("headers", "{}"))
        return connection_from_row(row, api_key=texts.get("api_key"), headers=headers)


def connection_from_row(row: RowMapping, **secrets: Any) -> Connection:
    """Makes a record, with these secrets alone. Raises ConfigurationError for a row edited by
    hand.
    """
    values = {name: row[name] for name in _COLUMNS}
    return Connection(**values | {name: tuple(values[name]) for name in _TUPLES}, **secrets)


def _connection(row: RowMapping | None) -> Connection | None:
    return None if row is None else connection_from_row(row)


def _connection_or_stub(row: RowMapping | None) -> Connection | None:
    """Returns the record, or one of its owner alone if it is invalid, so that it can be removed."""
    try:
        return _connection(row)
    except ConfigurationError:
        stub = Connection(name="unreadable")
        owned = {name: row[name] for name in _OWNERSHIP} if row else {}
        return replace(stub, **owned)


async def _row(db: AsyncConnection, connection_id: str) -> RowMapping | None:
    query = select(connections).where(_C.id == connection_id)
    return (await db.execute(query)).mappings().one_or_none()


async def _active(db: AsyncConnection) -> list[Connection]:
    rows = (await db.execute(select(connections).where(_C.is_active))).mappings()
    active = []
    for row in rows:
        with suppress(ConfigurationError):  # a row edited by hand replaces no other
            active.append(connection_from_row(row))
    return active


async def _finish(db: AsyncConnection, entries: list[AuditEntry]) -> None:
    """Ends a change: writes its audit entries, and increases and announces the revision."""
    await audit.write(db, entries)
    increase = update(counters).where(counters.c.name == "connections")
    increase = increase.values(value=counters.c.value + 1)
    revision = await db.execute(increase.returning(counters.c.value))
    await feed.notify(db, revision.scalar_one())
