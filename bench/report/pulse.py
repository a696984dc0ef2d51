"""How long a busy machine kept this process waiting, and how not to wait: no figure is better than
the quiet it was taken in.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter, process_time

_BEAT = 0.01  # s


@dataclass(slots=True)
class Pulse:
    """`longest_wait`: seconds without a processor, at most, so far. Its own work is none of it."""

    longest_wait: float = 0.0

    async def beat(self) -> None:
        while True:
            due, worked = perf_counter() + _BEAT, process_time()
            await asyncio.sleep(_BEAT)
            waited = perf_counter() - due - (process_time() - worked)
            self.longest_wait = max(self.longest_wait, waited)


@asynccontextmanager
async def pulse() -> AsyncIterator[Pulse]:
    felt = Pulse()
    beating = asyncio.create_task(felt.beat())
    try:
        yield felt
    finally:
        beating.cancel()
        await asyncio.wait([beating])


def go_first() -> None:
    """Give this process, and those it starts, the processor before all that are not real-time.

    Exits with advice where that is not allowed.
    """
    if sys.platform != "linux":
        sys.exit("--realtime works on Linux only; leave it out and keep the machine quiet")
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        sys.exit("--realtime needs root, or the right to set priorities (CAP_SYS_NICE)")
