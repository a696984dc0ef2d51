"""Deletes chats that have not been used for long."""

from datetime import timedelta

from llm_router.clock import Clock, checkpoint, utc_now
from llm_router.periodic import OutageLog, PeriodicTask
from llm_router.store.chats import Chats
from llm_router.store.database import Database
from llm_router.store.leases import Lease

_INTERVAL = 600.0  # s
_LEASE_SECONDS = 2 * _INTERVAL


class ChatRetention:
    """Deletes chats a `retention` after their last use, from `start` to `aclose`; None: never.

    Any number of processes may do it; a lease lets one of them work at a time.
    """

    def __init__(self, database: Database, clock: Clock, retention: timedelta | None) -> None:
        self._chats = Chats(database, clock)
        self._clock = clock
        self._retention = retention
        self._lease = Lease(database, "chats", clock, _LEASE_SECONDS)
        outage = OutageLog(
            "old chats are not deleted until the database answers again",
            "old chats are deleted again",
        )
        self._task = PeriodicTask(self._step, clock, _INTERVAL, name="old chats", outage=outage)

    def start(self) -> None:
        if self._retention is not None:
            self._task.start()

    async def aclose(self) -> None:
        """Ends the work and gives the lease back, so that another process need not wait for it."""
        await self._task.aclose()
        await self._lease.release()

    async def _step(self) -> None:
        while self._retention is not None and await self._lease.acquire():
            before = utc_now(self._clock) - self._retention
            if not await self._chats.remove_unused(before):
                return
            await checkpoint()
