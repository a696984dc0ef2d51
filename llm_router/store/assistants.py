"""Stores assistants with every version of them, in a database."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    delete,
    false,
    func,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.clock import Clock, SystemClock, utc_now
from llm_router.connections.access import Actor
from llm_router.connections.rules import check_version
from llm_router.errors import (
    ConfigurationError,
    NotFoundError,
    QuotaError,
    SealError,
    TakenError,
)
from llm_router.store import audit
from llm_router.store.assistant_tables import assistant_versions, assistants
from llm_router.store.crypto import Vault
from llm_router.store.database import Database
from llm_router.store.dialects import insert
from llm_router.store.sealing import seal_binding
from llm_router.voice import rules
from llm_router.voice.assistant import AssistantRecord, parse_assistant
from llm_router.voice.assistant_secrets import join_secrets, plain, split_secrets
from llm_router.voice.rules import Ownership

MOST = 1_000
"""Assistants that may be stored."""
MOST_VERSIONS = 500
"""Versions of each that stay; older ones are removed."""
_A, _V = assistants.c, assistant_versions.c


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAssistant:
    """One version of an assistant; without its secrets, which masks replace, unless asked for."""

    record: AssistantRecord
    version: int
    author: str
    at: datetime
    """Time at which this version was made."""
    restored: int | None = None
    """The older version whose content it has again; None: it is an edit."""
    ownership: Ownership = field(default_factory=Ownership)
    """Its owner by now, which versions share."""


@dataclass(frozen=True, slots=True)
class Opened:
    """Assistants with their secrets by name, and the reason for each that cannot be opened."""

    records: Mapping[str, AssistantRecord]
    unreadable: Mapping[str, str]


class Assistants:
    """The assistants in a migrated database. Every change makes a version, and is audited.

    Raises ForbiddenError, NotFoundError, TakenError, StaleError, QuotaError, ConfigurationError for
    an invalid record, StoreError, and SealError for secrets that cannot be opened.
    """

    def __init__(
        self,
        database: Database,
        vault: Vault,
        clock: Clock | None = None,
        *,
        most_versions: int = MOST_VERSIONS,
    ) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock or SystemClock()
        self._most_versions = most_versions

    async def find(
        self, actor: Actor, *, limit: int | None = 50, offset: int = 0
    ) -> tuple[tuple[StoredAssistant, ...], int]:
        """Lists the assistants by name, and the number of all."""
        rules.require_reader(actor)
        visible = _visible_to(actor)
        query = _current().where(visible).order_by(_A.name).limit(limit).offset(offset)
        count = select(func.count()).select_from(assistants).where(visible)
        async with self._database.reading() as db:
            total = (await db.execute(count)).scalar_one()
            rows = (await db.execute(query)).mappings().all()
        return tuple(_shown(row) for row in rows), total

    async def get(self, actor: Actor, name: str, version: int | None = None) -> StoredAssistant:
        """Returns an assistant as it is, or as it was in that version."""
        rules.require_reader(actor)
        async with self._database.reading() as db:
            return _shown(await _row(db, actor, name, version))

    async def names(self) -> frozenset[str]:
        """Returns the names of all, which no other assistant can have."""
        async with self._database.reading() as db:
            return frozenset((await db.execute(select(_A.name))).scalars())

    async def open(self, actor: Actor, names: Collection[str] | None = None) -> Opened:
        """Returns the assistants of these names with their secrets; None: all of them."""
        rules.require_reader(actor)
        query = _current().where(_visible_to(actor))
        if names is not None:
            query = query.where(_A.name.in_(names))
        async with self._database.reading() as db:
            rows = (await db.execute(query)).mappings().all()
        found: dict[str, AssistantRecord] = {}
        unreadable: dict[str, str] = {}
        for row in rows:
            try:
                found[row["name"]] = self._opened(row).record
            except (SealError, ConfigurationError) as error:  # one bad row must not hide the rest
                unreadable[row["name"]] = str(error)
        return Opened(found, unreadable)

    async def versions(
        self, actor: Actor, name: str, *, limit: int = 50, offset: int = 0
    ) -> tuple[tuple[StoredAssistant, ...], int]:
        """Lists the versions of an assistant, the latest first, and the number of all."""
        rules.require_reader(actor)
        own = _V.name == name
        query = _versions().where(own).order_by(_V.version.desc())
        async with self._database.reading() as db:
            await _row(db, actor, name)
            count = select(func.count()).select_from(assistant_versions).where(own)
            total = (await db.execute(count)).scalar_one()
            rows = (await db.execute(query.limit(limit).offset(offset))).mappings().all()
        return tuple(_shown(row) for row in rows), total

    async def differences(
        self, actor: Actor, name: str, before: int | None = None, after: int | None = None
    ) -> dict[str, tuple[Any, Any]]:
        """Returns the fields in which two versions differ.

        `after` None: the present one; `before` None: the one before that.
        """
        rules.require_reader(actor)
        async with self._database.reading() as db:
            new = await _row(db, actor, name, after)
            old = await _row(db, actor, name, before or max(new["version"] - 1, 1))
        return rules.differences(self._opened(old).record, self._opened(new).record)

    async def add(
        self, actor: Actor, record: AssistantRecord, ownership: Ownership | None = None
    ) -> StoredAssistant:
        """Adds an assistant as version 1; None: it is the actor's own."""
        rules.require_editor(actor)
        record = rules.without_masks(record)
        own = rules.own_new(actor, ownership or Ownership())
        async with self._database.writing() as db:
            values = {"name": record.name, "version": 0, **asdict(own)}
            row = insert(assistants, self._database.dialect).values(values)
            added = row.on_conflict_do_nothing().returning(_A.name)
            if (await db.execute(added)).first() is None:
                raise TakenError(
                    f"there is an assistant {record.name!r} already; choose another name", "name"
                )
            count = select(func.count()).select_from(assistants)
            if (await db.execute(count)).scalar_one() > MOST:
                raise QuotaError(f"{MOST:,} assistants are stored already; remove some first")
            made = await self._write(db, actor, "add", record, 1)
            return replace(made, ownership=own)

    async def change(
        self,
        actor: Actor,
        name: str,
        changes: Mapping[str, Any],
        *,
        version: int | None = None,
        ownership: Mapping[str, Any] | None = None,
    ) -> StoredAssistant:
        """Sets the fields named in `changes` in a new version; None: back to the setting's value.

        `ownership`: new values of its fields, which versions share. Returns the present version if
        nothing changes. Raises StaleError if `version` is given and no longer the present one.
        """
        rules.require_editor(actor)
        async with self._database.writing() as db:
            stored = await self._locked(db, actor, name, version)
            own = rules.own_changed(actor, name, stored.ownership, ownership or {})
            if own != stored.ownership:
                await self._transfer(db, actor, stored, own)
            record = rules.changed(stored.record, changes)
            if record == stored.record:
                masked = split_secrets(stored.record)[0]
                return replace(stored, record=masked, ownership=own)
            made = await self._write(
                db, actor, "edit", record, stored.version + 1, before=stored.record
            )
            return replace(made, ownership=own)

    async def drafted(
        self, actor: Actor, base: AssistantRecord, changes: Mapping[str, Any]
    ) -> AssistantRecord:
        """Returns the record that a change would make, with its secrets; nothing is stored.

        The change is that of the stored assistant of the same name, or of `base` without one.
        """
        rules.require_editor(actor)
        try:
            async with self._database.reading() as db:
                stored = self._opened(await _row(db, actor, base.name))
        except NotFoundError:
            return rules.changed(base, changes)
        rules.own_changed(actor, base.name, stored.ownership, {})
        return rules.changed(stored.record, changes)

    async def _transfer(
        self, db: AsyncConnection, actor: Actor, stored: StoredAssistant, own: Ownership
    ) -> None:
        name = stored.record.name
        await db.execute(update(assistants).where(_A.name == name).values(asdict(own)))
        entry = actor.audit_entry(
            "transfer",
            _target(name),
            self._now(),
            before=asdict(stored.ownership),
            after=asdict(own),
        )
        await audit.write(db, [entry])

    async def rollback(
        self, actor: Actor, name: str, to: int, *, version: int | None = None
    ) -> StoredAssistant:
        """Makes a new version with the content of version `to`. Raises as `change` does."""
        rules.require_editor(actor)
        async with self._database.writing() as db:
            stored = await self._locked(db, actor, name, version)
            own = rules.own_changed(actor, name, stored.ownership, {})
            record = self._opened(await _row(db, actor, name, to)).record
            made = await self._write(
                db, actor, "edit", record, stored.version + 1, before=stored.record, restored=to
            )
            return replace(made, ownership=own)

    async def remove(self, actor: Actor, name: str, *, version: int | None = None) -> None:
        """Removes an assistant and its versions. Calls that name it get the default one."""
        rules.require_editor(actor)
        async with self._database.writing() as db:
            row = await _row(db, actor, name, for_update=True)
            rules.own_changed(actor, name, _ownership(row), {})
            check_version("assistant", name, row["version"], version)
            await db.execute(delete(assistants).where(_A.name == name))
            entry = actor.audit_entry(
                "remove", _target(name), self._now(), before={"version": row["version"]}
            )
            await audit.write(db, [entry])

    async def _locked(
        self, db: AsyncConnection, actor: Actor, name: str, version: int | None
    ) -> StoredAssistant:
        """Returns the present version with its secrets; until the transaction ends it stays so."""
        row = await _row(db, actor, name, for_update=True)
        check_version("assistant", name, row["version"], version)
        return self._opened(row)

    async def _write(
        self,
        db: AsyncConnection,
        actor: Actor,
        action: str,
        record: AssistantRecord,
        version: int,
        *,
        before: AssistantRecord | None = None,
        restored: int | None = None,
    ) -> StoredAssistant:
        """Writes a version, makes it the present one, and removes the oldest ones."""
        now, name = self._now(), record.name
        masked, secrets = split_secrets(record)
        row_id = f"{name}:{version}"
        bound_to = seal_binding(assistant_versions, row_id, "secrets_sealed")
        row = {
            "id": row_id, "name": name, "version": version, "record": plain(masked),
            "secrets_sealed": self._vault.seal(secrets, bound_to=bound_to) if secrets else None,
            "author": actor.name, "at": now, "restored": restored,
        }  # fmt: skip
        await db.execute(assistant_versions.insert(), row)
        await db.execute(update(assistants).where(_A.name == name).values(version=version))
        old = and_(_V.name == name, _V.version <= version - self._most_versions)
        await db.execute(delete(assistant_versions).where(old))
        facts: dict[str, Any] = {"version": version}
        if before is not None:
            facts["fields"] = sorted(rules.differences(before, record))
        if restored is not None:
            facts["restored"] = restored
        entry = actor.audit_entry(
            action, _target(name), now,
            before={"version": version - 1} if before else None, after=facts,
        )  # fmt: skip
        await audit.write(db, [entry])
        return StoredAssistant(
            record=masked,
            version=version,
            author=actor.name,
            at=now,
            restored=restored,
        )

    def _opened(self, row: RowMapping) -> StoredAssistant:
        sealed, secrets = row["secrets_sealed"], None
        if sealed is not None:
            bound_to = seal_binding(assistant_versions, row["id"], "secrets_sealed")
            secrets = self._vault.open(sealed, bound_to=bound_to)
        return _stored(row, join_secrets(parse_assistant(row["record"]), secrets))

    def _now(self) -> datetime:
        return utc_now(self._clock)


