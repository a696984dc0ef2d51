"""Decides how an actor's additions and edits change records, for every store alike. No I/O."""

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlsplit
from uuid import uuid4

from llm_router.connections.access import (
    SYSTEM,
    Action,
    Actor,
    AuditEntry,
    can_see,
    may_act,
    may_serve_calls,
    reaches,
)
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
    QuotaError,
    StaleError,
    TakenError,
)
from llm_router.options import Quota

_NAMES = frozenset(field.name for field in fields(Connection))
_FIXED = (frozenset(STORE_MANAGED_FIELDS) - {"owner"}) | {"id"}
_AUDITED = tuple(
    sorted(
        _NAMES - frozenset(STORE_MANAGED_FIELDS) - frozenset(SECRET_FIELDS) - {"id"}
        | {"owner", "is_guarded", "is_approved_for_calls"}
    )
)
_TARGET_FIELDS = frozenset(SECRET_FIELDS) | {
    "provider", "server", "base_url", "model_name", "organization_id", "api_version",
    "deployment", "region",
}  # fmt: skip
"""Fields that identify the server and model: editing one invalidates the results of checks."""

_ANSWERING_FIELDS = (_TARGET_FIELDS - frozenset(SECRET_FIELDS)) | {"extra_body", "serves"}
"""Fields that decide what callers hear."""

_SWITCHES = frozenset({"is_active", "weight"})
"""Fields that say whether a connection is asked, and how often: 0 of the weight drains it."""

EXACT_MATCH_FIELDS = (
    "name", "connection_type", "use_in_livekit", "use_in_mcp", "use_in_automation", "is_active",
    "pool",
)  # fmt: skip
"""Fields of a Query that must equal the connection's field of the same name."""

VERDICT_FIELDS = ("status", "status_reason", "is_active", "updated_at", "version")
"""Fields that `apply_verdict` may change."""
_MAX_REASON_LENGTH = MAX_LENGTHS["status_reason"]

Facts = dict[str, Any]


def require_visible(actor: Actor, connection: Connection | None, connection_id: str) -> Connection:
    """Returns the connection; raises NotFoundError if it is None or the actor may not see it."""
    if connection is None or not can_see(actor, connection):
        raise NotFoundError(
            f"there is no connection {connection_id[:100]!r}; list the connections to see their"
            " names and ids"
        )
    return connection


def require(actor: Actor, action: Action, connection: Connection | None = None) -> None:
    """Raises ForbiddenError unless the actor may do this with the connection."""
    if may_act(actor, action, connection):
        return
    if action == "administer":
        require_administrator(actor, "connections")
    what = f"connection {connection.name!r}" if connection else "connections"
    reach = ""
    if connection and not reaches(actor, connection.pool):
        reach = f", and its API key is not for the pool {connection.pool!r}"
    elif may_act(actor, action):
        reach = ", and this one is not its own or its team's"
    raise ForbiddenError(
        f"{actor.name} may not {action} {what}: its role is {actor.role}{reach}; ask an admin"
    )


def require_administrator(actor: Actor, what: str) -> None:
    """Raises ForbiddenError unless the actor may administer; `what`: such as "webhooks"."""
    if may_act(actor, "administer"):
        return
    why = "its API key has limits" if actor.role == "admin" else f"its role is {actor.role}"
    raise ForbiddenError(f"{actor.name} may not administer {what}: {why}; ask an admin")


