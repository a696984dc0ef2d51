"""Leases: which of several processes does a work that one must do."""

from datetime import datetime, timedelta

from sqlalchemy import or_

from llm_router.store.database import Database
from llm_router.store.statements import insert
from llm_router.store.tables import leases


async def hold(database: Database, name: str, holder: str, now: datetime, seconds: float) -> bool:
    """Take or renew the lease for so long; False: another has it.

    By the wall clocks of those who share it, so what is done under it must bear being done twice.
    """
    row = insert(leases, database.dialect).values(
        name=name, holder=holder, until=now + timedelta(seconds=seconds)
    )
    free = or_(leases.c.holder == holder, leases.c.until <= now)
    taken = row.on_conflict_do_update(
        index_elements=["name"],
        set_={"holder": row.excluded.holder, "until": row.excluded.until},
        where=free,
    ).returning(leases.c.name)
    async with database.writing() as db:
        return (await db.execute(taken)).first() is not None


async def let_go(database: Database, name: str, holder: str) -> None:
    """So that the next one need not wait."""
    mine = leases.delete().where(leases.c.name == name, leases.c.holder == holder)
    async with database.writing() as db:
        await db.execute(mine)
