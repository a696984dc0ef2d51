"""Decides which actor may do what with which connection, and shapes the audit log. No I/O.

| role     | read | use | test | activate | add | edit | remove | transfer | administer |
| -------- | ---- | --- | ---- | -------- | --- | ---- | ------ | -------- | ---------- |
| viewer   | yes  |     |      |          |     |      |        |          |            |
| worker   | yes  | yes |      |          |     |      |        |          |            |
| operator | yes  | yes | yes  | own      |     |      |        |          |            |
| editor   | yes  | yes | yes  | own      | yes | own  | own    |          |            |
| admin    | yes  | yes | yes  | yes      | yes | yes  | yes    | yes      | yes        |

Every action but `add` and `administer` also requires that the actor can see the connection. `own`:
only on connections of the actor or of its team. `use` decrypts the connection's keys to call its
server, `activate` switches it on and off and sets its weight, `transfer` moves it to another owner
or team, `administer` covers API keys, webhooks and the audit log.

To have a connection answer live callers is a right of its own: see `may_serve_calls`.

An API key may be limited to the connections of some pools, which then are all that there are for
it. An actor with any limit of its own administers nothing: it could give itself another key.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from llm_router.types import Integration

Role = Literal["viewer", "worker", "operator", "editor", "admin"]
Action = Literal[
    "read", "use", "test", "activate", "add", "edit", "remove", "transfer", "administer"
]
Visibility = Literal["private", "team", "everyone"]
RouteGroup = Literal["chat", "chats", "mcp", "monitor", "manage"]
"""Routes that an API key can be limited to; `gateway.scopes` has the paths of each."""
KeyIntegration = Literal["automation", "livekit"]
"""Integrations that the requests of an API key can count as."""

_ALLOWED: Mapping[Role, frozenset[Action]] = {
    "viewer": frozenset({"read"}),
    "worker": frozenset({"read", "use"}),
    "operator": frozenset({"read", "use", "test", "activate"}),
    "editor": frozenset({"read", "use", "test", "activate", "add", "edit", "remove"}),
    "admin": frozenset(
        {"read", "use", "test", "activate", "add", "edit", "remove", "transfer", "administer"}
    ),
}
_OWN_ONLY: frozenset[Action] = frozenset({"activate", "edit", "remove"})


@dataclass(frozen=True, slots=True)
class Actor:
    """The author of a request: a person, a program with an API key, or the product itself.

    `name` identifies it in the audit log, `origin` says where the request came from ("cli", an
    address). It owns the connections of `owner` and shares those of `team`. A worker with neither
    serves every call, so it sees every connection with `use_in_livekit` that is approved for calls.
    """

    name: str
    role: Role
    owner: str = ""
    team: str = ""
    origin: str = ""
    may_serve_calls: bool = False
    """Whether its connections may answer live callers without an admin's approval."""
    key_id: str = ""
    """API key of its requests, which their use is counted for; empty: none."""
    pools: frozenset[str] | None = None
    """Pools of the connections that there are for it; None: every pool."""
    integration: KeyIntegration = "automation"
    """Integration for which a connection must be flagged to answer its requests for replies."""
    is_limited: bool = False
    """Whether its API key has limits of its own, of whatever kind."""

    def audit_entry(
        self,
        action: str,
        target: tuple[str, str],
        at: datetime,
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> "AuditEntry":
        """Makes the audit log's entry for an action of this actor.

        `target` is the kind ("connection", "api_key", ...) and the id of the object acted on.
        """
        return AuditEntry(
            at=at,
            actor=self.name,
            role=self.role,
            origin=self.origin,
            action=action,
            kind=target[0],
            target=target[1],
            before=before or {},
            after=after or {},
        )


SYSTEM = Actor("system", "admin", origin="patchbay")
"""The product itself: set-up, background work, and commands run with access to the database."""
WORKER = Actor("worker", "worker", origin="patchbay")
"""Voice calls: they use every connection with `use_in_livekit`, of any owner."""


class Shared(Protocol):
    """An object of an owner, or of a team; assistants and connections are."""

    @property
    def owner(self) -> str: ...
    @property
    def team(self) -> str: ...
    @property
    def visibility(self) -> Visibility: ...


class Owned(Shared, Protocol):
    """The fields that access to a connection depends on; `Connection` has them."""

    @property
    def use_in_livekit(self) -> bool: ...
    @property
    def is_approved_for_calls(self) -> bool: ...
    @property
    def pool(self) -> str: ...


def can_see(actor: Actor, connection: Owned) -> bool:
    """Returns whether the actor may know that the connection exists.

    `store.search.visible_to` is the same rule as an SQL condition.
    """
    if not reaches(actor, connection.pool):
        return False
    if actor.role == "admin":
        return True
    if actor.role == "worker":
        if not (connection.use_in_livekit and connection.is_approved_for_calls):
            return False
        if not actor.owner and not actor.team:
            return True
    return connection.visibility == "everyone" or owns(actor, connection)


def reaches(actor: Actor, pool: str) -> bool:
    """Returns whether the connections of a pool are within the limits of the actor's API key."""
    return actor.pools is None or pool in actor.pools


def serves(connection: Owned, integration: Integration) -> bool:
    """Returns whether a connection may answer requests of this integration.

    Those of LiveKit are live callers', whose connections need an approval besides the flag.
    """
    if integration == "livekit":
        return connection.use_in_livekit and connection.is_approved_for_calls
    return bool(getattr(connection, f"use_in_{integration}"))


def may_serve_calls(actor: Actor) -> bool:
    """Returns whether the actor decides which connections answer live callers."""
    return actor.role == "admin" or actor.may_serve_calls


def owns(actor: Actor, shared: Shared) -> bool:
    """Returns whether the object is the actor's, or its team's and not private.

    An object without an owner belongs to no actor.
    """
    if actor.owner and actor.owner == shared.owner:
        return True
    is_open = shared.visibility != "private"
    return bool(actor.team) and actor.team == shared.team and is_open


def may_act(actor: Actor, action: Action, connection: Owned | None = None) -> bool:
    """Returns whether the actor may do this with the connection.

    Without a connection: whether the actor's role allows it for any connection.
    """
    if action not in _ALLOWED[actor.role] or (action == "administer" and actor.is_limited):
        return False
    if connection is None:
        return True
    if not reaches(actor, connection.pool):
        return False
    if actor.role == "admin":
        return True
    if action in _OWN_ONLY:
        return owns(actor, connection)
    return action == "add" or can_see(actor, connection)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One action in the audit log: its actor, time and origin, and what it changed.

    `action` is "add", "edit", ...; `kind` and `target` name the object: "connection", "api_key",
    ..., and its id. `before` and `after` hold the fields that differ; a secret shows as "set",
    "changed" or "removed", never as its value.
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