def prepare_new(actor: Actor, connection: Connection, now: datetime) -> Connection:
    """Returns the record to store for a new connection, with its secrets.

    Raises ForbiddenError where the actor may not add it.
    """
    require(actor, "add", connection)
    is_admin = may_act(actor, "transfer")
    owner = connection.owner if is_admin and connection.owner else actor.owner
    if not is_admin and not owner:
        raise ForbiddenError(
            f"{actor.name} cannot add connections, since its API key has no owner;"
            " use a key that was made with an owner"
        )
    if not is_admin and connection.team not in {"", actor.team}:
        raise ForbiddenError(
            f"{actor.name} may only add connections to its own team; leave team out, or ask an"
            " admin"
        )
    return replace(
        connection,
        id=connection.id or str(uuid4()),
        owner=owner,
        is_guarded=not is_admin,
        is_approved_for_calls=connection.use_in_livekit and may_serve_calls(actor),
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
    *,
    reason: str = "",
) -> Connection:
    """Returns the next version of `stored`, with the secrets among `changes`.

    `stored` is without secrets. `reason`: why it is deactivated, if it is. Returns `stored` itself
    if nothing changes. Raises ForbiddenError, StaleError, and ConfigurationError for a field that
    may not be edited.
    """
    require(actor, "activate" if set(changes) <= _SWITCHES else "edit", stored)
    check_version("connection", stored.name, stored.version, version)
    if unknown := sorted(set(changes) - _NAMES):
        raise ConfigurationError(f"connection {stored.name!r}: there is no field {unknown[0]!r}")
    if fixed := sorted(set(changes) & _FIXED):
        raise ConfigurationError(f"connection {stored.name!r}: {fixed[0]} cannot be edited")
    _check_transfer(actor, stored, changes)
    # The display forms of a secret are derived again from its new value.
    reset: Facts = {}
    if "api_key" in changes:
        reset["api_key_last4"] = None
    if "headers" in changes:
        reset["header_names"] = ()
    new = replace(stored, **reset, **changes)
    new = replace(
        new,
        is_guarded=_guarded(actor, stored, new, changes),
        is_approved_for_calls=_approved(actor, stored, new, changes),
    )
    if new == stored:
        return stored
    if new.pool != stored.pool:
        require(actor, "edit", new)
    _check_destination(actor, stored, new, changes)
    return replace(
        _with_new_status(actor, stored, new, changes, reason),
        updated_at=now,
        version=stored.version + 1,
    )


def trim_check(check: Check) -> Check:
    """Shortens the detail of a check to one line, since servers may answer with whole pages."""
    return replace(check, detail=to_one_line(check.detail))


def apply_verdict(
    actor: Actor, stored: Connection, verdict: Verdict, now: datetime
) -> tuple[Connection, AuditEntry] | None:
    """Returns the record with its new status, and the audit entry; None if the status stays.

    A deactivation counts as an edit by the system, whatever actor made the check.
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


def check_version(kind: str, name: str, stored: int, version: int | None) -> None:
    """Raises StaleError, which names the object, unless `version` is None or the `stored` one."""
    if version is not None and version != stored:
        raise StaleError(
            f"{kind} {name!r} has been changed since version {version}; read version {stored} and"
            " change that",
            stored,
        )


def taken_error(connection: Connection, field: Literal["id", "name"]) -> TakenError:
    value = getattr(connection, field)
    return TakenError(f"there is a connection of {field} {value!r} already; give another", field)


def check_quota(actor: Actor, owned: Mapping[str, int], in_all: int, quota: Quota) -> None:
    """Raises QuotaError if too many connections would be stored.

    `owned`: how many each owner would have whom the actor has given one; `in_all`: all together.
    """
    if in_all > quota.in_all:
        raise QuotaError(
            f"there would be {in_all:,} connections, and {quota.in_all:,} may be stored"
            " (MAX_CONNECTIONS); remove some first"
        )
    if may_act(actor, "transfer"):
        return
    for owner, count in owned.items():
        if count > quota.per_owner:
            raise QuotaError(
                f"{owner} would have {count:,} connections, and an owner may have"
                f" {quota.per_owner:,} (MAX_CONNECTIONS_PER_OWNER); remove some first"
            )


def refuse_inherited_id(connection: Connection, previous_owner: str | None) -> None:
    """Raises TakenError for the id of another owner's removed connection: usage is stored by id."""
    if previous_owner is not None and previous_owner != connection.owner:
        raise TakenError(
            f"the id {connection.id!r} was that of a removed connection of another owner; give"
            " another",
            "id",
        )


def search_text(connection: Connection) -> str:
    """Returns the text that `Query.text` is searched in and that sorting by name compares."""
    texts = (connection.name, connection.description, connection.model_name, connection.base_url)
    return "\n".join(text.casefold() for text in texts)


def audit_entry(
    actor: Actor, action: str, connection: Connection, changed: tuple[Facts, Facts], at: datetime
) -> AuditEntry:
    before, after = changed
    return actor.audit_entry(action, ("connection", connection.id), at, before=before, after=after)


