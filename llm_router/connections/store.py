"""ConnectionStore, the port of whatever keeps connections: what it is asked and what it answers."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from llm_router.connections.access import Actor, AuditEntry
from llm_router.connections.record import Connection, ConnectionType
from llm_router.options import HealthOptions

SortField = Literal["priority", "name", "status", "created_at", "updated_at", "last_used_at"]
CheckKind = Literal["probe", "word", "test", "call"]
"""How a check is made: the list of models, one token of an answer, somebody's test, or a caller's
own reply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which connections are wanted; what is None or empty asks nothing.

    `tags`: those that have all of them. `text`: stands somewhere in the name, the description, the
    model or the address, in capitals or not. `limit` None: all. What has no date comes last, and
    of equals the one with the smaller id comes first.
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
    """Part of what was found; `total` is how many there are in all.

    `unreadable`: those of this part that are left out, since their secrets were asked for and
    cannot be opened, or somebody has written over the row by hand; id -> why.
    """

    items: tuple[Connection, ...]
    total: int
    unreadable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """New values for some fields of one connection; `version`: of the record they are based on."""

    id: str
    changes: Mapping[str, Any] = field(repr=False)
    version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    id: str
    version: int | None = None


Step = Connection | Change | Removal
"""One thing of several to be done together; a record is one to add."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One look at how a connection is. `latency` in seconds; `detail` names no key and no caller's
    words.
    """

    at: datetime
    """When it began."""
    kind: CheckKind = "probe"
    outcome: str = "ok"
    """OK, NOT_ASKED or a failure class."""
    latency: float | None = None
    detail: str = ""


OK, NOT_ASKED = "ok", "not asked"
"""`not asked`: the address may not be called in its owner's name; it says nothing of the server."""


@dataclass(frozen=True, slots=True)
class CheckPage:
    """Part of the history, the newest first; `total` is how many there are in all."""

    items: tuple[Check, ...]
    total: int


class ConnectionStore(Protocol):
    """Keeps connections for any number of processes at once.

    What an actor does not see is not there for it. Every change and its entry in the audit log are
    kept together or not at all; a call that is cancelled is done or not done, never half. Changes
    wait for each other, so none fails for another that goes on at the same time.

    Raises NotFoundError, ForbiddenError, TakenError and StaleError for what cannot be done,
    ConfigurationError for a record that cannot work, StoreError for what the database does, and
    SealError where secrets are asked for that cannot be opened.
    """

    async def add(self, actor: Actor, connections: Sequence[Connection]) -> tuple[Connection, ...]:
        """All of them or none, as they are kept, without secrets.

        They belong to the actor, unless an admin says to whom. The id, if given, must be new, and
        so must the name among its owner's.
        """

    async def get(self, actor: Actor, connection_id: str, *, secrets: bool = False) -> Connection:
        """`secrets`: with its key and headers, for an actor who may use it."""

    async def find(self, actor: Actor, query: Query, *, secrets: bool = False) -> Page:
        """Those the actor sees. With `secrets`, one that cannot be opened is left out and named."""

    async def change(
        self,
        actor: Actor,
        connection_id: str,
        changes: Mapping[str, Any],
        *,
        version: int | None = None,
    ) -> Connection:
        """Put new values in the fields named; without secrets, as it is kept then.

        With the `version` the change is based on, StaleError if there has been another since.
        Whoever may activate may set `is_active` alone. One that moves to another host must be
        given its secrets again, unless by an admin: else whoever may edit could have them sent to
        a server of their own.
        """

    async def remove(
        self, actor: Actor, connection_id: str, *, version: int | None = None
    ) -> None: ...

    async def apply(self, actor: Actor, steps: Sequence[Step]) -> tuple[Connection, ...]:
        """All of these, one after the other, or none: each as `add`, `change` and `remove` would do
        it. Those added and changed, as they are kept.
        """

    async def record_check(
        self, actor: Actor, connection_id: str, check: Check, options: HealthOptions
    ) -> Connection:
        """Keep what was found out, and what follows for the status; the connection as it is then.

        That is no edit, so `version` stays: a check must not make stale what a person is typing.
        The revision rises if the status changes. Only being deactivated is an edit, by the system.
        """

    async def checks(
        self, actor: Actor, connection_id: str, *, limit: int = 50, offset: int = 0
    ) -> CheckPage: ...

    async def touch(self, actor: Actor, used: Mapping[str, datetime]) -> None:
        """Note when connections were last used: id -> when. Neither `version` nor the revision
        rises, and nothing is audited: that is what the usage log is for. Unknown ids are passed
        over.
        """

    async def audit(
        self, actor: Actor, *, target: str | None = None, limit: int = 100, offset: int = 0
    ) -> tuple[AuditEntry, ...]:
        """The latest entries first; `target`: about that id only. For those who administer."""

    async def revision(self) -> int:
        """Rises with every change that somebody else should know of."""

    def changes(self) -> AsyncGenerator[int, None]:
        """The revision as it is, then each later one that is seen: within a second, though some
        may be passed over. A database that is away is waited for. Close it when done.
        """
