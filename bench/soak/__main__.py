"""Measures whether a router holds no more after half an hour of faults than before.

Turns run at a steady rate through LiveKit's stream layer, with barge-ins and tool calls, over three
model servers in another process that fail at random and one that is never there. Samples are taken
of memory, tasks, sockets, threads and objects.

    python -m bench.soak --minutes 3

With --hostile, callers of healthy servers share the router with visitors who send the longest
prompts, to a server that floods: whether the others notice.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from livekit.agents import telemetry
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from bench.report.command import BenchParser, Progress, at_least, finish, terminal_progress
from bench.report.goals import Goal
from bench.report.page import Page
from bench.report.scheduling import use_realtime_priority
from bench.soak.calls import Load, connect_faulty, make_calls
from bench.soak.figures import make_goals
from bench.soak.hostile.calls import HostileCalls
from bench.soak.hostile.goals import HostileSoak, hostile_goals, most_held
from bench.soak.hostile.page import hostile_page
from bench.soak.measure import Traffic, measure
from bench.soak.page import make_page

_SERVERS = 3
_SHORTEST = 0.1
"""Minutes that give enough samples for a trend."""
_SHORTEST_HOSTILE = 0.2
"""Minutes that give turns with and without neighbours."""
_TRACES_EVERY = 1.0
"""Seconds for which spans wait to be sent; shorter than the rest after the traffic."""


class _DiscardSpans(SpanExporter):
    """Takes the place of a collector."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002  its base's
        return SpanExportResult.SUCCESS


def _trace_as_a_worker_does() -> None:
    provider = TracerProvider()
    provider.add_span_processor(
        BatchSpanProcessor(_DiscardSpans(), schedule_delay_millis=1000 * _TRACES_EVERY)
    )
    telemetry.set_tracer_provider(provider, allow_pii=False)


async def _soak(load: Load, progress: Progress) -> tuple[Page, Sequence[Goal]]:
    seeds = [f"{load.seed}/{place}" for place in range(_SERVERS)]
    traffic = Traffic(servers=[seeds], connect=connect_faulty, make_calls=make_calls)
    soak = await measure(traffic, load, progress)
    return make_page(soak), make_goals(soak)


async def _soak_beside_hostile(load: Load, progress: Progress) -> tuple[Page, Sequence[Goal]]:
    calls = HostileCalls()
    soak = await measure(calls.traffic, load, progress)
    run = HostileSoak(soak=soak, noticed=calls.noticed, most=most_held())
    return hostile_page(run), hostile_goals(run)


def _arguments() -> argparse.Namespace:
    parser = BenchParser("bench.soak", __doc__)
    parser.add_argument(
        "--hostile", action="store_true",
        help="measure healthy calls beside hostile visitors and servers instead",
    )  # fmt: skip
    parser.add_argument(
        "--minutes", type=at_least(_SHORTEST, float), default=5.0, metavar="M",
        help="minutes of measured traffic (default: %(default)g; the pages are made of 30, or of 10"
        " with --hostile)",
    )  # fmt: skip
    parser.add_argument(
        "--rate", type=at_least(0.01, float), default=5.0, metavar="N",
        help="turns a second (default: %(default)g)",
    )  # fmt: skip
    parser.add_number("--seed", 2026, "another seed draws other faults and other callers", least=0)
    parser.add_realtime()
    chosen = parser.parse_args()
    if not Path("/proc/self/statm").exists():
        parser.error("this bench reads /proc, which only Linux has")
    if chosen.hostile and chosen.minutes < _SHORTEST_HOSTILE:
        parser.error(f"--hostile needs --minutes {_SHORTEST_HOSTILE} or more")
    return chosen


def main() -> int:
    chosen = _arguments()
    if chosen.realtime:
        use_realtime_priority()
    for name in ("livekit", "llm_router"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # faults are intended here
    _trace_as_a_worker_does()
    load = Load(seconds=60 * chosen.minutes, rate=chosen.rate, seed=chosen.seed)
    print(f"{load}; to repeat it: --seed {load.seed}", flush=True)
    progress = terminal_progress()
    run = _soak_beside_hostile if chosen.hostile else _soak
    page, goals = asyncio.run(run(load, progress))
    progress("")
    print(page.text)
    return finish(chosen, lambda: page, goals)


if __name__ == "__main__":
    sys.exit(main())