def changed_facts(
    before: Connection | None, after: Connection | None, changes: Mapping[str, Any] | None = None
) -> tuple[Facts, Facts]:
    """Returns the fields that differ, before and after; of secrets only that they changed."""
    old, new = _facts(before), _facts(after)
    for name in SECRET_FIELDS:
        if changes is not None and name in changes:
            new[name] = "changed" if changes[name] else "removed"
    differ = {name for name in {*old, *new} if old.get(name) != new.get(name)}
    return (
        {name: value for name, value in old.items() if name in differ},
        {name: value for name, value in new.items() if name in differ},
    )


def to_one_line(reason: str, max_length: int = _MAX_REASON_LENGTH) -> str:
    """Shortens a foreign text to one printable line, since servers may answer with whole pages."""
    return " ".join("".join(c if c.isprintable() else " " for c in reason).split())[:max_length]


def _with_new_status(
    actor: Actor, stored: Connection, new: Connection, changes: Mapping[str, Any], reason: str
) -> Connection:
    """Sets the status that follows from the edit alone."""
    if stored.is_active and not new.is_active:
        why = f"by {actor.name}: {reason}" if reason else f"by {actor.name}"
        return replace(new, status="deactivated", status_reason=to_one_line(why))
    if new.is_active and (not stored.is_active or _TARGET_FIELDS & set(changes)):
        return replace(new, status="untested", status_reason="")
    return new


def _facts(connection: Connection | None) -> Facts:
    if connection is None:
        return {}
    facts = {name: getattr(connection, name) for name in _AUDITED}
    facts |= {name: list(facts[name]) for name in ("tags", "aliases")}
    facts["extra_body"] = dict(facts["extra_body"])
    shown = connection.without_secrets()
    if shown.api_key_last4 is not None:
        facts["api_key"] = "set"
    if shown.header_names:
        facts["headers"] = "set"
    return facts


def _check_transfer(actor: Actor, stored: Connection, changes: Mapping[str, Any]) -> None:
    owner, team = changes.get("owner", stored.owner), changes.get("team", stored.team)
    if owner != stored.owner:
        require(actor, "transfer", stored)
    if team not in {stored.team, "", actor.team}:
        require(actor, "transfer", stored)


def _check_destination(
    actor: Actor, stored: Connection, new: Connection, changes: Mapping[str, Any]
) -> None:
    """Raises ConfigurationError if an edit would send an existing secret to another server.

    Otherwise a person with the right to edit could have it sent to a server of their own.
    """
    if may_act(actor, "transfer") or _destination(new) == _destination(stored):
        return
    secrets = {
        "api_key": stored.api_key_last4 is not None,
        "headers": bool(stored.header_names),
    }
    for name, is_set in secrets.items():
        if is_set and name not in changes:
            raise ConfigurationError(
                f"connection {stored.name!r}: {name} was given for another server; give it again"
                " with the new address"
            )


def _guarded(actor: Actor, stored: Connection, new: Connection, changes: Mapping[str, Any]) -> bool:
    """Returns whether the edited connection is dialled through the address guard.

    An admin who sets the address vouches for it, even if it stays the same.
    """
    if may_act(actor, "transfer"):
        return stored.is_guarded and not {"base_url", "provider", "server"} & set(changes)
    return stored.is_guarded or _destination(new) != _destination(stored)


def _approved(
    actor: Actor, stored: Connection, new: Connection, changes: Mapping[str, Any]
) -> bool:
    """Returns whether the edited connection may answer live callers.

    Setting `use_in_livekit` approves it, even if it stays the same. An actor without the right ends
    an approval by changing what answers, or by taking the connection out of calls.
    """
    if may_serve_calls(actor):
        return new.use_in_livekit and (stored.is_approved_for_calls or "use_in_livekit" in changes)
    answers_the_same = all(getattr(stored, n) == getattr(new, n) for n in _ANSWERING_FIELDS)
    return (
        stored.is_approved_for_calls
        and new.use_in_livekit
        and answers_the_same
        and "headers" not in changes
    )


def _destination(connection: Connection) -> tuple[str, ...]:
    parts = urlsplit(connection.base_url)
    server = "" if connection.base_url else connection.server
    path = parts.path.rstrip("/"), parts.query
    origin = parts.scheme, parts.netloc.lower()
    return connection.provider, server, *origin, *path, connection.region
