"""Measures whether a router holds no more after half an hour of faults than before.

Turns run at a steady rate through LiveKit's stream layer, with barge-ins and tool calls, over three
model servers in another process that fail at random and one that is never there. Samples are taken
of memory, tasks, sockets, threads and objects.

    python -m bench.soak --minutes 3
"""

import asyncio
import gc
import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from livekit.agents import telemetry
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from bench.report.command import BenchParser, Progress, at_least, finish, terminal_progress
from bench.soak.calls import Load, OutcomeCounter, WorkerProcess, make_calls
from bench.soak.figures import Idle, Sample, Soak, make_goals, take_sample
from bench.soak.page import make_page
from bench.soak.servers import SoakServers, start_servers
from llm_router.routing.router import Router

_SERVERS = 3
_SHORTEST = 0.1
"""Minutes that give enough samples for a trend."""
_SAMPLES = 240
_SHORTEST_INTERVAL = 0.5
"""Seconds between two samples, at least."""
_LONGEST_INTERVAL = 5.0
"""Seconds between two samples, at most."""
_REST = 3.0
"""Seconds until all background work has ended: a trial that lost is watched for two seconds at
most."""
_TRACES_EVERY = 1.0
"""Seconds for which spans wait to be sent; shorter than the rest."""

TakeSample = Callable[[], Awaitable[Sample]]


class _DiscardSpans(SpanExporter):
    """Takes the place of a collector."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002  its base's
        return SpanExportResult.SUCCESS


async def measure(load: Load, progress: Progress) -> Soak:
    """Measures the second router of this process, because the first creates everything that is
    created only once.
    """
    async with start_servers([f"{load.seed}/{place}" for place in range(_SERVERS)]) as servers:
        with TemporaryDirectory() as folder:
            async with aclosing(WorkerProcess(servers.base_urls, Path(folder))) as worker:
                async with worker.router(OutcomeCounter()) as router:
                    await make_calls(router, load.warm_up(), progress)
                return await _measure(worker, servers, load, progress)


async def _measure(
    worker: WorkerProcess, servers: SoakServers, load: Load, progress: Progress
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
            worker.router(counter), load, sample, progress
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
    progress: Progress,
) -> tuple[Sample, list[Sample], int, Sample]:
    """Takes samples of the idle router, in traffic (with the number of turns), and idle again.

    Leaves nothing of its own behind, so that any leftover is the router's.
    """
    async with opening as router:
        opened = await sample()
        samples, turns = await _measure_traffic(router, load, sample, progress)
        await asyncio.sleep(_REST)
        return opened, samples, turns, await sample()


async def _measure_traffic(
    router: Router, load: Load, sample: TakeSample, progress: Progress
) -> tuple[list[Sample], int]:
    interval = min(max(load.seconds / _SAMPLES, _SHORTEST_INTERVAL), _LONGEST_INTERVAL)
    calling = asyncio.create_task(make_calls(router, load, progress))
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


def _trace_as_a_worker_does() -> None:
    provider = TracerProvider()
    provider.add_span_processor(
        BatchSpanProcessor(_DiscardSpans(), schedule_delay_millis=1000 * _TRACES_EVERY)
    )
    telemetry.set_tracer_provider(provider, allow_pii=False)


def main() -> int:
    parser = BenchParser("bench.soak", __doc__)
    parser.add_argument(
        "--minutes", type=at_least(_SHORTEST, float), default=5.0, metavar="M",
        help="minutes of measured traffic (default: %(default)g; the page is made of 30)",
    )  # fmt: skip
    parser.add_argument(
        "--rate", type=at_least(0.01, float), default=5.0, metavar="N",
        help="turns a second (default: %(default)g)",
    )  # fmt: skip
    parser.add_number("--seed", 2026, "another seed draws other faults and other callers", least=0)
    chosen = parser.parse_args()
    if not Path("/proc/self/statm").exists():
        parser.error("this bench reads /proc, which only Linux has")
    for name in ("livekit", "llm_router"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # faults are intended here
    _trace_as_a_worker_does()
    load = Load(seconds=60 * chosen.minutes, rate=chosen.rate, seed=chosen.seed)
    print(f"{load}; to repeat it: --seed {load.seed}", flush=True)
    progress = terminal_progress()
    soak = asyncio.run(measure(load, progress))
    progress("")
    print(make_page(soak).text)
    return finish(chosen, lambda: make_page(soak), make_goals(soak))


if __name__ == "__main__":
    sys.exit(main())
