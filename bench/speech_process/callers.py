"""Lets callers speak and be answered at the same time, in real time, and measures their waits."""

import asyncio
import os
import random
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
from livekit.agents import APIStatusError
from numpy.typing import NDArray

from agent.speech.process.child import SpeechProcess
from agent.speech.process.client import SOCKET, SpeechClient
from agent.speech.process.models import RATE
from bench.report.processes import children, work_of
from bench.speech_process.call import CLIPS
from bench.speech_process.models import model_names
from tests.sounds.samples import read_sound

REPLY = (
    "Yes, we are open until seven this evening,",
    "and on Saturdays we open at nine in the morning.",
    "Would you like me to book a table for you?",
)
TURN = 4.0
"""Longest turn of a caller (s)."""
EVERY = 0.4
"""Seconds between requests for words while the caller speaks."""
MODEL = 0.15
"""Seconds from the caller's words to the model's."""
PAUSE = 0.5
"""Seconds from the end of the reply to the caller's next turn."""
_TIMEOUT = 30.0

Samples = NDArray[np.int16]


@dataclass(kw_only=True)
class Waits:
    """Seconds that callers waited. `text`: for the words of a turn after its end; `sound`: for the
    first sound of a reply after its text; `pauses`: silences within a reply, for lack of sound.
    """

    callers: int
    shared: bool
    text: list[float] = field(default_factory=list)
    sound: list[float] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    interim: int = 0
    refused: int = 0
    work: float = 0.0
    """Processor time of the speech processes (s)."""
    seconds: float = 0.0

    @property
    def both(self) -> list[float]:
        return [text + sound for text, sound in zip(self.text, self.sound, strict=True)]

    @property
    def calls_per_core(self) -> float:
        return self.callers * self.seconds / self.work


class _Caller:
    def __init__(self, waits: Waits, clips: Sequence[Samples], seed: int) -> None:
        self._waits = waits
        self._clips = clips
        self._random = random.Random(seed)
        self._recogniser, self._voice = map(SpeechClient, model_names())

    async def start(self) -> None:
        await self._recogniser.start()
        await self._voice.start()

    async def call(self, until: float) -> None:
        """Speaks and listens in turns until the time; begins at a moment of its own."""
        await asyncio.sleep(self._random.uniform(0, 2 * TURN))
        while perf_counter() < until:
            await self._speak(self._random.choice(self._clips))
            await asyncio.sleep(MODEL)
            await self._listen()
            await asyncio.sleep(PAUSE)

    async def aclose(self) -> None:
        await self._recogniser.aclose()
        await self._voice.aclose()

    async def _speak(self, clip: Samples) -> None:
        begin = perf_counter()
        end = begin + len(clip) / RATE
        while (now := perf_counter()) + EVERY < end:
            await asyncio.sleep(EVERY)
            so_far = clip[: int((perf_counter() - begin) * RATE)]
            self._waits.interim += 1
            try:
                await self._recogniser.transcribe(so_far, urgency="interim", timeout=_TIMEOUT)
            except APIStatusError:
                self._waits.refused += 1
        await asyncio.sleep(max(0.0, end - now))
        asked = perf_counter()
        await self._recogniser.transcribe(clip, timeout=_TIMEOUT)
        self._waits.text.append(perf_counter() - asked)

    async def _listen(self) -> None:
        asked = perf_counter()
        silent_at = 0.0
        for clause in REPLY:
            async with aclosing(self._voice.speak(clause, timeout=_TIMEOUT)) as sound:
                async for piece in sound:
                    now = perf_counter()
                    if not silent_at:
                        self._waits.sound.append(now - asked)
                        silent_at = now
                    elif now > silent_at:
                        self._waits.pauses.append(now - silent_at)
                        silent_at = now
                    silent_at += len(piece) / 2 / VOICE_RATE
        await asyncio.sleep(max(0.0, silent_at - perf_counter()))


VOICE_RATE = 22_050


async def measure_waits(callers: int, seconds: float, folder: Path, *, shared: bool) -> Waits:
    """Lets callers call for so many seconds, with one speech process or with one for each model of
    each caller.
    """
    waits = Waits(callers=callers, shared=shared)
    clips = [read_sound(file)[: int(TURN * RATE)] for file in sorted(CLIPS.glob("*.opus"))]
    process = None
    if shared:
        process = await SpeechProcess.start(folder / "socket", model_names())
        os.environ[SOCKET] = str(folder / "socket")
    calls = [_Caller(waits, clips, seed) for seed in range(callers)]
    try:
        for call in calls:
            await call.start()
        before = sum(map(work_of, children()))
        begin = perf_counter()
        await asyncio.gather(*(call.call(begin + seconds) for call in calls))
        waits.seconds = perf_counter() - begin
        waits.work = sum(map(work_of, children())) - before
    finally:
        for call in calls:
            await call.aclose()
        if process:
            await process.aclose()
            del os.environ[SOCKET]
    return waits
