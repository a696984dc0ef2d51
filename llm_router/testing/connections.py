"""A store of connections in memory, for tests and experiments."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

from llm_router.clock import Clock, SystemClock, utc_now
from llm_router.connections import rules
from llm_router.connections.access import Actor, AuditEntry, can_see
from llm_router.connections.health import (
    ALIVE_OUTCOMES,
    Evidence,
    assess,
    deactivate_if_replaceable,
)
from llm_router.connections.record import SECRET_FIELDS, Connection
from llm_router.connections.store import (
    NOT_ASKED,
    Change,
    Check,
    CheckPage,
    Page,
    Query,
    Removal,
    Step,
)
from llm_router.options import HealthOptions, Quota


class InMemoryConnectionStore:
    """A `ConnectionStore` that holds its connections in memory only.

    It passes the contract tests of the SQL stores: roles, versions, audit log, health checks and
    the change feed behave the same.
    """

    def __init__(self, clock: Clock | None = None, *, quota: Quota | None = None) -> None:
        self._clock = clock or SystemClock()
        self._quota = quota or Quota()
        self._connections: dict[str, Connection] = {}
        """Every connection by id, with its secrets."""
        self._checks: dict[str, list[Check]] = {}
        """Health checks by connection id, the newest first."""
        self._audit: list[AuditEntry] = []
        self._revision = 0
        self._changed = asyncio.Event()

    async def add(self, actor: Actor, new: Sequence[Connection]) -> tuple[Connection, ...]:
        return await self.apply(actor, new)

    async def get(self, actor: Actor, connection_id: str, *, secrets: bool = False) -> Connection:
        connection = self._visible(actor, connection_id)
        if secrets:
            rules.require(actor, "use", connection)
            return self._connections[connection_id]
        return connection

    async def find(self, actor: Actor, query: Query, *, secrets: bool = False) -> Page:
        if secrets:
            rules.require(actor, "use")
        found = [c for c in self._connections.values() if can_see(actor, c) and _matches(query, c)]
        found = _ordered(found, query)
        end = None if query.limit is None else query.offset + query.limit
        items = [c if secrets else c.without_secrets() for c in found[query.offset : end]]
        return Page(tuple(items), len(found))

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
        now = self._now()
        before = (self._connections, self._checks)
        results: list[Connection] = []
        entries: list[AuditEntry] = []
        self._connections = dict(self._connections)
        self._checks = dict(self._checks)
        try:
            for step in steps:
                connection, entry = self._apply_step(actor, step, now)
                results += [connection.without_secrets()] if connection else []
                entries += [entry] if entry else []
            self._check_quota(actor, results)
        except BaseException:
            self._connections, self._checks = before
            raise
        if entries:
            self._record(*entries)
        return tuple(results)

    def _apply_step(
        self, actor: Actor, step: Step, now: datetime
    ) -> tuple[Connection | None, AuditEntry | None]:
        if isinstance(step, Connection):
            new = rules.prepare_new(actor, step, now)
            if new.id in self._connections:
                raise rules.taken_error(new, "id")
            _refuse_taken_name(self._connections, new)
            if step.id:
                rules.refuse_inherited_id(new, self._owner_of_removed(step.id))
            self._connections[new.id] = _with_hints(new)
            return new, rules.audit_entry(actor, "add", new, rules.changed_facts(None, new), now)
        stored = self._visible(actor, step.id)
        if isinstance(step, Removal):
            rules.require(actor, "remove", stored)
            rules.check_version("connection", stored.name, stored.version, step.version)
            del self._connections[step.id]
            self._checks.pop(step.id, None)
            return None, rules.audit_entry(
                actor, "remove", stored, rules.changed_facts(stored, None), now
            )
        new = rules.apply_edit(actor, stored, step.changes, step.version, now, reason=step.reason)
        if new is stored:
            return stored, None
        _refuse_taken_name(self._connections, new)
        before = self._connections[step.id]
        secrets = {
            name: getattr(before, name) for name in SECRET_FIELDS if name not in step.changes
        }
        self._connections[step.id] = _with_hints(replace(new, **secrets))
        return new, rules.audit_entry(
            actor, "edit", new, rules.changed_facts(stored, new, step.changes), now
        )

    def _owner_of_removed(self, connection_id: str) -> str | None:
        for entry in reversed(self._audit):
            if (entry.action, entry.target) == ("remove", connection_id):
                return str(entry.before.get("owner", ""))
        return None

    def _check_quota(self, actor: Actor, changed: Sequence[Connection]) -> None:
        owned = Counter(c.owner for c in self._connections.values())
        owners = {c.owner: owned[c.owner] for c in changed}
        if any(c.version == 1 or c.owner != actor.owner for c in changed):
            rules.check_quota(actor, owners, owned.total(), self._quota)

    async def record_check(
        self, actor: Actor, connection_id: str, check: Check, options: HealthOptions
    ) -> Connection:
        stored = self._visible(actor, connection_id)
        rules.require(actor, "test", stored)
        history = [rules.trim_check(check), *self._checks.get(connection_id, ())]
        history.sort(key=lambda one: one.at, reverse=True)
        oldest = check.at - options.retention
        history = [one for one in history if one.at >= oldest][: options.max_stored]
        self._checks[connection_id] = history
        verdict = assess(stored, _evidence(stored, history), options)
        if verdict.is_lasting:
            others = [c.without_secrets() for c in self._connections.values()]
            verdict = deactivate_if_replaceable(stored, verdict, others)
        if not (judged := rules.apply_verdict(actor, stored, verdict, self._now())):
            return stored
        new, entry = judged
        values = {name: getattr(new, name) for name in rules.VERDICT_FIELDS}
        self._connections[connection_id] = replace(self._connections[connection_id], **values)
        self._record(entry)
        return new

    async def checks(
        self, actor: Actor, connection_id: str, *, limit: int = 50, offset: int = 0
    ) -> CheckPage:
        self._visible(actor, connection_id)
        history = self._checks.get(connection_id, [])
        return CheckPage(tuple(history[offset : offset + limit]), len(history))

    async def latest_checks(self, actor: Actor) -> Mapping[str, Check]:
        seen = {key for key, one in self._connections.items() if can_see(actor, one)}
        return {key: history[0] for key, history in self._checks.items() if key in seen and history}

    async def touch(self, actor: Actor, used: Mapping[str, datetime]) -> None:
        for connection_id, when in used.items():
            stored = self._connections.get(connection_id)
            if not stored or not can_see(actor, stored):
                continue
            if stored.last_used_at is None or stored.last_used_at < when:
                touched = replace(stored, last_used_at=when.astimezone(UTC))
                self._connections[connection_id] = touched

    async def audit(
        self, actor: Actor, *, target: str | None = None, limit: int = 100, offset: int = 0
    ) -> tuple[AuditEntry, ...]:
        rules.require(actor, "administer")
        about = [e for e in reversed(self._audit) if target is None or e.target == target]
        return tuple(about[offset : offset + limit])

    async def revision(self) -> int:
        return self._revision

    async def changes(self) -> AsyncGenerator[int, None]:
        while True:
            seen = self._revision
            changed = self._changed
            yield seen
            if seen == self._revision:
                await changed.wait()

    def _visible(self, actor: Actor, connection_id: str) -> Connection:
        """Returns a connection without secrets. Raises NotFoundError if `actor` may not see it."""
        stored = self._connections.get(connection_id)
        return rules.require_visible(actor, stored and stored.without_secrets(), connection_id)

    def _record(self, *entries: AuditEntry) -> None:
        self._audit += entries
        self._revision += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def _now(self) -> datetime:
        return utc_now(self._clock)


def _with_hints(connection: Connection) -> Connection:
    """Adds the hints that stand in for its secrets: the key's last characters, the header names."""
    public = connection.without_secrets()
    return replace(connection, api_key_last4=public.api_key_last4, header_names=public.header_names)


