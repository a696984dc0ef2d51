"""Defines ConnectionStore, the port of every connection store, and the types of its methods."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from llm_router.connections.access import Actor, AuditEntry
from llm_router.connections.record import Connection, ConnectionType
from llm_router.options import HealthOptions

SortField = Literal["priority", "name", "status", "created_at", "updated_at", "last_used_at"]
CheckKind = Literal["probe", "word", "test", "call"]
"""Way a check is made: by the list of models, by one token of a reply, as a test on a person's
request, or by a caller's own reply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Filter, order and page of a search; a field that is None or empty does not filter.

    `tags`: the connection has all of them. `text`: occurs in the name, description, model or
    address, in any case. `limit` None: no limit. Connections without a date sort last; ties are
    sorted by id.
    """

    name: str | None = None
    connection_type: ConnectionType | None = None
    use_in_livekit: bool | None = None
    use_in_mcp: bool | None = None
    use_in_automation: bool | None = None
    is_active: bool | None = None
    tags: Sequence[str] = ()
    pool: str | None = None
    text: str = ""
    sort: SortField = "priority"
    descending: bool = False
    limit: int | None = 50
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """One page of connections; `total` counts all that match.

    `unreadable` maps the ids of connections left out of this page to the reason: their secrets were
    requested and cannot be decrypted, or the row was edited by hand and is invalid.
    """

    items: tuple[Connection, ...]
    total: int
    unreadable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """New values for some fields of one connection, based on its record of `version`.

    `reason`: is shown where the change deactivates the connection.
    """

    id: str
    changes: Mapping[str, Any] = field(repr=False)
    version: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    id: str
    version: int | None = None


Step = Connection | Change | Removal
"""One step of `ConnectionStore.apply`; a record means: add it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One health check of a connection. `latency` in seconds.

    `detail` names no key and no caller's words.
    """

    at: datetime
    """Time at which it began."""
    kind: CheckKind = "probe"
    outcome: str = "ok"
    """OK, NOT_ASKED or a failure class."""
    latency: float | None = None
    detail: str = ""


OK = "ok"
NOT_ASKED = "not asked"
"""Outcome where the owner may not call the address; it says nothing about the server."""


@dataclass(frozen=True, slots=True)
class CheckPage:
    """One page of the check history, newest first; `total` counts all checks."""

    items: tuple[Check, ...]
    total: int


class ConnectionStore(Protocol):
    """Stores connections for any number of processes at once.

    A connection that an actor may not see does not exist for it. A change and its entry in the
    audit log are committed together or not at all; a cancelled call is done or not done, never
    half. Changes wait for each other, so none fails because of a concurrent one.

    Raises NotFoundError, ForbiddenError, TakenError and StaleError for a change that is refused,
    ConfigurationError for an invalid record, StoreError for a fault of the database, and SealError
    for secrets that cannot be decrypted.
    """

    async def add(self, actor: Actor, connections: Sequence[Connection]) -> tuple[Connection, ...]:
        """Adds all of them or none; returns the stored records without secrets.

        The actor becomes their owner, unless an admin names another. An id, if given, must be new,
        and so must the name among the owner's connections.
        """

    async def get(self, actor: Actor, connection_id: str, *, secrets: bool = False) -> Connection:
        """Returns one connection; `secrets` adds its key and headers, if the actor may use it."""

    async def find(self, actor: Actor, query: Query, *, secrets: bool = False) -> Page:
        """Returns the page of matching connections that the actor may see.

        With `secrets`, a connection that cannot be decrypted is left out and named in the page.
        """

    async def change(
        self,
        actor: Actor,
        connection_id: str,
        changes: Mapping[str, Any],
        *,
        version: int | None = None,
    ) -> Connection:
        """Sets the fields named in `changes`; returns the stored record without secrets.

        Raises StaleError if `version` is given and no longer the current one. The right to
        activate suffices for setting `is_active` alone. A change of host must come with the secrets
        again, unless made by an admin: otherwise a person with the right to edit could have them
        sent to a server of their own.
        """

    async def remove(
        self, actor: Actor, connection_id: str, *, version: int | None = None
    ) -> None: ...

    async def apply(self, actor: Actor, steps: Sequence[Step]) -> tuple[Connection, ...]:
        """Applies all steps in order, or none, each as `add`, `change` or `remove` would.

        Returns the stored records that were added or changed, without secrets.
        """

    async def record_check(
        self, actor: Actor, connection_id: str, check: Check, options: HealthOptions
    ) -> Connection:
        """Stores a check and the status that follows from it; returns the resulting record.

        This is not an edit, so `version` stays: a check must not make a person's open edit stale.
        The revision increases if the status changes. Only a deactivation is an edit, by the system.
        """

    async def checks(
        self, actor: Actor, connection_id: str, *, limit: int = 50, offset: int = 0
    ) -> CheckPage: ...

    async def latest_checks(self, actor: Actor) -> Mapping[str, Check]:
        """Returns the latest check of each connection that the actor may see and that has one."""

    async def touch(self, actor: Actor, used: Mapping[str, datetime]) -> None:
        """Sets the time of last use of each connection in `used`, which maps ids to times.

        Neither `version` nor the revision increases, and nothing is audited: the usage log records
        each use. Unknown ids are ignored.
        """

    async def audit(
        self, actor: Actor, *, target: str | None = None, limit: int = 100, offset: int = 0
    ) -> tuple[AuditEntry, ...]:
        """Lists the audit log, newest entries first, or only the entries about the id `target`.

        Raises ForbiddenError unless the actor may administer.
        """

    async def revision(self) -> int:
        """Returns a number that increases with every change that other processes must notice."""

    def changes(self) -> AsyncGenerator[int, None]:
        """Yields the current revision, then later ones within a second of each change.

        May skip revisions that were quickly followed by others. Waits while the database is
        unavailable. Close it when done.
        """
