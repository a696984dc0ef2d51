"""Keeps what one process counts for the connections' limits in step with the others."""

import asyncio
import logging
from collections.abc import Mapping

from llm_router.clock import Clock
from llm_router.errors import StoreError
from llm_router.routing.limits import Counters, Limits

_logger = logging.getLogger("llm_router")

EVERY = 1.0
"""Seconds between two exchanges: by what each of the other processes starts within them, a limit
may be passed."""
_START_WITHIN = 0.25
"""Seconds that a router waits to hear what was spent before it; later it hears all the same."""
_STOP_WITHIN = 2.0
_TOO_SLOW = "the store gave no answer in time"


class Tally:
    """Made and closed by `open_router`. `limits`: by the connection's id, as it is at the time.

    When the store fails that is logged once, what is counted is kept for when it is back, and each
    process heeds what it knows.
    """

    def __init__(self, counters: Counters, limits: Mapping[str, Limits], clock: Clock) -> None:
        self._counters, self._limits, self._clock = counters, limits, clock
        self._is_alone = False
        self._stepping = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._step_within(_START_WITHIN)
        self._task = asyncio.create_task(self._run(), name="limits")

    async def aclose(self) -> None:
        """Tell what is left, if the store takes it soon."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._step_within(_STOP_WITHIN)

    async def step(self) -> None:
        """Tell what was counted here, and hear what was counted elsewhere."""
        async with self._stepping:
            limits = dict(self._limits)
            wall = self._clock.wall()
            counted = {name: told for name, one in limits.items() if (told := one.take())}
            limited = [name for name, one in limits.items() if one.is_limited]
            try:
                known = await self._counters.exchange(counted, limited, wall)
            except BaseException as error:
                for one in limits.values():
                    one.put_back()
                if not isinstance(error, StoreError):
                    raise
                self._went_wrong(str(error))
                return
            now = self._clock.now()
            for name, one in limits.items():
                one.confirmed(known.get(name, {}), wall - now, now)
        if self._is_alone:
            self._is_alone = False
            _logger.info("limits are counted together again")

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(EVERY)
            await self.step()

    async def _step_within(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.step()
        except TimeoutError:
            self._went_wrong(_TOO_SLOW)

    def _went_wrong(self, why: str) -> None:
        if not self._is_alone:
            self._is_alone = True
            _logger.warning("%s; until then this process heeds the limits it knows of", why)
