"""Deletes calls and messages that are stored for long enough; ends calls without a sign of life."""

from datetime import timedelta

from llm_router.clock import Clock, checkpoint, utc_now
from llm_router.periodic import OutageLog, PeriodicTask
from llm_router.store.calls import CallStore
from llm_router.store.database import Database
from llm_router.store.leases import Lease
from llm_router.store.messages import Messages

_INTERVAL = 600.0  # s
_LEASE_SECONDS = 2 * _INTERVAL
_LOST_AFTER = timedelta(hours=1)
"""Time without a sign of life after which a call has ended unnoticed, its database away or not."""


class CallRetention:
    """Deletes calls a `retention` after their end, from `start` to `aclose`; None: only those that
    have a time of their own. `keep_messages_for`: how long messages stay; None: for ever.

    Any number of processes may do it; a lease lets one of them work at a time.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        retention: timedelta | None,
        keep_messages_for: timedelta | None = None,
    ) -> None:
        self._calls = CallStore(database)
        self._messages = Messages(database, clock)
        self._keep_messages_for = keep_messages_for
        self._clock = clock
        self._retention = retention
        self._lease = Lease(database, "calls", clock, _LEASE_SECONDS)
        outage = OutageLog(
            "old calls are not deleted until the database answers again",
            "old calls are deleted again",
        )
        self._task = PeriodicTask(self._step, clock, _INTERVAL, name="old calls", outage=outage)

    def start(self) -> None:
        self._task.start()

    async def aclose(self) -> None:
        """Ends the work and gives the lease back, so that another process need not wait for it."""
        await self._task.aclose()
        await self._lease.release()

    async def _step(self) -> None:
        if not await self._lease.acquire():
            return
        now = utc_now(self._clock)
        while await self._calls.end_lost(now, now - _LOST_AFTER):
            await checkpoint()
        keep = self._keep_messages_for
        while keep is not None and await self._messages.prune(now - keep):
            await checkpoint()
        before = None if self._retention is None else now - self._retention
        while await self._lease.acquire() and await self._calls.prune(now, before):
            await checkpoint()
