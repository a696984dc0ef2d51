"""Shares what one process has counted towards its connections' limits with other processes."""

from collections.abc import Mapping

from llm_router.clock import Clock
from llm_router.periodic import OutageLog, PeriodicTask
from llm_router.routing.limits import Counters, Limits

EVERY = 1.0
"""Seconds between two exchanges. Within them a limit may be passed by what each of the other
processes starts."""
_START_WITHIN = 0.25
"""Seconds that a router waits for what was spent before it started. A store that is slower answers
at a later exchange."""
_STOP_WITHIN = 2.0


class LimitSync:
    """Exchanges counts with other processes, from `start` to `aclose`.

    `limits` are looked up by connection id at each exchange. While the store fails, counts are held
    back for a later exchange and each process enforces the totals it knows.
    """

    def __init__(self, counters: Counters, limits: Mapping[str, Limits], clock: Clock) -> None:
        self._counters = counters
        self._limits = limits
        self._clock = clock
        outage = OutageLog(
            "each process enforces the limits it knows of until the store answers again",
            "limits are counted together again",
        )
        self._task = PeriodicTask(self._exchange, clock, EVERY, name="limits", outage=outage)

    async def start(self) -> None:
        """Makes the first exchange, for at most 0.25 s, and starts the task for the others."""
        await self._task.step_within(_START_WITHIN)
        self._task.start(delay=EVERY)

    async def step(self) -> None:
        """Makes one exchange now. A store that fails is logged."""
        await self._task.step_once()

    async def aclose(self) -> None:
        """Ends the task with a last exchange, for which the store has 2 s."""
        await self._task.aclose(last_step_within=_STOP_WITHIN)

    async def _exchange(self) -> None:
        """Adds the counts of this process and reads the totals of all. Raises StoreError."""
        all_limits = dict(self._limits)
        wall = self._clock.wall()
        counted = {key: taken for key, limits in all_limits.items() if (taken := limits.take())}
        limited = [key for key, limits in all_limits.items() if limits.is_limited]
        try:
            totals = await self._counters.exchange(counted, limited, wall)
        except BaseException:  # a cancelled exchange must not lose counts either
            for limits in all_limits.values():
                limits.put_back()
            raise
        now = self._clock.now()
        for key, limits in all_limits.items():
            limits.confirmed(totals.get(key, {}), wall - now, now)
