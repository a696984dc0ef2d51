"""Deletes chats that have not been used for long."""

from datetime import timedelta

from llm_router.clock import Clock, utc_now
from llm_router.periodic import OutageLog
from llm_router.store.chats import Chats
from llm_router.store.database import Database
from llm_router.store.leases import LeasedTask

_INTERVAL = 600.0  # s
_LEASE_SECONDS = 2 * _INTERVAL


class ChatRetention(LeasedTask):
    """Deletes chats a `retention` after their last use; None: never."""

    def __init__(self, database: Database, clock: Clock, retention: timedelta | None) -> None:
        self._chats = Chats(database, clock)
        self._clock = clock
        self._retention = retention
        outage = OutageLog(
            "old chats are not deleted until the database answers again",
            "old chats are deleted again",
        )
        super().__init__(
            database, clock, _INTERVAL, name="chats", lasts=_LEASE_SECONDS, outage=outage
        )

    async def work(self) -> bool:
        if self._retention is None:
            return False
        return await self._chats.remove_unused(utc_now(self._clock) - self._retention)
