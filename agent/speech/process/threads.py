"""Runs work on a few threads in the order that the schedule decides."""

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from agent.speech.process.schedule import Rank, Schedule, Step
from llm_router.clock import Clock

T = TypeVar("T")


STUCK_AFTER = 60.0
"""Seconds of one step of work after which it is taken to never end."""


class Threads:
    """Runs work on `count` threads; for one event loop.

    `on_stuck` is called when some work has taken 60 s: its thread is lost, and only the end of the
    process frees it.
    """

    def __init__(
        self, count: int, most_waiting: int, clock: Clock, on_stuck: Callable[[], None]
    ) -> None:
        self.schedule: Schedule[asyncio.Future[None]] = Schedule(count, most_waiting)
        self._clock = clock
        self._on_stuck = on_stuck
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="speech")

    async def run(self, rank: Rank, work: Callable[[], T], *, silent_at: float = math.inf) -> T:
        """Runs the work when its turn has come, and returns what it returns.

        Raises BusyError if there is no place for it. Cancelled while it waits, it never runs;
        cancelled while it runs, this returns once the thread is free again.
        """
        loop = asyncio.get_running_loop()
        step = Step(loop.create_future(), rank, silent_at)
        self.schedule.add(step, self._clock.now())
        try:
            self._start_next()
            await step.work
            running = loop.run_in_executor(self._executor, work)
            timer = self._clock.call_at(self._clock.now() + STUCK_AFTER, self._on_stuck)
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                await asyncio.wait({running})
                running.exception()  # nobody asks for it any longer
                raise
            finally:
                timer.cancel()
        finally:
            self.schedule.remove(step, self._clock.now())
            self._start_next()

    def _start_next(self) -> None:
        while step := self.schedule.take(self._clock.now()):
            if not step.work.done():  # its waiter was cancelled in this very moment
                step.work.set_result(None)

    def close(self) -> None:
        """Ends the threads, after the work that they are doing."""
        self._executor.shutdown(wait=False)
