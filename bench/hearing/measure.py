"""Measures one engine in a process of its own, so that its memory and work are its own."""

import asyncio
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

import psutil  # type: ignore[import-untyped]  # ships no types

from agent.speech.stt import STTOptions
from agent.stt import load
from bench.hearing.channels import Arrival
from bench.hearing.listening import Timing, transcribe, transcribe_in_real_time
from bench.hearing.words import WordErrors, compare
from bench.report.command import terminal_progress
from tests.sounds.samples import Samples

_TIME_LIMIT = 30.0
"""Seconds that an engine may take for a clip: on a busy machine a late word is late, not wrong."""
_AT_REST = 1.0
"""Seconds before memory and work are read, in which a process that is starting comes to rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcribed:
    """A clip, and the words that the engine gave out for it."""

    speaker: str
    channel: str
    text: str
    written: str

    @property
    def errors(self) -> WordErrors:
        return compare(self.text, self.written)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`clips`: for the words; `timed`: played in real time; `non_speech`: by name."""

    clips: Sequence[Arrival]
    timed: Sequence[Arrival] = ()
    non_speech: dict[str, Samples] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """All that was measured of one engine. `invented`: words for clips without speech, by name.
    `work`: seconds of a processor for a second of speech, in real time. `memory`: bytes that the
    engine took, its processes together.
    """

    engine: str
    transcribed: Sequence[Transcribed]
    timings: Sequence[Timing]
    invented: dict[str, str]
    work: float
    memory: float


def measure(engine: str, plan: Plan) -> Measured:
    """Measures an engine in a new process and in those that it starts.

    Raises ConfigurationError if the engine is not set up.
    """
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawning) as pool:
        return pool.submit(_measure_here, engine, plan).result()


def _measure_here(name: str, plan: Plan) -> Measured:
    return asyncio.run(_measure(name, plan))


async def _measure(name: str, plan: Plan) -> Measured:
    progress = terminal_progress()
    before = memory()
    engine = load(name, STTOptions(timeout=_TIME_LIMIT), fallback=False)
    engine.prewarm()
    try:
        warm_up = plan.clips[0]
        await transcribe(engine, warm_up.samples)
        transcribed = []
        for number, clip in enumerate(plan.clips, 1):
            progress(f"{name}: {number} of {len(plan.clips)} clips")
            written = await transcribe(engine, clip.samples)
            transcribed.append(
                Transcribed(
                    speaker=clip.speaker, channel=clip.channel, text=clip.text, written=written
                )
            )
        invented = {}
        for what, samples in plan.non_speech.items():
            progress(f"{name}: {what}")
            invented[what] = await transcribe(engine, samples)
        await asyncio.sleep(_AT_REST)
        worked = work()
        timings = []
        for number, clip in enumerate(plan.timed, 1):
            progress(f"{name}: {number} of {len(plan.timed)} clips in real time")
            timings.append(await transcribe_in_real_time(engine, clip))
        await asyncio.sleep(_AT_REST)
        seconds = sum(clip.seconds for clip in plan.timed)
        return Measured(
            engine=name,
            transcribed=transcribed,
            timings=timings,
            invented={what: text for what, text in invented.items() if text},
            work=(work() - worked) / seconds if seconds else 0.0,
            memory=memory() - before,
        )
    finally:
        progress("")
        await engine.aclose()


def _processes() -> list[psutil.Process]:
    this = psutil.Process()
    return [this, *this.children(recursive=True)]


def work() -> float:
    """Returns the seconds of a processor that this process and its children have taken."""
    times = [process.cpu_times() for process in _processes()]
    return float(sum(one.user + one.system for one in times))


def memory() -> float:
    """Returns the bytes of this process and its children. Where the system tells which pages they
    share, those count once.
    """
    infos = [process.memory_full_info() for process in _processes()]
    return float(sum(getattr(info, "pss", info.uss) for info in infos))