def _evidence(connection: Connection, history: Sequence[Check]) -> Evidence:
    since = connection.updated_at
    counts = [c for c in history if c.outcome != NOT_ASKED and (since is None or c.at >= since)]
    answered = next((c for c in counts if c.kind != "probe"), None)
    broken = [*takewhile(lambda c: c.outcome not in ALIVE_OUTCOMES, counts)]
    return Evidence(counts, answered, broken[-1].at if broken else None)


def _refuse_taken_name(stored: Mapping[str, Connection], connection: Connection) -> None:
    for other in stored.values():
        same = (other.owner, other.name) == (connection.owner, connection.name)
        if same and other.id != connection.id:
            raise rules.taken_error(connection, "name")


def _matches(query: Query, connection: Connection) -> bool:
    for name in rules.EXACT_MATCH_FIELDS:
        wanted = getattr(query, name)
        if wanted is not None and wanted != getattr(connection, name):
            return False
    if not set(query.tags) <= set(connection.tags):
        return False
    return query.text.casefold() in rules.search_text(connection)


def _ordered(connections: list[Connection], query: Query) -> list[Connection]:
    def key(connection: Connection) -> Any:
        if query.sort == "name":
            return rules.search_text(connection)
        return getattr(connection, query.sort)

    by_id = sorted(connections, key=lambda c: c.id)
    dated = [c for c in by_id if key(c) is not None]
    dated.sort(key=key, reverse=query.descending)
    return dated + [c for c in by_id if key(c) is None]
