"""Measures what a call costs, what many workers ask of the store, and which part is full first.

Callers speak in real rooms, one more at a time, until answers come late: with our worker, and with
a bare LiveKit worker that has the same engines and the same model. Then fifty simulated workers
share a real PostgreSQL, and a simulation takes the measured figures to 100,000 calls. It takes
about six minutes, on a quiet machine with PostgreSQL 15, Redis and what `make setup` fetches.

    python -m bench.capacity --only store --workers 20
"""

import argparse
import asyncio
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench.capacity.figures import CapacityFigures, StoreFigures, capacity_goals
from bench.capacity.fleet import MOST_CONNECTIONS, Plan, measure_counters, measure_store
from bench.capacity.page import (
    costs_of,
    counters_table,
    make_page,
    needs_table,
    steps_table,
    stores_table,
    summary_table,
)
from bench.capacity.ramp import measure_ramps
from bench.capacity.saved import load, save
from bench.capacity.simulation import SIZES, Habits, Need, Peaks, Units, needs, simulate
from bench.report.command import BenchParser, Progress, finish, terminal_progress
from deploy.supervisor import ServiceError
from llm_router.testing import ManualClock
from tests.contracts.databases import running_postgres

_PARTS = ("calls", "store")
_SHARES = (0.2, 1.0)
"""Shares of the workers for which the store is measured."""
_STORE_SECONDS = 10.0
_CHANGES = 10
_COUNTER_SECONDS = 3.0
VERSIONS = Path("/usr/lib/postgresql")
"""The folder in which Debian installs PostgreSQL, which is not on PATH."""


def measure(chosen: argparse.Namespace, progress: Progress) -> CapacityFigures:
    """Measures the parts that were not measured before, and saves each where that was asked for."""
    figures = load(chosen.saved)
    if "calls" in chosen.only and not figures.ramps:
        ramps = asyncio.run(measure_ramps(chosen.calls, progress))
        figures = _saved(replace(figures, ramps=ramps), chosen.saved)
    if "store" in chosen.only and not figures.stores:
        stores = _measure_stores(chosen.workers, chosen.worker_calls, progress)
        counters = asyncio.run(measure_counters(_COUNTER_SECONDS, progress))
        figures = _saved(replace(figures, stores=stores, counters=counters), chosen.saved)
    return figures


def _measure_stores(workers: int, calls: int, progress: Progress) -> Sequence[StoreFigures]:
    sizes = sorted({max(1, round(workers * share)) for share in _SHARES})
    plans = [
        Plan(workers=size, calls=calls, seconds=_STORE_SECONDS, changes=_CHANGES) for size in sizes
    ]
    with running_postgres(f"max_connections={MOST_CONNECTIONS}") as server:
        return [asyncio.run(measure_store(server, plan, progress)) for plan in plans]


def _saved(figures: CapacityFigures, file: Path | None) -> CapacityFigures:
    if file:
        save(figures, file)
    return figures


def project(
    figures: CapacityFigures, progress: Progress, sizes: Sequence[int] = SIZES
) -> Mapping[int, tuple[Peaks, Sequence[Need]]]:
    """Simulates each size, and returns its peaks and what they need."""
    found = {}
    for size in sizes:
        progress(f"simulation of {size:,} calls")
        clock = ManualClock()
        peaks = clock.run(simulate(size, Habits(), clock))
        found[size] = peaks, needs(peaks, costs_of(figures), Units())
    return found


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = BenchParser("bench.capacity", __doc__)
    parser.add_choice("--only", _PARTS)
    parser.add_number("--calls", 12, "calls at once at most")
    parser.add_number("--workers", 50, "simulated workers")
    parser.add_number("--worker-calls", 1, "calls of each of them")
    parser.add_argument(
        "--saved", type=Path, metavar="FILE",
        help="store what is measured in this file; what is in it already is not measured again",
    )  # fmt: skip
    chosen = parser.parse_args(words)
    if chosen.write and set(chosen.only) != set(_PARTS):
        parser.error("--write shows everything: leave out --only")
    held = chosen.workers * (2 + 2 * chosen.worker_calls)
    if held > MOST_CONNECTIONS - 20:
        parser.error(f"so many workers hold {held} connections to PostgreSQL: name fewer")
    for program, advice in _missing(chosen.only):
        parser.error(f"{program} is not there: {advice}")
    return chosen


def _missing(parts: Sequence[str]) -> list[tuple[str, str]]:
    if "store" not in parts:
        return []
    missing = []
    if not shutil.which("initdb") and not any(VERSIONS.glob("*/bin/initdb")):
        missing.append(("PostgreSQL", "install 15 or newer (Debian: postgresql), or --only calls"))
    if not shutil.which("redis-server"):
        missing.append(("Redis", "install it (Debian: redis-server), or --only calls"))
    return missing


def main() -> int:
    chosen = arguments()
    progress = terminal_progress()
    try:
        figures = measure(chosen, progress)
        sizes = project(figures, progress) if figures.ramps and figures.stores else {}
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 2
    except TimeoutError:
        print(
            "The simulated workers take more than this machine has: name fewer with --workers.",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("Stopped; nothing was written.", file=sys.stderr)
        return 130
    progress("")
    _show(figures, sizes)
    return finish(chosen, lambda: make_page(figures, sizes), capacity_goals(figures))


def _show(figures: CapacityFigures, sizes: Mapping[int, tuple[Peaks, Sequence[Need]]]) -> None:
    if figures.ramps:
        print(summary_table(figures.ramps).text)
    for ramp in figures.ramps:
        print(f"\n{ramp.title}\n{steps_table(ramp).text}")
    if figures.stores:
        print(f"\n{stores_table(figures.stores).text}\n\n{counters_table(figures.counters).text}")
    if sizes:
        print(f"\n{needs_table(sizes).text}")


if __name__ == "__main__":
    sys.exit(main())
