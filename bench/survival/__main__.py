"""Measures what a caller notices when the agent of a call dies, hangs or is to leave.

A real livekit-server, workers, an HTTP process and scripted model servers; about ten minutes. It
starts and kills processes of its own alone.

    python -m bench.survival --only process tool --times 1
"""

import asyncio
import sys
from collections.abc import Sequence

from bench.report.command import BenchParser, finish, terminal_progress
from bench.survival.cases import CASES, measure
from bench.survival.figures import survival_goals
from bench.survival.page import make_page

_TIMES = 4


def main(arguments: Sequence[str] | None = None) -> int:
    parser = BenchParser("bench.survival", __doc__)
    deaths = "deaths of a call's process in each case; of a worker half as many, with all calls one"
    parser.add_number("--times", _TIMES, deaths)
    parser.add_choice("--only", list(CASES))
    chosen = parser.parse_args(arguments)
    progress = terminal_progress()
    rows = asyncio.run(measure(chosen.only, chosen.times, progress))
    progress("")
    page = make_page(rows)
    print(page.text)
    return finish(chosen, lambda: page, survival_goals(rows))


if __name__ == "__main__":
    sys.exit(main())
