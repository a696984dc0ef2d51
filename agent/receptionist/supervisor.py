"""Runs the receptionist's process beside a worker, and starts it again when it ends."""

import asyncio
import multiprocessing
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess

from llm_router.clock import Clock
from llm_router.periodic import OutageLog, log_bug

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0
_STEADY = 60.0
"""Seconds after which a process that ends is not taken for one that always fails."""
_TO_END = 15.0
"""Seconds in which it must end after its connection was closed: callers get a last word."""

Work = Callable[[Connection], None]
"""The work of the process: it ends when nothing can come over the connection any more."""


class ReceptionistAwayError(Exception):
    """The receptionist's process has ended."""


@asynccontextmanager
async def receptionist(work: Work, clock: Clock) -> AsyncIterator[None]:
    """Runs the process during the block."""
    running = asyncio.create_task(_run(work, clock), name="receptionist")
    running.add_done_callback(log_bug)
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait({running})


async def _run(work: Work, clock: Clock) -> None:
    outage = OutageLog(
        "the receptionist is away, and callers without an agent hear nothing",
        "the receptionist is back",
    )
    pause = _FIRST_PAUSE
    while True:
        began = clock.now()
        try:
            status = await _run_once(work, outage)
            outage.failed(ReceptionistAwayError(f"it ended with status {status}"))
        except OSError as error:
            outage.failed(error)
        pause = _FIRST_PAUSE if clock.now() - began > _STEADY else pause
        await clock.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _context() -> ForkServerContext | SpawnContext:
    """Returns the way in which LiveKit starts call processes.

    That is its fork server, whose memory they share: it must have started before.
    """
    if sys.platform.startswith("linux"):
        return multiprocessing.get_context("forkserver")
    return multiprocessing.get_context("spawn")


async def _run_once(work: Work, outage: OutageLog) -> int | None:
    """Runs the process to its end, and returns its status. Cancelled, it ends the process."""
    context = _context()
    theirs, ours = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(theirs,), name="receptionist")
    try:
        await asyncio.to_thread(process.start)
        theirs.close()
        outage.succeeded()
        return await _end_of(process)
    finally:
        ours.close()
        if process.pid is not None:
            try:
                async with asyncio.timeout(_TO_END):
                    await _end_of(process)
            except TimeoutError:
                process.kill()
                await _end_of(process)


async def _end_of(process: BaseProcess) -> int | None:
    """Waits until the process has ended, and returns its status."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(process.sentinel, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(process.sentinel)
    process.join()
    return process.exitcode
