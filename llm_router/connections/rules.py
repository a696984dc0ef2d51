"""What becomes of a record that an actor adds or changes: decisions every store shares. No I/O."""

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlsplit
from uuid import uuid4

from llm_router.connections.access import SYSTEM, Action, Actor, AuditEntry, can_see, may_act
from llm_router.connections.health import Verdict
from llm_router.connections.record import (
    MAX_LENGTHS,
    SECRET_FIELDS,
    STORE_MANAGED_FIELDS,
    Connection,
)
from llm_router.connections.store import Check
from llm_router.errors import (
    ConfigurationError,
    ForbiddenError,
    NotFoundError,
    StaleError,
    TakenError,
)

_NAMES = frozenset(field.name for field in fields(Connection))
_FIXED = (frozenset(STORE_MANAGED_FIELDS) - {"owner"}) | {"id"}
_AUDITED = tuple(
    sorted(
        _NAMES - frozenset(STORE_MANAGED_FIELDS) - frozenset(SECRET_FIELDS) - {"id"}
        | {"owner", "is_guarded"}
    )
)
_TARGET_FIELDS = frozenset(SECRET_FIELDS) | {
    "provider", "server", "base_url", "model_name", "organization_id", "api_version",
    "deployment", "region",
}  # fmt: skip
"""What was found out of one holds no longer when these change."""

EXACT_MATCH_FIELDS = (
    "name", "connection_type", "use_in_livekit", "use_in_mcp", "use_in_automation", "is_active",
    "pool",
)  # fmt: skip
"""What of a Query asks for one value of the field of that name."""

VERDICT_FIELDS = ("status", "status_reason", "is_active", "updated_at", "version")
"""What `judged` changes."""
_REASON = MAX_LENGTHS["status_reason"]

Facts = dict[str, Any]


def require_visible(actor: Actor, connection: Connection | None, connection_id: str) -> Connection:
    """Raises NotFoundError for none, and alike for one the actor does not see."""
    if connection is None or not can_see(actor, connection):
        raise NotFoundError(f"there is no connection {connection_id[:100]!r}")
    return connection


def require(actor: Actor, action: Action, connection: Connection | None = None) -> None:
    """Raises ForbiddenError unless the actor may."""
    if may_act(actor, action, connection):
        return
    what = f"connection {connection.name!r}" if connection else "connections"
    reach = ", and this one is not its own or its team's" if may_act(actor, action) else ""
    raise ForbiddenError(
        f"{actor.name} may not {action} {what}: its role is {actor.role}{reach}; ask an admin"
    )


def prepare_new(actor: Actor, connection: Connection, now: datetime) -> Connection:
    """The new record as it is kept, with its secrets."""
    require(actor, "add", connection)
    is_admin = may_act(actor, "give")
    owner = connection.owner if is_admin and connection.owner else actor.owner
    if not is_admin and not owner:
        raise ForbiddenError(f"{actor.name} has no owner for whom it could add connections")
    if not is_admin and connection.team not in {"", actor.team}:
        raise ForbiddenError(f"{actor.name} may not add connections to another team than its own")
    return replace(
        connection,
        id=connection.id or str(uuid4()),
        owner=owner,
        is_guarded=not is_admin,
        status="untested",
        status_reason="",
        api_key_last4=None,
        header_names=(),
        created_at=now,
        updated_at=now,
        last_used_at=None,
        version=1,
    )


def apply_edit(
    actor: Actor,
    stored: Connection,
    changes: Mapping[str, Any],
    version: int | None,
    now: datetime,
) -> Connection:
    """The next version of `stored`, which is without secrets; those that are given are in it.

    What changes nothing gives `stored` itself.
    """
    require(actor, "activate" if set(changes) <= {"is_active"} else "edit", stored)
    check_version(stored, version)
    if unknown := sorted(set(changes) - _NAMES):
        raise ConfigurationError(f"connection {stored.name!r}: there is no field {unknown[0]!r}")
    if fixed := sorted(set(changes) & _FIXED):
        raise ConfigurationError(f"connection {stored.name!r}: {fixed[0]} cannot be edited")
    _check_giving(actor, stored, changes)
    # What stands for a secret is worked out anew from the one that replaces it.
    forgotten: Facts = {}
    if "api_key" in changes:
        forgotten["api_key_last4"] = None
    if "headers" in changes:
        forgotten["header_names"] = ()
    new = replace(stored, **forgotten, **changes)
    new = replace(new, is_guarded=_guarded(actor, stored, new, changes))
    if new == stored:
        return stored
    _check_destination(actor, stored, new, changes)
    return replace(
        _with_new_status(actor, stored, new, changes), updated_at=now, version=stored.version + 1
    )


def trim_check(check: Check) -> Check:
    """As it may be kept: servers answer with whole pages."""
    return replace(check, detail=to_one_line(check.detail))


