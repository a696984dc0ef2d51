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
_STEADY = 60.0
"""Seconds after which a process that ends is not taken for one that always fails."""


class Running(Protocol):
    """The part of `SpeechProcess` that a supervisor uses."""

    async def wait(self) -> int: ...

    async def aclose(self) -> None: ...


class Supervisor:
    """Starts the speech process again whenever it ends, after a pause that doubles up to 30 s.

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
            return SpeechProcessError(f"it ended with status {await process.wait()}")
        finally:
            await process.aclose()


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
