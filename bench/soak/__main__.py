"""Whether a router that has survived half an hour of faults holds no more than it did before.

Turns at a steady rate through LiveKit's stream layer, with barge-ins and tool calls, over three
model servers in another process that fail by chance and one that is never there. Sampled on the
way: memory, tasks, sockets, threads, objects.

    python -m bench.soak --minutes 3
"""

import argparse
import asyncio
import gc
import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from livekit.agents import telemetry
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from bench.report.table import Progress, progress
from bench.soak.calls import House, Load, Tally, calls
from bench.soak.figures import Idle, Sample, Soak, goals, sample
from bench.soak.page import tables, write
from bench.soak.server import SoakServers, soak_servers
from llm_router.routing.router import Router

PAGE = Path(__file__).parents[2] / "docs" / "bench" / "soak.md"
_SERVERS = 3
_SHORTEST = 0.1
"""Minutes in which enough samples are taken to see a trend."""
_SAMPLES = 240
_SOONEST, _LATEST = 0.5, 5.0
"""Seconds from one sample to the next."""
_REST = 3.0
"""Seconds until nothing goes on in the background: a trial that lost is watched until it is late,
for two seconds at most."""
_TRACES_EVERY = 1.0
"""Seconds for which spans wait to be sent; the last are gone when the rest is over."""

Look = Callable[[], Awaitable[Sample]]


class _Nowhere(SpanExporter):
    """In place of a collector."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002  its base's
        return SpanExportResult.SUCCESS


async def soak(load: Load, tell: Progress) -> Soak:
    """Measures the second router of this process: the first makes all that is made but once."""
    async with soak_servers([f"{load.seed}/{place}" for place in range(_SERVERS)]) as servers:
        with TemporaryDirectory() as folder:
            async with aclosing(House(servers.base_urls, Path(folder))) as house:
                async with house.router(Tally()) as router:
                    await calls(router, load.warming_up(), tell)
                return await _measure(house, servers, load, tell)


async def _measure(house: House, servers: SoakServers, load: Load, tell: Progress) -> Soak:
    start, tally = perf_counter(), Tally()

    async def look() -> Sample:
        return sample(perf_counter() - start, await servers.streams())

    await look()  # the first imports something
    gc.collect()
    gc.freeze()
    try:
        before = await look()
        opened, samples, turns, rested = await _opened(house, load, tally, look, tell)
        await asyncio.sleep(_SOONEST)
        after = await look()
    finally:
        gc.unfreeze()
    return Soak(
        load=load,
        turns=turns,
        samples=samples,
        idle=Idle(closed=(before, after), open=(opened, rested)),
        attempts=tally.attempts,
        replies=tally.replies,
    )


async def _opened(
    house: House, load: Load, tally: Tally, look: Look, tell: Progress
) -> tuple[Sample, list[Sample], int, Sample]:
    """Idle, in traffic (with the number of turns), and idle again. Nothing here outlives it: what
    is found later, the router has left behind.
    """
    async with house.router(tally) as router:
        opened = await look()
        samples, turns = await _sampled(router, load, look, tell)
        await asyncio.sleep(_REST)
        return opened, samples, turns, await look()


async def _sampled(
    router: Router, load: Load, look: Look, tell: Progress
) -> tuple[list[Sample], int]:
    every = min(max(load.seconds / _SAMPLES, _SOONEST), _LATEST)
    calling = asyncio.create_task(calls(router, load, tell))
    samples = []
    try:
        while not calling.done():
            await asyncio.wait({calling}, timeout=every)
            samples.append(await look())
    finally:
        calling.cancel()
        await asyncio.wait({calling})
    # The last ones were taken while the turns ran out.
    return [one for one in samples if one.at <= load.seconds], calling.result()


def _trace_as_a_worker_does() -> None:
    provider = TracerProvider()
    provider.add_span_processor(
        BatchSpanProcessor(_Nowhere(), schedule_delay_millis=1000 * _TRACES_EVERY)
    )
    telemetry.set_tracer_provider(provider, allow_pii=False)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--minutes", type=float, default=5.0, metavar="M",
        help="of measured traffic (default: %(default)g; the page is made of 30)",
    )  # fmt: skip
    parser.add_argument(
        "--rate", type=float, default=5.0, metavar="N", help="turns a second (default: %(default)g)"
    )
    parser.add_argument(
        "--seed", type=int, default=2026, metavar="N",
        help="draws other faults and other callers (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} and its picture")
    parser.add_argument("--check", action="store_true", help="exit with 1 if something grew")
    chosen = parser.parse_args()
    if chosen.minutes < _SHORTEST or chosen.rate <= 0:
        parser.error(f"--minutes must be at least {_SHORTEST:g}, and --rate above 0")
    if not Path("/proc/self/statm").exists():
        parser.error("this bench reads /proc, which only Linux has")
    return chosen


def main() -> int:
    chosen = _arguments()
    for talkative in ("livekit", "llm_router"):
        logging.getLogger(talkative).setLevel(logging.CRITICAL)  # faults are what is wanted here
    _trace_as_a_worker_does()
    load = Load(seconds=60 * chosen.minutes, rate=chosen.rate, seed=chosen.seed)
    print(f"{load.says}; to see it again: --seed {load.seed}", flush=True)
    tell = progress()
    found = asyncio.run(soak(load, tell))
    tell("")
    print(tables(found))
    if chosen.write:
        write(PAGE, found)
        print(f"written: {PAGE} and its picture")
    missed = [goal for goal in goals(found) if not goal.is_met]
    for goal in missed:
        print(f"MISSED: {goal.says}: {goal.measured:.2f}, not {goal.limit:g}")
    return 1 if missed and chosen.check else 0


if __name__ == "__main__":
    sys.exit(main())
