"""Runs the gateways side by side at each number of streams."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from bench.gateway.contenders import CONTENDERS, Gateway
from bench.gateway.load import Stream, ask_often
from bench.gateway.model import GAP, WORDS, Model, model
from bench.gateway.usage import processor_seconds, resident_bytes
from bench.report.command import Progress
from bench.report.quantiles import quantile

ONE_IN = 100
"""Of so many streams one breaks, in every second run."""
PACED = 0.1
"""Seconds between two words in the run whose load a machine of two slow cores carries."""
_WARM_UP = 10
"""Streams that do not count, in which everything is imported and connected."""
_MEMORY_EVERY = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One gateway at one number of streams. Times in seconds, memory in bytes.

    `pace`: between two words. `is_breaking`: one stream in `ONE_IN` broke; so many did in all:
    `broken`. `work`: processor time of the gateway.
    """

    name: str
    callers: int
    pace: float = GAP
    is_breaking: bool
    streams: Sequence[Stream]
    broken: int
    work: float
    memory: float

    @property
    def whole(self) -> int:
        return sum(stream.is_whole for stream in self.streams)

    @property
    def words(self) -> int:
        return sum(stream.pieces for stream in self.streams)

    @property
    def per_core(self) -> float:
        """Streams of 64 words that one core carries in a second; 0 where none came."""
        carried = sum(len(stream.text.split()) for stream in self.streams) / len(WORDS)
        return carried / self.work if self.work else math.nan

    @property
    def fidelity(self) -> float:
        """Pieces that arrived for each word that did; 1: each came as it was sent."""
        words = sum(len(stream.text.split()) for stream in self.streams)
        return self.words / words if words else math.nan

    def gap(self, q: float) -> float:
        return quantile([gap for stream in self.streams for gap in stream.gaps] or [math.inf], q)

    def first_word(self, q: float) -> float:
        """Seconds to the first word; infinite for a stream without one."""
        return _quantile([s.first_word for s in self.streams], q)

    def way_in(self, q: float) -> float:
        """Seconds from a request to its arrival at the model server."""
        return _quantile([s.way_in for s in self.streams], q)

    def way_out(self, q: float) -> float:
        """Seconds from the model server's first word to its arrival."""
        return _quantile([s.way_out for s in self.streams], q)

    def ways(self, q: float) -> float:
        """Seconds of the first word that the model server did not take."""
        return _quantile([s.way_in + s.way_out for s in self.streams], q)


def _quantile(times: Sequence[float], q: float) -> float:
    return quantile([math.inf if math.isnan(time) else time for time in times], q)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """So many callers who begin replies for so many seconds, with a word each `pace` seconds."""

    callers: int
    seconds: float
    pace: float = GAP
    one_in: int = 0

    def __str__(self) -> str:
        breaks = f"one in {self.one_in} breaks" if self.one_in else "all is well"
        return f"{self.callers} streams, {1 / self.pace:.0f} words a second each, {breaks}"


async def measure(names: Sequence[str], loads: Sequence[Load], progress: Progress) -> list[Run]:
    """Measures the gateways in turn under each load; the first one changes from load to load."""
    runs = []
    async with _running(names) as (server, gateways):
        for name, gateway in gateways.items():
            progress(f"{name}: warming up")
            await server.break_one_in(3)
            await ask_often(gateway.target, _WARM_UP, 0.0, GAP)
        for number, load in enumerate(loads):
            for place in range(len(names)):
                name = names[(place + number) % len(names)]
                progress(f"{load}: {name}")
                runs.append(await _run(name, gateways[name], server, load))
    progress("")
    return runs


@asynccontextmanager
async def _running(names: Sequence[str]) -> AsyncIterator[tuple[Model, dict[str, Gateway]]]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(model())
        yield (
            server,
            {
                name: await stack.enter_async_context(CONTENDERS[name](server.addresses))
                for name in names
            },
        )


async def _run(name: str, gateway: Gateway, server: Model, load: Load) -> Run:
    await server.break_one_in(load.one_in, load.pace)
    pid = gateway.pid
    before = processor_seconds(pid) if pid else 0.0
    idle = resident_bytes(pid) if pid else 0
    watching = asyncio.create_task(_highest(pid)) if pid else None
    streams = await ask_often(gateway.target, load.callers, load.seconds, load.pace)
    highest = idle
    if watching:
        watching.cancel()
        highest = max(idle, await watching)
    return Run(
        name=name,
        callers=load.callers,
        pace=load.pace,
        is_breaking=bool(load.one_in),
        streams=streams,
        broken=await server.break_one_in(0),
        work=processor_seconds(pid) - before if pid else 0.0,
        memory=(highest - idle) / load.callers,
    )


async def _highest(pid: int) -> int:
    """Returns the most memory that the process had until this was cancelled."""
    highest = 0
    try:
        while True:
            highest = max(highest, resident_bytes(pid))
            await asyncio.sleep(_MEMORY_EVERY)
    except asyncio.CancelledError:
        return highest
