"""Measures for how long the event loop does nothing but one piece of work."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from time import thread_time  # noqa: TID251  the Clock measures no work

from llm_router.clock import SystemClock


class Heart:
    longest_gap = 0.0
    """Seconds of this thread's own processor time between two beats: other processes on a busy
    machine do not count."""


@asynccontextmanager
async def heartbeat() -> AsyncIterator[Heart]:
    """Beats every few milliseconds beside the block; use the result after it."""
    heart = Heart()
    with no_collection_of_older_objects():
        beating = asyncio.create_task(_beat(heart))
        try:
            yield heart
        finally:
            beating.cancel()
            await asyncio.wait({beating})


@contextmanager
def no_collection_of_older_objects() -> Iterator[None]:
    """Hides what other tests have left from the garbage collector: after hundreds of tests, one
    collection takes a quarter of a second.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def _beat(heart: Heart) -> None:
    clock, before = SystemClock(), processor_time()
    try:
        while True:
            await clock.sleep(0.005)
            before = _note(heart, before)
    finally:
        _note(heart, before)


def _note(heart: Heart, before: float) -> float:
    now = processor_time()
    heart.longest_gap = max(heart.longest_gap, now - before)
    return now


def processor_time() -> float:
    """Returns the processor time of this thread (s); that of getrusage is up to 4 ms behind."""
    return thread_time()
