"""Measures the memory of call processes, with shared models and with models of their own."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.speech.process.child import SpeechProcess
from agent.speech.process.client import SOCKET
from bench.report.command import Progress
from bench.report.processes import Memory, memory_of
from bench.report.quantiles import median
from bench.speech_process.call import READY
from bench.speech_process.models import model_names


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryUse:
    """Memory of so many call processes. `speech`: of the speech process, None without one."""

    calls: Sequence[Memory]
    speech: Memory | None

    @property
    def per_call(self) -> float:
        """Megabytes that one more call takes."""
        return median([call.own for call in self.calls])

    @property
    def total(self) -> float:
        shares = [call.share for call in self.calls]
        return sum(shares) + (self.speech.share if self.speech else 0.0)


async def measure_memory(
    counts: Sequence[int], folder: Path, progress: Progress
) -> list[MemoryUse]:
    """Measures each number of call processes, first shared, then with models of their own."""
    process = await SpeechProcess.start(folder / "socket", model_names())
    os.environ[SOCKET] = str(folder / "socket")
    try:
        shared = _measure(counts, "shared", process.pid, progress)
    finally:
        await process.aclose()
        del os.environ[SOCKET]
    return [*shared, *_measure(counts, "own", None, progress)]


def _measure(
    counts: Sequence[int], models: str, speech: int | None, progress: Progress
) -> list[MemoryUse]:
    """Starts call processes one after another, and measures them at each of the numbers."""
    uses = []
    calls: list[subprocess.Popen[str]] = []
    try:
        while len(calls) < max(counts):
            calls.append(_start_call(models))
            progress(f"memory of {len(calls)} call processes, models: {models}")
            if len(calls) in counts:
                memory = [memory_of(call.pid) for call in calls]
                uses.append(MemoryUse(calls=memory, speech=memory_of(speech) if speech else None))
    finally:
        for call in calls:
            call.communicate()
    return uses


def _start_call(models: str) -> "subprocess.Popen[str]":
    """Starts a call process, which has transcribed and spoken once when this returns."""
    module = (sys.executable, "-m", "bench.speech_process.call", models)
    call = subprocess.Popen(module, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    line = call.stdout.readline() if call.stdout else ""
    if line.strip() != READY:
        call.communicate()
        raise RuntimeError("a call process of the bench ended early")
    return call
