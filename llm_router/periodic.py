"""Work that goes on beside everything else, for as long as the process lives."""

import logging
from collections.abc import Awaitable, Callable

from llm_router.clock import Clock
from llm_router.errors import StoreError

_logger = logging.getLogger("llm_router")


async def run_periodically(
    step: Callable[[], Awaitable[None]], clock: Clock, every: float, without: str
) -> None:
    """For ever. A database that is away is waited for; that is said once, as "`without` until it is
    back".
    """
    is_away = False
    while True:
        try:
            await step()
            is_away = False
        except StoreError as error:
            if not is_away:
                _logger.warning("%s until it is back: %s", without, error)
            is_away = True
        await clock.sleep(every)
