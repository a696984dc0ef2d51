"""Lets a bounded number do something at a time, while the others wait in line."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from llm_router.errors import RouterError


class Line:
    """A line before so many places, first come, first served.

    A line that moves is no standstill, however long it is. Those in it give up once no block has
    ended for `standstill` seconds; if a block has failed, once they have waited for `patience`
    seconds. They raise TimeoutError with the reason `otherwise`.
    """

    def __init__(self, places: int, otherwise: str, *, patience: float, standstill: float) -> None:
        self._places = asyncio.Semaphore(places)
        self._otherwise = otherwise
        self._patience = patience
        self._standstill = standstill
        self._since: dict[asyncio.Timeout, float] = {}
        self._moved_at = -math.inf

    @asynccontextmanager
    async def place(self) -> AsyncIterator[float]:
        """Takes a place for the block.

        Yields since when this one has waited without a sign that the line moves (loop time, s): a
        place that was given up before its block came to anything is none.
        """
        came_at = asyncio.get_running_loop().time()
        await self._wait()
        try:
            yield max(came_at, self._moved_at)
        except RouterError:  # what the block was for is refused
            self._move()
            raise
        except Exception:
            self._postpone(lambda since, now: max(since + self._patience, now))
            raise
        else:
            self._move()
        finally:
            self._places.release()

    def _move(self) -> None:
        self._moved_at = asyncio.get_running_loop().time()
        self._postpone(lambda _, now: now + self._standstill)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._standstill) as wait:
                self._since[wait] = asyncio.get_running_loop().time()
                try:
                    await self._places.acquire()
                finally:
                    del self._since[wait]
        except TimeoutError:
            raise TimeoutError(self._otherwise) from None

    def _postpone(self, until: Callable[[float, float], float]) -> None:
        """Sets when those in line give up, by when each has come and the time."""
        now = asyncio.get_running_loop().time()
        for wait, since in self._since.items():
            if not wait.expired():
                wait.reschedule(until(since, now))
