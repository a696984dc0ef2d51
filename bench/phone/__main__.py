"""Measures calls by telephone over real SIP; about eight minutes.

python -m bench.phone --calls 2 --crowd 3
"""

import asyncio
import sys
from collections.abc import Sequence

from bench.phone.calls import measure
from bench.phone.deaths import measure_deaths
from bench.phone.figures import PhoneFigures, phone_goals
from bench.phone.hellos import measure_hellos
from bench.phone.page import make_page
from bench.report.command import BenchParser, finish, terminal_progress

_LASTS = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = BenchParser("bench.phone", __doc__)
    parser.add_number("--calls", 10, "calls one after another")
    parser.add_number("--crowd", 10, "calls at once, for a minute")
    parser.add_number("--hellos", 12, "calls out, each answered with a hello")
    parser.add_number("--deaths", 2, "deaths of each kind")
    chosen = parser.parse_args(arguments)
    progress = terminal_progress()
    single, crowd = asyncio.run(measure(chosen.calls, chosen.crowd, _LASTS, progress))
    hellos = asyncio.run(measure_hellos(chosen.hellos, progress))
    deaths = asyncio.run(measure_deaths(chosen.deaths, progress))
    progress("")
    figures = PhoneFigures(single=single, crowd=crowd, hellos=hellos, deaths=deaths)
    page = make_page(figures)
    print(page.text)
    return finish(chosen, lambda: page, phone_goals(figures))


if __name__ == "__main__":
    sys.exit(main())
