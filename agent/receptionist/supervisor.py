"""Runs the receptionist's process beside a worker, and starts it again when it ends."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from llm_router.clock import Clock
from llm_router.periodic import OutageLog, log_bug

COMMAND = (sys.executable, "-m", "agent.receptionist_process")
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0
_STEADY = 60.0
"""Seconds after which a process that ends is not taken for one that always fails."""
_TO_END = 5.0
"""Seconds in which it must end after its standard input was closed."""


class ReceptionistAwayError(Exception):
    """The receptionist's process has ended."""


@asynccontextmanager
async def receptionist(clock: Clock, command: Sequence[str] = COMMAND) -> AsyncIterator[None]:
    """Runs the process during the block."""
    running = asyncio.create_task(_run(clock, command), name="receptionist")
    running.add_done_callback(log_bug)
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait({running})


async def _run(clock: Clock, command: Sequence[str]) -> None:
    outage = OutageLog(
        "the receptionist is away, and callers without an agent hear nothing",
        "the receptionist is back",
    )
    pause = _FIRST_PAUSE
    while True:
        began = clock.now()
        try:
            status = await _run_once(command, outage)
            outage.failed(ReceptionistAwayError(f"it ended with status {status}"))
        except OSError as error:
            outage.failed(error)
        pause = _FIRST_PAUSE if clock.now() - began > _STEADY else pause
        await clock.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


async def _run_once(command: Sequence[str], outage: OutageLog) -> int:
    """Runs the process to its end, and returns its status. Cancelled, it ends the process."""
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE)
    try:
        outage.succeeded()
        return await process.wait()
    finally:
        if process.stdin:
            process.stdin.close()
        if process.returncode is None:
            try:
                async with asyncio.timeout(_TO_END):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
