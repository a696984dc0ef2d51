"""Measures for how long the event loop does nothing but one piece of work."""

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from llm_router.clock import SystemClock


class Heart:
    longest_gap = 0.0
    """Seconds of this thread's own processor time between two beats: other processes on a busy
    machine do not count."""


@asynccontextmanager
async def heartbeat() -> AsyncIterator[Heart]:
    """Beats every few milliseconds beside the block; use the result after it."""
    heart = Heart()
    beating = asyncio.create_task(_beat(heart))
    try:
        yield heart
    finally:
        beating.cancel()
        await asyncio.wait({beating})


async def _beat(heart: Heart) -> None:
    clock, before = SystemClock(), _worked()
    try:
        while True:
            await clock.sleep(0.005)
            before = _note(heart, before)
    finally:
        _note(heart, before)


def _note(heart: Heart, before: float) -> float:
    now = _worked()
    heart.longest_gap = max(heart.longest_gap, now - before)
    return now


def _worked() -> float:
    used = resource.getrusage(resource.RUSAGE_THREAD)
    return used.ru_utime + used.ru_stime
