"""Clock and Rng: the only access to time and chance, so that tests can replace both."""

import asyncio
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol


class Timer(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    def now(self) -> float:
        """Returns seconds on a clock that never goes back; its zero has no meaning."""

    def wall(self) -> float:
        """Returns seconds since 1970, comparable between processes. Jumps when the clock is set."""

    async def sleep(self, seconds: float) -> None: ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Calls `callback` once `now()` has reached `when`, unless the timer is cancelled first."""


class Rng(Protocol):
    def random(self) -> float:
        """Returns a number in [0, 1)."""


class SystemClock:
    """Reads the running event loop's clock, so that a loop whose time jumps moves everything on."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_at(when, callback)


class SystemRng:
    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(seed)  # noqa: S311  spreads load, guards nothing

    def random(self) -> float:
        return self._random.random()


def utc_now(clock: Clock | None = None) -> datetime:
    """Returns the wall time of the clock, by default the system's, in UTC."""
    return datetime.fromtimestamp((clock or SystemClock()).wall(), UTC)


async def checkpoint() -> None:
    """Lets every other task that is ready run one step."""
    await asyncio.sleep(0)
