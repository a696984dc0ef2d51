"""Records usage in a process of its own: `-m tests.contracts.usage_writer URL`.

It records a reply every few milliseconds, and prints the number of attempts in the log each time it
has grown. At a line on its standard input it stops and prints how many there were in all.
"""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count

from llm_router.routing.events import AttemptEvent
from llm_router.store.usage import UsageLog, UsageRecord
from llm_router.telemetry.usage import UsageObserver
from tests.contracts.databases import opened
from tests.events import REPLY

_EVERY = 0.005
ATTEMPT = AttemptEvent(
    connection="cellar", connection_id="1", role="first", outcome="won", failure=None,
    first_word=0.25, duration=0.5, characters=12,
)  # fmt: skip


class PrintingLog:
    """The usage log, which prints how many attempts it has written."""

    def __init__(self, log: UsageLog) -> None:
        self._log = log
        self._written = 0

    async def append(self, attempts: Sequence[UsageRecord], *, again: bool = False) -> None:
        await self._log.append(attempts, again=again)
        self._written += len(attempts)
        print(self._written, flush=True)


async def main(url: str) -> None:
    async with opened(url) as database:
        observer = UsageObserver(PrintingLog(UsageLog(database)))
        observer.start()
        stop = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
        for recorded in count(1):
            observer.reply_ended(replace(REPLY, session_id=str(recorded), tries=[ATTEMPT]))
            with suppress(TimeoutError):
                async with asyncio.timeout(_EVERY):
                    await asyncio.shield(stop)
            if stop.done():
                break
        await observer.aclose()
        print(recorded, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
