"""Leases: which of several processes does a work that one must do."""

import logging
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from sqlalchemy import or_

from llm_router.clock import Clock
from llm_router.errors import StoreError
from llm_router.store.database import Database
from llm_router.store.dialects import insert
from llm_router.store.tables import leases

_logger = logging.getLogger("llm_router")


async def acquire(
    database: Database, name: str, holder: str, now: datetime, seconds: float
) -> bool:
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


async def release(database: Database, name: str, holder: str) -> None:
    """So that the next one need not wait."""
    mine = leases.delete().where(leases.c.name == name, leases.c.holder == holder)
    async with database.writing() as db:
        await db.execute(mine)


class Lease:
    """This process's claim to a work: asked for before each step, renewed in good time."""

    def __init__(self, database: Database, name: str, clock: Clock, seconds: float) -> None:
        self._database, self._name, self._clock, self._seconds = database, name, clock, seconds
        self._me, self._renew_at = uuid4().hex, 0.0

    async def acquire(self) -> bool:
        """Whether the work is ours for now. Raises StoreError."""
        now = self._clock.wall()
        if now < self._renew_at:
            return True
        self._renew_at = 0.0
        at = datetime.fromtimestamp(now, UTC)
        if not await acquire(self._database, self._name, self._me, at, self._seconds):
            return False
        self._renew_at = now + self._seconds / 3
        return True

    async def release(self) -> None:
        """If it was ours when it was last asked for; a database that is away is not waited for."""
        if not self._renew_at:
            return
        self._renew_at = 0.0
        try:
            await release(self._database, self._name, self._me)
        except StoreError:
            _logger.debug("the lease on %s is left to run out", self._name, exc_info=True)
