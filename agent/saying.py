"""Waits for the end of what an agent says."""

import asyncio
from contextlib import suppress

from livekit.agents.voice import SpeechHandle


async def wait_until_said(speech: SpeechHandle, within: float) -> None:
    """Returns once the caller has received all words, or after `within` seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            await speech.wait_for_playout()
