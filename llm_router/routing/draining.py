"""Draining: ends the attempts that their reply no longer reads."""

import asyncio

from llm_router.clock import Clock
from llm_router.routing.attempt import Attempt


class Draining:
    """Waits for cancelled attempts and trials to close their streams, without delaying a caller."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._attempts: set[Attempt] = set()
        self._watching: set[asyncio.Task[None]] = set()
        self._is_closing = False

    def add(self, attempt: Attempt) -> None:
        """Holds a cancelled attempt until its stream is closed."""
        self._attempts.add(attempt)
        attempt.when_done(self._attempts.discard)

    def watch(self, attempt: Attempt) -> None:
        """Lets a trial that lost its race run on, until it shows whether its endpoint is well."""
        attempt.detach()
        self.add(attempt)
        task = asyncio.create_task(self._watch(attempt))
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)

    async def aclose(self) -> None:
        """Cancels what still runs and waits until every stream is closed."""
        self._is_closing = True
        for attempt in list(self._attempts):
            attempt.cancel()
            await attempt.wait()
        for task in list(self._watching):
            await task

    async def _watch(self, attempt: Attempt) -> None:
        timer = self._clock.call_at(attempt.silent_at, attempt.cancel)
        await attempt.wait()
        timer.cancel()
        if attempt.has_answered or attempt.first_word_at is not None:
            attempt.finished()
        elif not self._is_closing:
            attempt.failed(attempt.failure or attempt.silence)
