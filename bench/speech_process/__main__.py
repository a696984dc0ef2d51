"""Measures what it saves that all calls of a worker share one speech process: memory of 1, 5 and
10 calls, and the waits of callers who speak at the same time, with shared models and without.

    python -m bench.speech_process --seconds 120

It needs the models of set-up and Linux.
"""

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.report.command import BenchParser, Progress, finish, terminal_progress
from bench.report.page import Page
from bench.report.scheduling import use_realtime_priority
from bench.speech_process.callers import Waits, measure_waits
from bench.speech_process.memory import measure_memory
from bench.speech_process.page import make_page

_CALLS = (1, 5, 10)
_CALLERS = (1, 5)


async def measure(seconds: int, progress: Progress) -> Page:
    with TemporaryDirectory(prefix="patchbay-bench-") as name:
        folder = Path(name)
        waits: list[Waits] = []
        for shared in (True, False):
            for callers in _CALLERS:
                progress(f"{callers} at once, models {'shared' if shared else 'in each call'}")
                waits.append(await measure_waits(callers, seconds, folder, shared=shared))
        return make_page(await measure_memory(_CALLS, folder, progress), waits)


def main() -> int:
    parser = BenchParser("bench.speech_process", __doc__, has_goals=False)
    parser.add_number("--seconds", 60, "length of each of four measurements of waits")
    parser.add_realtime()
    chosen = parser.parse_args()
    if chosen.realtime:
        use_realtime_priority()
    progress = terminal_progress()
    page = asyncio.run(measure(chosen.seconds, progress))
    progress("")
    print(page.text)
    return finish(chosen, lambda: page)


if __name__ == "__main__":
    sys.exit(main())
