"""Measures calls by telephone over real SIP; about eleven minutes.

python -m bench.phone --calls 2 --crowd 3 --hellos 1 --deaths 1
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
_CROWDS = (3, 6)
"""Calls at once before the most, which show how many a machine carries."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = BenchParser("bench.phone", __doc__)
    parser.add_number("--calls", 10, "calls one after another")
    parser.add_number("--crowd", 10, "most calls at once, for a minute; fewer come before")
    parser.add_number("--hellos", 12, "calls out, each answered with a hello")
    parser.add_number("--deaths", 2, "deaths of each kind")
    chosen = parser.parse_args(arguments)
    progress = terminal_progress()
    crowds = [*(few for few in _CROWDS if few < chosen.crowd), chosen.crowd]
    single, many = asyncio.run(measure(chosen.calls, crowds, _LASTS, progress))
    hellos = asyncio.run(measure_hellos(chosen.hellos, progress))
    deaths = asyncio.run(measure_deaths(chosen.deaths, progress))
    progress("")
    figures = PhoneFigures(single=single, crowds=many, hellos=hellos, deaths=deaths)
    page = make_page(figures)
    print(page.text)
    return finish(chosen, lambda: page, phone_goals(figures))


if __name__ == "__main__":
    sys.exit(main())