def _versions() -> Select[Any]:
    owners = (_A.owner, _A.team, _A.visibility)
    return select(assistant_versions, *owners).join(assistants, _A.name == _V.name)


def _current() -> Select[Any]:
    return _versions().where(_A.version == _V.version)


def _visible_to(actor: Actor) -> ColumnElement[bool]:
    """Returns the condition for the assistants that the actor may see, as `rules.can_see`."""
    if actor.role == "admin" or (actor.role == "worker" and not actor.owner and not actor.team):
        return true()
    own = _A.owner == actor.owner if actor.owner else false()
    shared = and_(_A.team == actor.team, _A.visibility != "private") if actor.team else false()
    return or_(_A.visibility == "everyone", own, shared)


async def _row(
    db: AsyncConnection,
    actor: Actor,
    name: str,
    version: int | None = None,
    *,
    for_update: bool = False,
) -> RowMapping:
    if for_update:  # the assistant's own row: writers of its versions take turns at it
        await db.execute(select(_A.name).where(_A.name == name).with_for_update())
    query = _current() if version is None else _versions().where(_V.version == version)
    found = await db.execute(query.where(_V.name == name))
    row: RowMapping | None = found.mappings().one_or_none()
    if row is None or not rules.can_see(actor, _ownership(row)):
        of = "" if version is None else f"version {version} of "
        raise NotFoundError(
            f"there is no {of}assistant {name[:64]!r}; list the assistants to see their names"
        )
    return row


def _target(name: str) -> tuple[str, str]:
    return "assistant", name


def _stored(row: RowMapping, record: AssistantRecord) -> StoredAssistant:
    return StoredAssistant(
        record=record,
        version=row["version"],
        author=row["author"],
        at=row["at"],
        restored=row["restored"],
        ownership=_ownership(row),
    )


def _ownership(row: RowMapping) -> Ownership:
    return Ownership(owner=row["owner"], team=row["team"], visibility=row["visibility"])


def _shown(row: RowMapping) -> StoredAssistant:
    return _stored(row, parse_assistant(row["record"]))
