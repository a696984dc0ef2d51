"""A process of its own that notes usage: the module, then URL.

It notes a reply every few milliseconds, and says how many attempts are in the log each time that
has grown. At a line on its standard input it stops, and says how many there were in all.
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


class Telling:
    """The log, which says aloud what it keeps."""

    def __init__(self, log: UsageLog) -> None:
        self._log, self._kept = log, 0

    async def append(self, attempts: Sequence[UsageRecord], *, again: bool = False) -> None:
        await self._log.append(attempts, again=again)
        self._kept += len(attempts)
        print(self._kept, flush=True)


async def main(url: str) -> None:
    async with opened(url) as database:
        observer = UsageObserver(Telling(UsageLog(database)))
        observer.start()
        stop = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
        for noted in count(1):
            observer.reply_ended(replace(REPLY, session_id=str(noted), tries=[ATTEMPT]))
            with suppress(TimeoutError):
                async with asyncio.timeout(_EVERY):
                    await asyncio.shield(stop)
            if stop.done():
                break
        await observer.aclose()
        print(noted, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
