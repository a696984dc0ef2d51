"""What the HTTP process does while nobody asks: it checks connections, tells webhooks, sums up."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from llm_router.gateway.deps import Services
from llm_router.management.checker import Checker, CheckerDeps
from llm_router.management.webhook_delivery import Courier
from llm_router.store.leases import Lease
from llm_router.store.summaries import maintain
from llm_router.store.usage import UsageLog

log = logging.getLogger(__name__)

_LOOKS = 4
"""That a process may miss before another one checks in its place."""


@asynccontextmanager
async def watching(served: Services, usage_kept_for: timedelta) -> AsyncIterator[None]:
    """Beside the block, and ended with it. Of several processes one checks, one tells, and one sums
    up what was used.
    """
    seconds = _LOOKS * served.health.look_every
    lease = Lease(served.database, "health checks", served.clock, seconds)
    world = CheckerDeps(
        leads=lease.held,
        guard_of=served.dialled,
        answered_since=UsageLog(served.database).answered_since,
    )
    checker = Checker(served.store, served.health, world, clock=served.clock)
    courier = Courier(served.database, served.webhooks, served.clock)
    tasks = [
        asyncio.create_task(checker.run(), name="checker"),
        asyncio.create_task(courier.run(), name="courier"),
        asyncio.create_task(
            maintain(served.database, served.clock, usage_kept_for), name="summaries"
        ),
    ]
    for task in tasks:
        task.add_done_callback(_told)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await lease.let_go()


def _told(task: asyncio.Task[None]) -> None:
    """A bug there must not go unseen, nor end the process that others ask."""
    if not task.cancelled() and (error := task.exception()):
        log.error("the %s ended, until the next start", task.get_name(), exc_info=error)