def apply_verdict(
    actor: Actor, stored: Connection, verdict: Verdict, now: datetime
) -> tuple[Connection, AuditEntry] | None:
    """What becomes of `stored`, and the entry for it; None: nothing. One that is deactivated was
    edited, by the product itself, whoever found out what was wrong.
    """
    values: Facts = {"status": verdict.status, "status_reason": to_one_line(verdict.reason)}
    before = {name: getattr(stored, name) for name in values}
    if before == values:
        return None
    new = replace(stored, **values)
    if verdict.status != "deactivated" or not stored.is_active:
        return new, audit_entry(actor, "set status", stored, (before, values), now)
    new = replace(new, is_active=False, updated_at=now, version=stored.version + 1)
    changed = {**before, "is_active": True}, {**values, "is_active": False}
    return new, audit_entry(SYSTEM, "deactivate", stored, changed, now)


def check_version(stored: Connection, version: int | None) -> None:
    """Raises StaleError unless `version`, where given, is the one that is stored."""
    if version is not None and version != stored.version:
        raise StaleError(
            f"connection {stored.name!r} has been changed since version {version}; look at"
            f" version {stored.version} and change that",
            stored.version,
        )


def taken_error(connection: Connection, field: Literal["id", "name"]) -> TakenError:
    value = getattr(connection, field)
    return TakenError(f"there is a connection of {field} {value!r} already; give another", field)


def search_text(connection: Connection) -> str:
    """What `Query.text` is looked for in, and what names are ordered by."""
    said = (connection.name, connection.description, connection.model_name, connection.base_url)
    return "\n".join(text.casefold() for text in said)


def audit_entry(
    actor: Actor, action: str, connection: Connection, changed: tuple[Facts, Facts], at: datetime
) -> AuditEntry:
    before, after = changed
    return actor.audit_entry(action, ("connection", connection.id), at, before=before, after=after)


def changed_facts(
    before: Connection | None, after: Connection | None, changes: Mapping[str, Any] | None = None
) -> tuple[Facts, Facts]:
    """The fields that differ, before and after; of secrets, only that they were set or changed."""
    old, new = _facts(before), _facts(after)
    for name in SECRET_FIELDS:
        if changes is not None and name in changes:
            new[name] = "changed" if changes[name] else "removed"
    differ = {name for name in {*old, *new} if old.get(name) != new.get(name)}
    return (
        {name: value for name, value in old.items() if name in differ},
        {name: value for name, value in new.items() if name in differ},
    )


def to_one_line(reason: str, longest: int = _REASON) -> str:
    """What somebody else said, fit for a record: servers answer with whole pages."""
    return " ".join("".join(c if c.isprintable() else " " for c in reason).split())[:longest]


def _with_new_status(
    actor: Actor, stored: Connection, new: Connection, changes: Mapping[str, Any]
) -> Connection:
    """With the status that follows from the edit alone."""
    if stored.is_active and not new.is_active:
        return replace(new, status="deactivated", status_reason=to_one_line(f"by {actor.name}"))
    if new.is_active and (not stored.is_active or _TARGET_FIELDS & set(changes)):
        return replace(new, status="untested", status_reason="")
    return new


def _facts(connection: Connection | None) -> Facts:
    if connection is None:
        return {}
    facts = {name: getattr(connection, name) for name in _AUDITED}
    facts["tags"], facts["extra_body"] = list(facts["tags"]), dict(facts["extra_body"])
    shown = connection.without_secrets()
    if shown.api_key_last4 is not None:
        facts["api_key"] = "set"
    if shown.header_names:
        facts["headers"] = "set"
    return facts


def _check_giving(actor: Actor, stored: Connection, changes: Mapping[str, Any]) -> None:
    owner, team = changes.get("owner", stored.owner), changes.get("team", stored.team)
    if owner != stored.owner:
        require(actor, "give", stored)
    if team not in {stored.team, "", actor.team}:
        require(actor, "give", stored)


def _check_destination(
    actor: Actor, stored: Connection, new: Connection, changes: Mapping[str, Any]
) -> None:
    """Whoever may edit must not have the key of others sent to a server of their own."""
    if may_act(actor, "give") or _destination(new) == _destination(stored):
        return
    kept = [("api_key", stored.api_key_last4 is not None), ("headers", bool(stored.header_names))]
    for name, is_kept in kept:
        if is_kept and name not in changes:
            raise ConfigurationError(
                f"connection {stored.name!r}: {name} was given for another server; give it again"
                " with the new address"
            )


def _guarded(actor: Actor, stored: Connection, new: Connection, changes: Mapping[str, Any]) -> bool:
    """An admin who names the address vouches for it, though it be the one that is there."""
    if may_act(actor, "give"):
        return stored.is_guarded and not {"base_url", "provider", "server"} & set(changes)
    return stored.is_guarded or _destination(new) != _destination(stored)


def _destination(connection: Connection) -> tuple[str, ...]:
    parts = urlsplit(connection.base_url)
    named = "" if connection.base_url else connection.server
    return connection.provider, named, parts.scheme, parts.netloc.lower(), connection.region
