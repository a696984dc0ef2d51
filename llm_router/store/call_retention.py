"""Deletes calls and messages that are stored for long enough; ends calls without a sign of life."""

from datetime import timedelta

from llm_router.clock import Clock, utc_now
from llm_router.periodic import OutageLog
from llm_router.store.calls import CallStore
from llm_router.store.database import Database
from llm_router.store.leases import LeasedTask
from llm_router.store.messages import Messages
from llm_router.store.planned_calls import PlannedCalls

_INTERVAL = 600.0  # s
_LEASE_SECONDS = 2 * _INTERVAL
_LOST_AFTER = timedelta(hours=1)
"""Time without a sign of life after which a call has ended unnoticed, its database away or not."""
_LEFT_AFTER = timedelta(hours=24)
"""Time after the last message after which a conversation in writing is over."""


class CallRetention(LeasedTask):
    """Deletes calls, and plans of calls, a `retention` after their end; None: only those that have
    a time of their own. `keep_messages_for`: how long messages stay; None: for ever.
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
        self._planned = PlannedCalls(database, clock)
        self._keep_messages_for = keep_messages_for
        self._clock = clock
        self._retention = retention
        outage = OutageLog(
            "old calls are not deleted until the database answers again",
            "old calls are deleted again",
        )
        super().__init__(
            database, clock, _INTERVAL, name="calls", lasts=_LEASE_SECONDS, outage=outage
        )

    async def work(self) -> bool:
        now, keep = utc_now(self._clock), self._keep_messages_for
        lost = await self._calls.end_lost(now, now - _LOST_AFTER, now - _LEFT_AFTER)
        messages = keep is not None and await self._messages.prune(now - keep)
        before = None if self._retention is None else now - self._retention
        plans = before is not None and await self._planned.prune(before)
        return await self._calls.prune(now, before) or messages or plans or lost > 0
