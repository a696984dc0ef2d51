"""Runs the worker's speech process, and starts it again when it dies."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Protocol

from agent.speech.process.child import SpeechProcess, SpeechProcessError
from agent.speech.process.client import SOCKET
from llm_router.clock import Clock
from llm_router.periodic import OutageLog, log_bug

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_BETWEEN_CHECKS = 5.0
"""Seconds between an answer of the process and the next check that it still gives one."""
_STEADY = 60.0
"""Seconds after which a process that ends is not taken for one that always fails."""


class Running(Protocol):
    """The part of `SpeechProcess` that a supervisor uses."""

    async def wait(self) -> int: ...

    async def answers(self) -> bool: ...

    async def aclose(self) -> None: ...


class Supervisor:
    """Starts the speech process again whenever it ends, after a pause that doubles up to 30 s.

    One that leaves two checks in a row without an answer, for 10 s each, is ended.

    `start` starts it and returns once it listens, or raises SpeechProcessError or OSError.
    """

    def __init__(self, start: Callable[[], Awaitable[Running]], clock: Clock) -> None:
        self._start = start
        self._clock = clock
        self._outage = OutageLog(
            "the speech process is away, and the embedded engines take its place",
            "the speech process is back",
        )
        self._tried = asyncio.Event()

    async def tried(self) -> None:
        """Waits until the process has loaded its models or has failed for the first time."""
        await self._tried.wait()

    async def run(self) -> None:
        """Runs the process until this is cancelled, which ends the process."""
        pause = _FIRST_PAUSE
        while True:
            begin = self._clock.now()
            self._outage.failed(await self._run_once())
            self._tried.set()
            if self._clock.now() - begin > _STEADY:
                pause = _FIRST_PAUSE
            await self._clock.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _run_once(self) -> SpeechProcessError:
        """Runs the process until it ends, and returns why."""
        try:
            process = await self._start()
        except (SpeechProcessError, OSError) as error:
            return SpeechProcessError(str(error))
        try:
            self._tried.set()
            self._outage.succeeded()
            return SpeechProcessError(await self._end_of(process))
        finally:
            await process.aclose()

    async def _end_of(self, process: Running) -> str:
        """Waits until the process has ended or hangs, and says which."""
        ended = asyncio.create_task(process.wait())
        hanging = asyncio.create_task(self._hangs(process))
        try:
            await asyncio.wait({ended, hanging}, return_when=asyncio.FIRST_COMPLETED)
            return f"it ended with status {ended.result()}" if ended.done() else "it hangs"
        finally:
            for task in (ended, hanging):
                task.cancel()
            await asyncio.wait({ended, hanging})

    async def _hangs(self, process: Running) -> None:
        """Waits until the process twice in a row gives no answer."""
        unanswered = 0
        while unanswered < 2:  # noqa: PLR2004  once may be a busy machine
            await self._clock.sleep(_BETWEEN_CHECKS)
            unanswered = 0 if await process.answers() else unanswered + 1


@asynccontextmanager
async def worker_speech(
    models: Sequence[str], folder: Path, clock: Clock
) -> AsyncIterator[Supervisor | None]:
    """Runs the speech process of a worker during the block; none if it needs no models.

    Call processes that are started in the block find its socket, which is in `folder`.
    """
    if not models:
        yield None
        return
    socket = folder / "speech.socket"
    os.environ[SOCKET] = str(socket)
    supervisor = Supervisor(partial(SpeechProcess.start, socket, models), clock)
    running = asyncio.create_task(supervisor.run(), name="speech process")
    running.add_done_callback(log_bug)
    try:
        yield supervisor
    finally:
        del os.environ[SOCKET]
        running.cancel()
        await asyncio.wait({running})
