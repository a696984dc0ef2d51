"""The sealed columns, all of them, wherever they are: found by their name, and resealed.

A column whose name ends in `_sealed` holds what `crypto.Vault` has sealed, bound to its place. So a
table that is added with such a column, as webhooks have, is part of every rotation by itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Table, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.connections.access import Actor
from llm_router.errors import SealError
from llm_router.store import audit
from llm_router.store.crypto import Vault
from llm_router.store.database import Database
from llm_router.store.tables import metadata

_ENDING = "_sealed"

SEALED_COLUMNS: dict[Table, tuple[str, ...]] = {
    table: columns
    for table in metadata.tables.values()
    if (columns := tuple(column.name for column in table.c if column.name.endswith(_ENDING)))
}
"""Their columns by table; each of these tables has an `id`."""


def seal_binding(table: Table, row_id: str, column: str) -> str:
    """What a value in that column is bound to, such as "llm_connections:7:api_key"."""
    return f"{table.name}:{row_id}:{column.removesuffix(_ENDING)}"


async def holds_secrets(database: Database) -> bool:
    """Whether anything is sealed, so that a master key that is missing was lost."""
    async with database.reading() as db:
        for table, columns in SEALED_COLUMNS.items():
            for name in columns:
                held = select(table.c.id).where(table.c[name].is_not(None)).limit(1)
                if (await db.execute(held)).first():
                    return True
    return False


@dataclass(frozen=True, slots=True)
class ResealResult:
    """`rows` were sealed anew; `broken` says of each that cannot be opened why, and stays as it
    was.
    """

    rows: int
    broken: tuple[str, ...] = ()


async def preview_reseal(database: Database, vault: Vault) -> ResealResult:
    """What `reseal` would do, with nothing done; and of all rows, those that cannot be opened."""
    stale, broken = 0, list[str]()
    for table in SEALED_COLUMNS:
        for row in await _rows(database, table):
            stale += _needs_it(vault, table, row)
            try:
                _open(vault, table, row)
            except SealError as error:
                broken.append(str(error))
    return ResealResult(stale, tuple(broken))


async def reseal(
    database: Database,
    vault: Vault,
    actor: Actor,
    now: datetime,
    told: Callable[[int, int], object] = lambda _done, _of: None,
) -> ResealResult:
    """Seal again whatever is not under the first key of `vault`, which holds the old keys too.

    Row by row: killed anywhere, it leaves each row whole under either key, and goes on where it was
    when it is run again. It may run beside all else. `told` hears of each row that is done with,
    and of how many there are.
    """
    stale = [
        (table, row["id"])
        for table in SEALED_COLUMNS
        for row in await _rows(database, table)
        if _needs_it(vault, table, row)
    ]
    broken: list[str] = []
    for number, (table, row_id) in enumerate(stale, start=1):
        try:
            await _reseal_row(database, vault, table, row_id)
        except SealError as error:
            broken.append(str(error))
        told(number, len(stale))
    done = ResealResult(len(stale) - len(broken), tuple(broken))
    if stale:
        what = {"rows": done.rows, "broken": len(broken)}
        async with database.writing() as db:
            await audit.write(
                db, [actor.audit_entry("reseal", ("master_key", ""), now, after=what)]
            )
    return done


async def _reseal_row(database: Database, vault: Vault, table: Table, row_id: str) -> None:
    by_id = table.c.id == row_id
    async with database.writing() as db:
        # As it is by now, and so that nobody writes it in between.
        row = await _one(db, table, row_id)
        values = {
            name: vault.reseal(row[name], bound_to=seal_binding(table, row_id, name))
            for name in SEALED_COLUMNS[table]
            if row and row[name] is not None and vault.needs_resealing(row[name])
        }
        if values:
            await db.execute(update(table).where(by_id).values(values))


async def _one(db: AsyncConnection, table: Table, row_id: str) -> RowMapping | None:
    wanted = select(*_columns(table)).where(table.c.id == row_id).with_for_update()
    return (await db.execute(wanted)).mappings().one_or_none()


async def _rows(database: Database, table: Table) -> Sequence[RowMapping]:
    async with database.reading() as db:
        wanted = select(*_columns(table)).order_by(table.c.id)
        return (await db.execute(wanted)).mappings().all()


def _open(vault: Vault, table: Table, row: RowMapping) -> None:
    for name in SEALED_COLUMNS[table]:
        if row[name] is not None:
            vault.open(row[name], bound_to=seal_binding(table, row["id"], name))


def _columns(table: Table) -> list[Any]:
    return [table.c.id, *(table.c[name] for name in SEALED_COLUMNS[table])]


def _needs_it(vault: Vault, table: Table, row: RowMapping) -> bool:
    return any(
        row[name] is not None and vault.needs_resealing(row[name]) for name in SEALED_COLUMNS[table]
    )
