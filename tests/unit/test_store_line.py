"""A place that was given up before its block came to anything gives the next no more time."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from llm_router.clock import Clock
from llm_router.store.line import Line
from llm_router.testing import ManualClock

WITHIN = 4.0


def waited(before: Callable[[Line, Clock], Coroutine[Any, Any, None]]) -> float:
    """Returns the seconds that the second in a line has waited in vain, after the first's block."""
    clock = ManualClock()

    async def work() -> float:
        line = Line(1, "busy", patience=1.0, standstill=WITHIN)
        first = asyncio.create_task(before(line, clock))
        await clock.sleep(0)
        async with line.place() as since:
            await first
            return asyncio.get_running_loop().time() - since

    return round(clock.run(work()), 3)


async def _block(line: Line, clock: Clock) -> None:
    async with line.place():
        await clock.sleep(3)


async def _given_up(line: Line, clock: Clock) -> None:
    try:
        async with asyncio.timeout(3):
            async with line.place():
                await clock.sleep(60)
    except TimeoutError:
        return


def test_after_a_block_that_was_given_up_the_next_has_waited_since_it_came() -> None:
    assert waited(_given_up) == 3.0


def test_after_a_block_that_has_ended_the_next_begins_to_wait() -> None:
    assert waited(_block) == 0.0
