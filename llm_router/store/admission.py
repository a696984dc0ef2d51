"""Decides whether connections may be stored: their ids and names are free, and quotas hold.

Runs in the transaction that stores them; writers take turns.
"""

from collections.abc import Iterator, Sequence

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.connections import rules
from llm_router.connections.access import Actor
from llm_router.connections.record import Connection
from llm_router.options import Quota
from llm_router.store import audit
from llm_router.store.tables import connections

_C = connections.c
_TAKEN_BATCH = 500
"""Connections whose names one query searches: databases limit the values of a query."""


async def refuse_taken(db: AsyncConnection, wanted: Sequence[Connection]) -> None:
    """Raises TakenError for an id or name in use, by stored connections or among the wanted ones.

    Writers take turns, so none can take it later.
    """
    by_id: dict[str, Connection] = {}
    by_name: dict[tuple[str, str], Connection] = {}
    for connection in wanted:
        key = connection.owner, connection.name
        if connection.id in by_id or key in by_name:
            raise rules.taken_error(connection, "id" if connection.id in by_id else "name")
        by_id[connection.id] = by_name[key] = connection
    for batch in _batches(list(by_name.values())):
        ids, names = [c.id for c in batch], [c.name for c in batch]
        query = select(_C.id, _C.owner, _C.name).where(or_(_C.id.in_(ids), _C.name.in_(names)))
        for stored in await db.execute(query):
            same_id = by_id.get(stored.id)
            if same_id and same_id.version == 1:
                raise rules.taken_error(same_id, "id")
            same_name = by_name.get((stored.owner, stored.name))
            if same_name and same_name.id != stored.id:
                raise rules.taken_error(same_name, "name")


async def refuse_inherited_ids(db: AsyncConnection, wanted: Sequence[Connection]) -> None:
    """Raises TakenError for the id of a removed connection of another owner."""
    for batch in _batches(wanted):
        owners = await audit.owners_of_removed(db, [c.id for c in batch])
        for connection in batch:
            rules.refuse_inherited_id(connection, owners.get(connection.id))


async def check_quota(
    db: AsyncConnection, actor: Actor, changed: Sequence[Connection], quota: Quota
) -> None:
    """Raises QuotaError if the owners of these connections, or all, have too many now."""
    if not any(c.version == 1 or c.owner != actor.owner for c in changed):
        return
    counts = select(_C.owner, func.count().label("owned")).group_by(_C.owner)
    owned = {row.owner: row.owned for row in await db.execute(counts)}
    owners = sorted({c.owner for c in changed})
    rules.check_quota(actor, {o: owned[o] for o in owners}, sum(owned.values()), quota)


def _batches(connections: Sequence[Connection]) -> Iterator[Sequence[Connection]]:
    for start in range(0, len(connections), _TAKEN_BATCH):
        yield connections[start : start + _TAKEN_BATCH]
