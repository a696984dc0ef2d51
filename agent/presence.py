"""Tells the HTTP process, through the database, that a worker takes calls."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from llm_router.clock import Clock, utc_now
from llm_router.periodic import OutageLog, PeriodicTask
from llm_router.store.database import Database
from llm_router.store.leases import Lease, is_held

_EVERY = 5.0
"""Seconds between reports."""
_LASTS = 15.0
"""Seconds for which a worker counts after its last sign of life."""


@asynccontextmanager
async def worker_present(
    database: Database, agent_name: str, clock: Clock, takes_calls: Callable[[], bool]
) -> AsyncIterator[None]:
    """Holds the lease of the agent's workers during the block, as long as `takes_calls`.

    Of several workers one holds it, and another one takes it over. A database that does not answer
    is logged once and disturbs no call.
    """
    lease = Lease(database, _name(agent_name), clock, _LASTS)

    async def report() -> None:
        await (lease.acquire() if takes_calls() else lease.release())

    outage = OutageLog(
        "readiness does not show that this worker takes calls", "readiness shows this worker again"
    )
    reporting = PeriodicTask(report, clock, _EVERY, name="worker presence", outage=outage)
    await reporting.step_within(_EVERY)
    reporting.start(delay=_EVERY)
    try:
        yield
    finally:
        await reporting.aclose()
        await lease.release()


async def is_worker_present(database: Database, agent_name: str, clock: Clock) -> bool:
    """Returns whether a worker of this agent takes calls. Raises StoreError."""
    return await is_held(database, _name(agent_name), utc_now(clock))


def _name(agent_name: str) -> str:
    return f"calls of {agent_name}"
