"""Who may do what with which connection, and what is written down of it. Plain decisions, no I/O.

| role     | read | use | test | activate | add | edit | remove | give | administer |
| -------- | ---- | --- | ---- | -------- | --- | ---- | ------ | ---- | ---------- |
| viewer   | yes  |     |      |          |     |      |        |      |            |
| worker   | yes  | yes |      |          |     |      |        |      |            |
| operator | yes  | yes | yes  | own      |     |      |        |      |            |
| editor   | yes  | yes | yes  | own      | yes | own  | own    |      |            |
| admin    | yes  | yes | yes  | yes      | yes | yes  | yes    | yes  | yes        |

Everything but `add` and `administer` also asks that the connection can be seen. `own`: one's own
or one's team's. `use` opens its keys to call its server, `give` hands it to another owner or team,
`administer` is for keys, webhooks and the audit log.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

Role = Literal["viewer", "worker", "operator", "editor", "admin"]
Action = Literal["read", "use", "test", "activate", "add", "edit", "remove", "give", "administer"]
Visibility = Literal["private", "team", "everyone"]

_MAY: Mapping[Role, frozenset[Action]] = {
    "viewer": frozenset({"read"}),
    "worker": frozenset({"read", "use"}),
    "operator": frozenset({"read", "use", "test", "activate"}),
    "editor": frozenset({"read", "use", "test", "activate", "add", "edit", "remove"}),
    "admin": frozenset(
        {"read", "use", "test", "activate", "add", "edit", "remove", "give", "administer"}
    ),
}
_OWN_ONLY: frozenset[Action] = frozenset({"activate", "edit", "remove"})


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever asks: a person, a program with an API key, or the product itself.

    `name` is how the audit log calls it and `origin` where the request came from ("cli", an
    address). What belongs to `owner` is its own; it shares what its `team` shares. A worker with
    neither serves every call, so it sees all that is flagged for LiveKit.
    """

    name: str
    role: Role
    owner: str = ""
    team: str = ""
    origin: str = ""

    def audit_entry(
        self,
        action: str,
        to: tuple[str, str],
        at: datetime,
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> "AuditEntry":
        """What the audit log says of it. `to`: a kind ("connection", "api_key", ...) and an id."""
        return AuditEntry(
            at=at,
            actor=self.name,
            role=self.role,
            origin=self.origin,
            action=action,
            kind=to[0],
            target=to[1],
            before=before or {},
            after=after or {},
        )


SYSTEM = Actor("system", "admin", origin="patchbay")
"""The product itself: set-up, background work, and commands of whoever has the database."""
WORKER = Actor("worker", "worker", origin="patchbay")
"""The calls: they use what is flagged for LiveKit, whoever it belongs to."""


class Owned(Protocol):
    """What access depends on; a Connection is one."""

    @property
    def owner(self) -> str: ...
    @property
    def team(self) -> str: ...
    @property
    def visibility(self) -> Visibility: ...
    @property
    def use_in_livekit(self) -> bool: ...


def can_see(actor: Actor, connection: Owned) -> bool:
    """Whether it exists at all for the actor. `store/sql.py` says the same as a query."""
    if actor.role == "admin":
        return True
    if actor.role == "worker":
        if not connection.use_in_livekit:
            return False
        if not actor.owner and not actor.team:
            return True
    return connection.visibility == "everyone" or owns(actor, connection)


def owns(actor: Actor, connection: Owned) -> bool:
    """Whether it is the actor's own, or its team's and not kept private. No owner is nobody's."""
    if actor.owner and actor.owner == connection.owner:
        return True
    shared = connection.visibility != "private"
    return bool(actor.team) and actor.team == connection.team and shared


def may_act(actor: Actor, action: Action, connection: Owned | None = None) -> bool:
    """Without a connection: whether there can be one with which the actor may do this."""
    if action not in _MAY[actor.role]:
        return False
    if connection is None or actor.role == "admin":
        return True
    if action in _OWN_ONLY:
        return owns(actor, connection)
    return action == "add" or can_see(actor, connection)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One thing done: who, what, when, from where, and what it changed, without secrets.

    `action` is "add", "edit", ... and `kind` what it was done to: "connection", "api_key", ....
    `before` and `after` hold the fields that differ; a secret shows as "set", "changed" or
    "removed", never as itself.
    """

    at: datetime
    actor: str
    role: Role
    origin: str
    action: str
    kind: str
    target: str
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
