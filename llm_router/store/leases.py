"""Leases in the database: one of several processes holds each piece of work at a time."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from sqlalchemy import or_, select

from llm_router.clock import Clock, checkpoint
from llm_router.errors import StoreError
from llm_router.periodic import OutageLog, PeriodicTask
from llm_router.store.database import Database
from llm_router.store.dialects import insert
from llm_router.store.tables import leases

_logger = logging.getLogger("llm_router")

_RELEASE_WITHIN = 1.0
"""Seconds for which the end of a process waits; a lease that is not released runs out."""


async def acquire(
    database: Database, name: str, holder: str, now: datetime, seconds: float
) -> bool:
    """Takes or renews the lease for `seconds`; returns False if another holder has it.

    It relies on the processes' wall clocks, so the work under it must tolerate being done twice.
    """
    row = insert(leases, database.dialect).values(
        name=name, holder=holder, until=now + timedelta(seconds=seconds)
    )
    free = or_(leases.c.holder == holder, leases.c.until <= now)
    upsert = row.on_conflict_do_update(
        index_elements=["name"],
        set_={"holder": row.excluded.holder, "until": row.excluded.until},
        where=free,
    ).returning(leases.c.name)
    async with database.writing() as db:
        return (await db.execute(upsert)).first() is not None


async def is_held(database: Database, name: str, now: datetime) -> bool:
    """Returns whether anybody has the lease."""
    query = select(leases.c.name).where(leases.c.name == name, leases.c.until > now)
    async with database.reading() as db:
        return (await db.execute(query)).first() is not None


async def is_any_held(database: Database, prefix: str, now: datetime) -> bool:
    """Returns whether anybody has a lease whose name begins with `prefix`."""
    named = leases.c.name.startswith(prefix, autoescape=True)
    query = select(leases.c.name).where(named, leases.c.until > now).limit(1)
    async with database.reading() as db:
        return (await db.execute(query)).first() is not None


async def release(database: Database, name: str, holder: str) -> None:
    """Releases the lease, so that the next holder need not wait."""
    own = leases.delete().where(leases.c.name == name, leases.c.holder == holder)
    async with database.writing() as db:
        await db.execute(own)


class Lease:
    """This process's claim to a piece of work: acquired before each step, renewed in time."""

    def __init__(self, database: Database, name: str, clock: Clock, seconds: float) -> None:
        self._database = database
        self._name = name
        self._clock = clock
        self._seconds = seconds
        self._holder = uuid4().hex
        self._renew_at = 0.0

    async def acquire(self) -> bool:
        """Returns whether this process holds the lease, taking or renewing it when due.

        Raises StoreError.
        """
        now = self._clock.wall()
        if now < self._renew_at:
            return True
        self._renew_at = 0.0
        at = datetime.fromtimestamp(now, UTC)
        if not await acquire(self._database, self._name, self._holder, at, self._seconds):
            return False
        self._renew_at = now + self._seconds / 3
        return True

    async def release(self) -> None:
        """Releases the lease if it was held; waits 1 s at most for the database."""
        if not self._renew_at:
            return
        self._renew_at = 0.0
        try:
            async with asyncio.timeout(_RELEASE_WITHIN):
                await release(self._database, self._name, self._holder)
        except (StoreError, TimeoutError):
            _logger.debug("the lease on %s is left to run out", self._name, exc_info=True)


class LeasedTask:
    """Work that is repeated every `every` seconds, from `start` to `aclose`; subclasses do it.

    Any number of processes may do so: the lease `name` lets one of them work at a time.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        every: float,
        *,
        name: str,
        lasts: float,
        outage: OutageLog,
    ) -> None:
        """Takes the seconds that the lease `lasts`, for when its process dies."""
        self._lease = Lease(database, name, clock, lasts)
        self._task = PeriodicTask(self._step, clock, every, name=name, outage=outage)

    async def work(self) -> bool:
        """Does a part of the work, and returns whether more is left. Raises StoreError."""
        raise NotImplementedError

    def start(self) -> None:
        self._task.start()

    async def aclose(self) -> None:
        """Ends the work and gives the lease back, so that another process need not wait for it."""
        await self._task.aclose()
        await self._lease.release()

    async def _step(self) -> None:
        while await self._lease.acquire() and await self.work():
            await checkpoint()
