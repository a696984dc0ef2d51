"""Finds all sealed columns by their name, and reseals them when the master key is rotated.

A column whose name ends in `_sealed` holds values sealed by `crypto.Vault` and bound to their
place. So a new table with such a column is part of every rotation without further code.
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
"""Sealed columns by table; each of these tables has an `id`."""


def seal_binding(table: Table, row_id: str, column: str) -> str:
    """Returns the place that a value is bound to, such as "llm_connections:7:api_key"."""
    return f"{table.name}:{row_id}:{column.removesuffix(_ENDING)}"


async def holds_secrets(database: Database) -> bool:
    """Returns whether any value is sealed, which means that a missing master key was lost."""
    async with database.reading() as db:
        for table, columns in SEALED_COLUMNS.items():
            for name in columns:
                sealed = select(table.c.id).where(table.c[name].is_not(None)).limit(1)
                if (await db.execute(sealed)).first():
                    return True
    return False


@dataclass(frozen=True, slots=True)
class ResealResult:
    """Result of resealing: the number of `rows` sealed again, and a reason for each broken one.

    A row is `broken` if it cannot be opened; it stays unchanged.
    """

    rows: int
    broken: tuple[str, ...] = ()


async def preview_reseal(database: Database, vault: Vault) -> ResealResult:
    """Returns what `reseal` would do, without doing it, and the broken ones among all rows."""
    stale = 0
    broken: list[str] = []
    for table in SEALED_COLUMNS:
        for row in await _rows(database, table):
            stale += _is_stale(vault, table, row)
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
    on_progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> ResealResult:
    """Reseals all values that are not sealed with the first key of `vault`.

    `vault` must have the old keys, too. Each row is a transaction of its own: if the process is
    killed, every row is whole under either key, and the next run continues. Other processes may
    run meanwhile. `on_progress` is called after each row, with the number done and the total.
    """
    stale = [
        (table, row["id"])
        for table in SEALED_COLUMNS
        for row in await _rows(database, table)
        if _is_stale(vault, table, row)
    ]
    broken: list[str] = []
    for number, (table, row_id) in enumerate(stale, start=1):
        try:
            await _reseal_row(database, vault, table, row_id)
        except SealError as error:
            broken.append(str(error))
        on_progress(number, len(stale))
    result = ResealResult(len(stale) - len(broken), tuple(broken))
    if stale:
        facts = {"rows": result.rows, "broken": len(broken)}
        async with database.writing() as db:
            await audit.write(
                db, [actor.audit_entry("reseal", ("master_key", ""), now, after=facts)]
            )
    return result


async def _reseal_row(database: Database, vault: Vault, table: Table, row_id: str) -> None:
    by_id = table.c.id == row_id
    async with database.writing() as db:
        # Read again and locked, so that no other process writes it meanwhile.
        row = await _lock_row(db, table, row_id)
        values = {
            name: vault.reseal(row[name], bound_to=seal_binding(table, row_id, name))
            for name in SEALED_COLUMNS[table]
            if row and row[name] is not None and _is_sealed_with_another(vault, table, row, name)
        }
        if values:
            await db.execute(update(table).where(by_id).values(values))


async def _lock_row(db: AsyncConnection, table: Table, row_id: str) -> RowMapping | None:
    query = select(*_columns(table)).where(table.c.id == row_id).with_for_update()
    return (await db.execute(query)).mappings().one_or_none()


async def _rows(database: Database, table: Table) -> Sequence[RowMapping]:
    async with database.reading() as db:
        query = select(*_columns(table)).order_by(table.c.id)
        return (await db.execute(query)).mappings().all()


def _open(vault: Vault, table: Table, row: RowMapping) -> None:
    for name in SEALED_COLUMNS[table]:
        if row[name] is not None:
            vault.open(row[name], bound_to=seal_binding(table, row["id"], name))


def _columns(table: Table) -> list[Any]:
    return [table.c.id, *(table.c[name] for name in SEALED_COLUMNS[table])]


def _is_stale(vault: Vault, table: Table, row: RowMapping) -> bool:
    return any(
        row[name] is not None and _is_sealed_with_another(vault, table, row, name)
        for name in SEALED_COLUMNS[table]
    )


def _is_sealed_with_another(vault: Vault, table: Table, row: RowMapping, name: str) -> bool:
    return vault.needs_resealing(row[name], bound_to=seal_binding(table, row["id"], name))
