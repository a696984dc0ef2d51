"""Scheduling delay: how long a busy machine held up this process, and how to avoid that."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter, process_time

_INTERVAL = 0.01  # s


@dataclass(slots=True)
class SchedulingDelay:
    """`longest`: the longest time without a processor so far (s). The process's own work is not
    counted.
    """

    longest: float = 0.0

    async def watch(self) -> None:
        while True:
            due = perf_counter() + _INTERVAL
            worked = process_time()
            await asyncio.sleep(_INTERVAL)
            delay = perf_counter() - due - (process_time() - worked)
            self.longest = max(self.longest, delay)


@asynccontextmanager
async def watch_scheduling_delay() -> AsyncIterator[SchedulingDelay]:
    """Measures the delay while the block runs."""
    delay = SchedulingDelay()
    watching = asyncio.create_task(delay.watch())
    try:
        yield delay
    finally:
        watching.cancel()
        await asyncio.wait([watching])


def use_realtime_priority() -> None:
    """Gives this process, and those that it starts, the processor before all that are not
    real-time.

    Exits with advice where that is not allowed.
    """
    if sys.platform != "linux":
        sys.exit("--realtime works on Linux only; leave it out and keep the machine quiet")
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        sys.exit("--realtime needs root, or the right to set priorities (CAP_SYS_NICE)")
