"""Samples what the process holds before, in and after the traffic of a router."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from bench.report.command import Progress
from bench.soak.calls import Load, OutcomeCounter, WorkerProcess
from bench.soak.figures import Idle, Sample, Soak, take_sample
from bench.soak.servers import SoakServers, start_servers
from llm_router import Connection
from llm_router.routing.router import Router

_SAMPLES = 240
_SHORTEST_INTERVAL = 0.5
"""Seconds between two samples, at least."""
_LONGEST_INTERVAL = 5.0
"""Seconds between two samples, at most."""
_REST = 3.0
"""Seconds until all background work has ended: a trial that lost is watched for two seconds at
most."""

TakeSample = Callable[[], Awaitable[Sample]]
MakeCalls = Callable[[Router], Coroutine[Any, Any, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """A kind of traffic. `servers`: the servers that it needs, a group for each process. `connect`:
    makes the connections from their addresses. `make_calls`: makes the turns of a load through a
    router and returns their number when the last has ended. `warm_up`: seconds of it, at least, in
    which everything is created that is created only once.
    """

    servers: Sequence[Sequence[str]]
    connect: Callable[[Sequence[str]], Sequence[Connection]]
    make_calls: Callable[[Router, Load, Progress], Coroutine[Any, Any, int]]
    policy: str | Mapping[str, str] = "latency"
    warm_up: float = 0.0


async def measure(traffic: Traffic, load: Load, progress: Progress) -> Soak:
    """Measures the second router of this process, because the first creates everything that is
    created only once.
    """
    async with start_servers(*traffic.servers) as servers:
        with TemporaryDirectory() as folder:
            connections = traffic.connect(servers.base_urls)
            worker = WorkerProcess(connections, traffic.policy, Path(folder))
            async with aclosing(worker):
                async with worker.router(OutcomeCounter()) as router:
                    await traffic.make_calls(router, load.warm_up(traffic.warm_up), progress)
                return await _measure(
                    worker, servers, load, lambda router: traffic.make_calls(router, load, progress)
                )


async def _measure(
    worker: WorkerProcess, servers: SoakServers, load: Load, make_calls: MakeCalls
) -> Soak:
    start = perf_counter()
    counter = OutcomeCounter()

    async def sample() -> Sample:
        return take_sample(perf_counter() - start, await servers.streams())

    await sample()  # the first one imports modules
    gc.collect()
    gc.freeze()
    try:
        before = await sample()
        opened, samples, turns, rested = await _measure_router(
            worker.router(counter), load, sample, make_calls
        )
        await asyncio.sleep(_SHORTEST_INTERVAL)
        after = await sample()
    finally:
        gc.unfreeze()
    return Soak(
        load=load,
        turns=turns,
        samples=samples,
        idle=Idle(closed=(before, after), open=(opened, rested)),
        attempts=counter.attempts,
        replies=counter.replies,
    )


async def _measure_router(
    opening: AbstractAsyncContextManager[Router],
    load: Load,
    sample: TakeSample,
    make_calls: MakeCalls,
) -> tuple[Sample, list[Sample], int, Sample]:
    """Takes samples of the idle router, in traffic (with the number of turns), and idle again.

    Leaves nothing of its own behind, so that any leftover is the router's.
    """
    async with opening as router:
        opened = await sample()
        samples, turns = await _measure_traffic(load, sample, make_calls(router))
        await asyncio.sleep(_REST)
        return opened, samples, turns, await sample()


async def _measure_traffic(
    load: Load, sample: TakeSample, calls: Coroutine[Any, Any, int]
) -> tuple[list[Sample], int]:
    interval = min(max(load.seconds / _SAMPLES, _SHORTEST_INTERVAL), _LONGEST_INTERVAL)
    calling = asyncio.create_task(calls)
    samples = []
    try:
        while not calling.done():
            await asyncio.wait({calling}, timeout=interval)
            samples.append(await sample())
    finally:
        calling.cancel()
        await asyncio.wait({calling})
    # The last ones were taken while no new turns began.
    return [one for one in samples if one.at <= load.seconds], calling.result()
