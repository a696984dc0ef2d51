"""Opens stored connections for use: every use checks, vets and audits in the same order."""

from dataclasses import dataclass
from typing import Protocol

from llm_router.clock import Clock, utc_now
from llm_router.connections import rules
from llm_router.connections.access import Action, Actor, AuditEntry, serves
from llm_router.connections.record import Connection
from llm_router.connections.store import ConnectionStore
from llm_router.errors import ForbiddenError
from llm_router.management.vetting import AddressRules, vet
from llm_router.net.guard import AddressGuard
from llm_router.types import Integration


class AuditLog(Protocol):
    """Records the uses of connections' keys; `store.api_keys.ApiKeys` is one."""

    async def note(self, entry: AuditEntry) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOpener:
    """Opens a stored connection, with its key, for one use by one actor."""

    store: ConnectionStore
    audit: AuditLog
    addresses: AddressRules
    clock: Clock

    async def open(
        self,
        actor: Actor,
        connection_id: str,
        purpose: str,
        *,
        action: Action = "test",
        integration: Integration | None = None,
    ) -> tuple[Connection, AddressGuard]:
        """Returns the connection with its key, and the guard that its server is to be called with.

        In this order: checks that the actor may take the `action`, checks the flag of the
        `integration`, opens the key, vets the address, and writes `purpose` into the audit log.
        Raises NotFoundError, ForbiddenError, SealError, StoreError, and what `vet` raises; the
        audit log then has no entry.
        """
        stored = await self.store.get(actor, connection_id)
        rules.require(actor, action, stored)
        if integration:
            require_flag(stored, integration)
        connection = await self.store.get(actor, connection_id, secrets=True)
        guard = self.addresses.for_actor(actor)
        await vet(guard, connection)
        now = utc_now(self.clock)
        await self.audit.note(actor.audit_entry(purpose, ("connection", connection_id), now))
        return connection, guard


def require_flag(connection: Connection, integration: Integration) -> None:
    """Raises ForbiddenError for a connection that `serves` says no to.

    The message names the flag that is off, or says that the approval for calls is missing.
    """
    if serves(connection, integration):
        return
    flag = f"use_in_{integration}"
    reason = (
        "it is not approved for calls; have an admin approve it"
        if getattr(connection, flag)
        else f"its flag {flag} is off; set it"
    )
    raise ForbiddenError(
        f"connection {connection.name!r} is not for {integration}: {reason}, or choose another"
        " connection"
    )
