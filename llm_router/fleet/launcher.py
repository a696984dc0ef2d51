"""Starts instances: each launch has a number of its own, so that none is carried out twice."""

import logging
from collections.abc import Set as AbstractSet

from llm_router.clock import Clock
from llm_router.fleet.book import FleetBook
from llm_router.fleet.cloud import Cloud, CloudError, LaunchRefusedError
from llm_router.fleet.decisions import pause_after
from llm_router.fleet.spec import FleetSpec

_logger = logging.getLogger("llm_router.fleet")

_ASKED_AGAIN_FOR = 600.0
"""Seconds for which a launch of a controller that died is asked for again; later it has either made
an instance, which the cloud lists, or none."""


class Launcher:
    """Starts a fleet's instances, more rarely after each refusal.

    A launch whose result is unknown, of this process or of one that died, is asked for again under
    its number before another one begins.
    """

    def __init__(self, spec: FleetSpec, cloud: Cloud, book: FleetBook, clock: Clock) -> None:
        self._spec = spec
        self._cloud = cloud
        self._book = book
        self._clock = clock
        self._unsettled: int | None = None
        self._knows_last = False
        self._failures = 0
        self.launched: dict[int, float] = {}
        """Wall time (s) of each launch of this process, by number."""
        self.may_launch_at = 0.0
        """Wall time (s) before which no launch should begin."""

    async def launch(self, listed: AbstractSet[int]) -> None:
        """Starts one instance, unless a refusal was too short ago.

        `listed`: numbers of the launches that the cloud lists. Raises CloudError where the result
        is unknown, and StoreError.
        """
        if self._clock.wall() < self.may_launch_at:
            return
        number = await self._number(listed)
        self._unsettled = number
        try:
            await self._cloud.launch(self._spec, number)
        except LaunchRefusedError as error:
            self._unsettled = None
            self.failed(f"launch {number} was refused: {error}")
            return
        except CloudError:
            self.may_launch_at = self._clock.wall() + pause_after(1)
            raise
        self._unsettled = None
        self.launched[number] = self._clock.wall()
        _logger.info("fleet %s: launch %d has begun", self._spec.name, number)

    def failed(self, reason: str) -> None:
        """Notes a launch that came to nothing; the next one waits longer."""
        self._failures += 1
        pause = pause_after(self._failures)
        self.may_launch_at = self._clock.wall() + pause
        _logger.warning("fleet %s: %s; next launch in %.0f s", self._spec.name, reason, pause)

    def succeeded(self) -> None:
        """Notes an instance that serves: launches need not wait any longer."""
        self._failures = 0

    async def _number(self, listed: AbstractSet[int]) -> int:
        if self._unsettled is not None and self._unsettled not in listed:
            return self._unsettled
        if not self._knows_last:
            self._knows_last = True
            last = await self._book.last_launch(self._spec.name)
            is_recent = self._clock.wall() - last < _ASKED_AGAIN_FOR  # numbers are times, nearly
            if is_recent and last not in listed:
                return last  # the controller that began it may have died before the cloud answered
        return await self._book.begin_launch(self._spec.name, self._clock.wall())
