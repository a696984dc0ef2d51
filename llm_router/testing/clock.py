"""Time that a test owns: it stands still while anything runs, and jumps when everything waits."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from llm_router.clock import Timer

T = TypeVar("T")

_ZERO_AT = 1_700_000_000.0
"""What a wall clock shows at this clock's zero."""
_HAIR = 2e-9
"""Past a timer's moment rather than a rounding error before it."""


class ManualClock:
    """A Clock for pure code (`advance`) and, with `run`, the time of a whole event loop.

    In `run` an hour of sleeping takes no time, and the order of events is that of their timers.
    `deadlock_after`: real seconds that a thread has to wake a loop on which everybody waits.
    """

    def __init__(self, now: float = 0.0, *, deadlock_after: float = 5.0) -> None:
        self._now = now
        self.deadlock_after = deadlock_after

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return _ZERO_AT + self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_at(when, callback)

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run on a loop whose time is this clock's.

        Raises RuntimeError when every task waits for something that no timer will bring.
        """
        with asyncio.Runner(loop_factory=lambda: _JumpingLoop(self)) as runner:
            return runner.run(main)


class _JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        super().__init__(_JumpingSelector(clock))

    def time(self) -> float:
        return self._clock.now()


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            # No timer is set: only a thread could still wake this loop.
            if ready := super().select(self._clock.deadlock_after):
                return ready
            raise RuntimeError("every task waits, and no timer is set that could wake one")
        ready = super().select(0)
        if not ready and timeout > 0:
            self._clock.advance(timeout + _HAIR)
        return ready
