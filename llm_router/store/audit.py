"""The audit log in the database: written in the transaction of what it tells of."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.connections.access import AuditEntry
from llm_router.store.tables import audit_log


async def write(connection: AsyncConnection, entries: list[AuditEntry]) -> None:
    """In the transaction of what was done. The entries come from `Actor.did`."""
    rows = [{name: getattr(entry, name) for name in AuditEntry.__slots__} for entry in entries]
    await connection.execute(audit_log.insert(), rows)


async def read(
    connection: AsyncConnection, target: str | None, limit: int, offset: int = 0
) -> tuple[AuditEntry, ...]:
    """The latest first."""
    wanted = select(audit_log).order_by(audit_log.c.id.desc()).limit(limit).offset(offset)
    if target is not None:
        wanted = wanted.where(audit_log.c.target == target)
    rows = (await connection.execute(wanted)).mappings()
    return tuple(AuditEntry(**{name: row[name] for name in AuditEntry.__slots__}) for row in rows)
