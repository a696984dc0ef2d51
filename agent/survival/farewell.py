"""Starts the process that speaks to callers whom no agent can reach."""

import asyncio
import json
import os
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, field

from agent.survival.rescuer import Farewell

TASK = "PATCHBAY_GOODBYE"
"""Environment variable with the task of the process."""
_WITHIN = 30.0
"""Seconds for the whole of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """Where and how the goodbye is spoken."""

    url: str
    api_key: str
    api_secret: str = field(repr=False)
    language: str
    words: str


def farewell_by(voice: Voice) -> Farewell:
    """Makes the farewell, which a process speaks that is started for it."""

    async def speak(room: str, identity: str) -> None:
        if not voice.words:
            return
        task = json.dumps({**asdict(voice), "room": room, "identity": identity})
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agent.goodbye", env={**os.environ, TASK: task}
        )
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_WITHIN):
                    await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    return speak
