"""Writes and reads the audit log. Entries are written in the transaction of the audited change."""

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.connections.access import AuditEntry
from llm_router.store.tables import audit_log


async def write(connection: AsyncConnection, entries: list[AuditEntry]) -> None:
    """Writes entries, made by `Actor.audit_entry`, in the transaction of `connection`."""
    rows = [{name: getattr(entry, name) for name in AuditEntry.__slots__} for entry in entries]
    await connection.execute(audit_log.insert(), rows)


async def owners_of_removed(connection: AsyncConnection, ids: Sequence[str]) -> Mapping[str, str]:
    """Maps each of the ids that was a removed connection's to its last owner."""
    query = select(audit_log.c.target, audit_log.c.before).where(
        audit_log.c.target.in_(ids),
        audit_log.c.kind == "connection",
        audit_log.c.action == "remove",
    )
    rows = await connection.execute(query.order_by(audit_log.c.id))
    return {target: before.get("owner", "") for target, before in rows}


async def read(
    connection: AsyncConnection,
    target: str | None,
    limit: int,
    offset: int = 0,
    *,
    kind: str | None = None,
) -> tuple[AuditEntry, ...]:
    """Returns the latest entries first, or only those about the id `target`, of that `kind`."""
    query = select(audit_log).order_by(audit_log.c.id.desc()).limit(limit).offset(offset)
    if target is not None:
        query = query.where(audit_log.c.target == target)
    if kind is not None:
        query = query.where(audit_log.c.kind == kind)
    rows = (await connection.execute(query)).mappings()
    return tuple(AuditEntry(**{name: row[name] for name in AuditEntry.__slots__}) for row in rows)
