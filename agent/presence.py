"""Tells the HTTP process, through the database, which workers take calls and have a free place, and
how busy each is.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from llm_router.clock import Clock, utc_now
from llm_router.errors import StoreError
from llm_router.periodic import OutageLog, PeriodicTask
from llm_router.store.database import Database
from llm_router.store.leases import Lease, is_any_held, is_held
from llm_router.store.workers import Workers
from llm_router.voice.workers import WorkerLoad, WorkerReport

_EVERY = 5.0
"""Seconds between reports."""
_LASTS = 15.0
"""Seconds for which a worker counts after its last sign of life."""

_REMOVED_WITHIN = 1.0
"""Seconds for which the end of a worker waits for the database."""


@asynccontextmanager
async def worker_present(
    database: Database,
    agent_name: str,
    clock: Clock,
    takes_calls: Callable[[], bool],
    *,
    worker: str = "",
    load: Callable[[], WorkerLoad] = WorkerLoad,
) -> AsyncIterator[None]:
    """Holds the lease of the agent's workers during the block, as long as `takes_calls`.

    Of several workers one holds it, and another one takes it over. While its `load` leaves a place,
    each `worker` also holds a lease of its own; one with a name reports how busy it is. A database
    that does not answer is logged once and disturbs no call.
    """
    workers, started_at = Workers(database), utc_now(clock)
    lease = Lease(database, _name(agent_name), clock, _LASTS)
    place = Lease(database, _places(agent_name) + worker, clock, _LASTS)

    async def report() -> None:
        measured = load()
        await (lease.acquire() if takes_calls() else lease.release())
        await (place.acquire() if measured.has_place else place.release())
        if worker:
            await workers.report(
                WorkerReport(
                    name=worker,
                    agent_name=agent_name,
                    takes_calls=takes_calls(),
                    load=measured,
                    started_at=started_at,
                    seen_at=utc_now(clock),
                )
            )

    outage = OutageLog(
        "/readyz does not count this worker until the database answers again",
        "/readyz counts this worker again",
    )
    reporting = PeriodicTask(report, clock, _EVERY, name="worker presence", outage=outage)
    await reporting.step_within(_EVERY)
    reporting.start(delay=_EVERY)
    try:
        yield
    finally:
        await reporting.aclose()
        await lease.release()
        await place.release()
        if worker:
            with suppress(StoreError, TimeoutError):  # it is forgotten by itself
                async with asyncio.timeout(_REMOVED_WITHIN):
                    await workers.remove(worker)


async def is_worker_present(database: Database, agent_name: str, clock: Clock) -> bool:
    """Returns whether a worker of this agent takes calls. Raises StoreError."""
    return await is_held(database, _name(agent_name), utc_now(clock))


async def has_free_worker(database: Database, agent_name: str, clock: Clock) -> bool:
    """Returns whether a worker of this agent has a place. Raises StoreError."""
    return await is_any_held(database, _places(agent_name), utc_now(clock))


async def are_workers_full(database: Database, agent_name: str, clock: Clock) -> bool:
    """Returns whether a worker of this agent takes calls and none has a place. Raises StoreError.

    Known some 5 s late: a worker that has just filled up is still asked, and its visitor waits.
    """
    if await has_free_worker(database, agent_name, clock):
        return False
    return await is_held(database, _name(agent_name), utc_now(clock))


async def calls_if_another_dies(
    database: Database, agent_name: str, worker: str, clock: Clock
) -> int:
    """Returns how many calls would come to this worker if the one with the most calls died.

    Those that take calls and have a place share them. Raises StoreError.
    """
    reports = await Workers(database).all(utc_now(clock) - timedelta(seconds=_LASTS))
    others = [one for one in reports if one.agent_name == agent_name and one.name != worker]
    dies = max(others, key=lambda one: one.load.calls, default=None)
    if dies is None:
        return 0
    taking = sum(one is not dies and one.takes_calls and one.load.has_place for one in others)
    return math.ceil(dies.load.calls / (taking + 1))


def _places(agent_name: str) -> str:
    return f"free places of {agent_name}: "


def _name(agent_name: str) -> str:
    return f"calls of {agent_name}"
