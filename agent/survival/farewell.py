"""Starts the process that speaks to callers whom no agent can reach."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field

from agent.survival.rescuer import Farewell

_logger = logging.getLogger("agent")

TASK = "PATCHBAY_GOODBYE"
"""Environment variable with the task of the process."""
_WITHIN = 30.0
"""Seconds for the whole of it, its turn included."""
_AT_A_TIME = 3
"""Goodbyes at a time: each loads a voice, and many calls may end at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """Where and how the goodbye is spoken."""

    url: str
    api_key: str
    api_secret: str = field(repr=False)
    language: str
    words: str


async def run_goodbye(task: str) -> None:
    """Runs the process that speaks one goodbye; it ends with this call."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent.goodbye", env={**os.environ, TASK: task}
    )
    try:
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def farewell_by(voice: Voice, run: Callable[[str], Awaitable[None]] = run_goodbye) -> Farewell:
    """Makes the farewell. `run` speaks what a task describes, a few of them at a time."""
    places = asyncio.Semaphore(_AT_A_TIME)

    async def speak(room: str, identity: str) -> None:
        if not voice.words:
            return
        task = json.dumps({**asdict(voice), "room": room, "identity": identity})
        try:
            async with asyncio.timeout(_WITHIN), places:
                await run(task)
        except TimeoutError:
            _logger.warning("the goodbye in room %s was not finished in time", room)
        except OSError as error:
            _logger.warning("no goodbye can be spoken in room %s: %s", room, error)

    return speak
