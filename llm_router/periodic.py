"""Repeats background work, and logs an outage of something it needs once."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from llm_router.clock import Clock
from llm_router.errors import StoreError

_logger = logging.getLogger("llm_router")


class OutageLog:
    """Logs the start and the end of an outage, each once, however many attempts fail between them.

    `consequence` is the warning at the start, to which the error is added; `recovery` is the line
    at the end.
    """

    def __init__(self, consequence: str, recovery: str) -> None:
        self._consequence = consequence
        self._recovery = recovery
        self.is_out = False

    def failed(self, error: Exception) -> None:
        if not self.is_out:
            reason = str(error) or "it gave no answer in time"  # a TimeoutError has no text
            _logger.warning("%s: %s", self._consequence, reason)
        self.is_out = True

    def succeeded(self) -> None:
        if self.is_out:
            _logger.info("%s", self._recovery)
        self.is_out = False


class PeriodicTask:
    """Runs `step` every `every` seconds, in a task that it owns from `start` to `aclose`.

    Steps never overlap. With an `outage` log, a step may raise StoreError: it is logged there, and
    the next step begins after the usual pause. Any other exception is a bug: it is logged and ends
    the task, but not the process.
    """

    def __init__(
        self,
        step: Callable[[], Awaitable[None]],
        clock: Clock,
        every: float,
        *,
        name: str,
        outage: OutageLog | None = None,
    ) -> None:
        self._step = step
        self._clock = clock
        self._every = every
        self._outage = outage
        self._name = name
        self._stepping = asyncio.Lock()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, *, delay: float = 0.0) -> None:
        """Starts the task. Its first step begins after `delay` seconds."""
        self._task = asyncio.create_task(self._run(delay), name=self._name)
        self._task.add_done_callback(log_bug)

    def wake(self) -> None:
        """Begins the next step now instead of at the end of the pause."""
        self._wake.set()

    async def step_once(self) -> None:
        """Runs one step now, after the one that may be running. Logs StoreError as an outage."""
        async with self._stepping:
            try:
                await self._step()
            except StoreError as error:
                self._failed(error)
            else:
                if self._outage:
                    self._outage.succeeded()

    async def step_within(self, seconds: float) -> None:
        """Runs one step now and cancels it after `seconds`, which is logged as an outage too."""
        try:
            async with asyncio.timeout(seconds):
                await self.step_once()
        except TimeoutError as error:
            self._failed(error)

    async def aclose(self, *, last_step_within: float | None = None) -> None:
        """Cancels the task and waits for its end.

        With `last_step_within`, a step that is running is not cut off and one more follows, both
        together within so many seconds.
        """
        try:
            if last_step_within is not None:
                await self.step_within(last_step_within)
        finally:
            if self._task:
                self._task.cancel()
                await asyncio.wait([self._task])

    async def _run(self, delay: float) -> None:
        if delay:
            await self._pause(delay)
        while True:
            await self.step_once()
            await self._pause(self._every)

    def _failed(self, error: Exception) -> None:
        if self._outage is None:
            raise error
        self._outage.failed(error)

    async def _pause(self, seconds: float) -> None:
        timer = self._clock.call_at(self._clock.now() + seconds, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()
            self._wake.clear()


def log_bug(task: asyncio.Task[None]) -> None:
    """Logs the exception that ended a task. To be added as its done-callback."""
    if not task.cancelled() and (error := task.exception()):
        _logger.error(
            "the task %r ended because of a bug, until the process is restarted",
            task.get_name(),
            exc_info=error,
        )


@asynccontextmanager
async def side_by_side(*works: AbstractAsyncContextManager[object]) -> AsyncIterator[None]:
    """Enters the contexts in their order, and leaves them at the same time.

    So the end takes as long as the slowest of them: each may wait for a database that hangs. Each
    is left in a task of its own, without the exception that ended the block.
    """
    entered: list[AbstractAsyncContextManager[object]] = []
    try:
        for work in works:
            await work.__aenter__()
            entered.append(work)
        yield
    finally:
        async with asyncio.TaskGroup() as group:
            for work in entered:
                group.create_task(_leave(work))


async def _leave(work: AbstractAsyncContextManager[object]) -> None:
    await work.__aexit__(None, None, None)
