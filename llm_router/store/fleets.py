"""Stores what fleets remember: wanted sizes and numbers of launches, as counters."""

from sqlalchemy import case, select

from llm_router.store.database import Database
from llm_router.store.dialects import insert
from llm_router.store.tables import counters


class SqlFleetBook:
    """A `fleet.book.FleetBook` in a migrated database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def wanted(self, fleet: str) -> int | None:
        return await self._read(_wanted(fleet))

    async def want(self, fleet: str, size: int) -> None:
        row = insert(counters, self._database.dialect).values(name=_wanted(fleet), value=size)
        async with self._database.writing() as db:
            await db.execute(
                row.on_conflict_do_update(
                    index_elements=["name"], set_={"value": row.excluded.value}
                )
            )

    async def last_launch(self, fleet: str) -> int:
        return await self._read(_launches(fleet)) or 0

    async def begin_launch(self, fleet: str, at: float) -> int:
        first = int(at) + 1
        row = insert(counters, self._database.dialect).values(name=_launches(fleet), value=first)
        last = counters.c.value
        later = case((last >= first, last + 1), else_=first)
        upsert = row.on_conflict_do_update(index_elements=["name"], set_={"value": later})
        async with self._database.writing() as db:
            return int((await db.execute(upsert.returning(last))).scalar_one())

    async def _read(self, name: str) -> int | None:
        query = select(counters.c.value).where(counters.c.name == name)
        async with self._database.reading() as db:
            value = (await db.execute(query)).scalar_one_or_none()
        return None if value is None else int(value)


def _wanted(fleet: str) -> str:
    return f"fleet {fleet}: wanted"


def _launches(fleet: str) -> str:
    return f"fleet {fleet}: launches"
