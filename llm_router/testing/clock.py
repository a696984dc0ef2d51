"""A clock that tests control: time stands still while code runs and jumps when all of it waits."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from llm_router.clock import Timer

T = TypeVar("T")

_WALL_AT_ZERO = 1_700_000_000.0
"""Wall-clock time at this clock's zero (s since the epoch)."""
_PAST_TIMER = 2e-9
"""Added to each jump (s), so that rounding never leaves the clock just before a timer."""


class ManualClock:
    """A `Clock` that a test moves: by `advance`, or as the time of an event loop in `run`.

    In `run` an hour of sleep takes no real time, and events happen in the order of their timers.
    asyncio's own timers, such as `asyncio.timeout`, follow this clock too.

    With `socket_wait` above 0 it also moves servers and their clients that talk over real sockets
    inside one loop: bytes on their way arrive before time moves, however slow the machine is.

    `now`: the first time shown (s). `deadlock_after`: the real time (s) in which a thread must
    wake a loop that has no timer set, before `run` reports a deadlock. `socket_wait`: the real time
    (s) to wait for bytes before each jump; the system delivers them to the same machine at once, so
    a millisecond is enough.
    """

    def __init__(
        self, now: float = 0.0, *, deadlock_after: float = 5.0, socket_wait: float = 0.0
    ) -> None:
        self._now = now
        self.deadlock_after = deadlock_after
        self.socket_wait = socket_wait

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return _WALL_AT_ZERO + self._now

    def advance(self, seconds: float) -> None:
        """Moves the clock forward, for code that runs without an event loop."""
        self._now += seconds

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_at(when, callback)

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Runs `main` on a new event loop whose time is this clock's, and returns its result.

        Raises RuntimeError when every task waits and no timer is set that could wake one.
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
            # Without a timer, only a thread can still wake this loop.
            if ready := super().select(self._clock.deadlock_after):
                return ready
            raise RuntimeError("every task waits, and no timer is set that could wake one")
        ready = super().select(self._clock.socket_wait if timeout > 0 else 0)
        if not ready and timeout > 0:
            self._clock.advance(timeout + _PAST_TIMER)
        return ready
