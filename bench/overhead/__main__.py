"""Measures the cost of the router while all is well: in a reply, in choosing, and in memory.

python -m bench.overhead --rounds 100
"""

import asyncio
import logging
import sys

from bench.overhead.deciding import bytes_of_an_endpoint, measure_choosing, measure_recording
from bench.overhead.page import Figures, make_goals, make_page
from bench.overhead.streaming import bytes_of_a_reply, measure_costs, measure_crowds
from bench.report.command import BenchParser, finish, terminal_progress

_FEWEST_ROUNDS = 20


def measure(rounds: int) -> Figures:
    progress = terminal_progress()
    figures = Figures(
        costs=asyncio.run(measure_costs(rounds, progress)),
        crowds=asyncio.run(measure_crowds(progress)),
        choosing=measure_choosing(rounds, progress),
        recording=measure_recording(10 * rounds),
        endpoint_bytes=bytes_of_an_endpoint(),
        reply_bytes=asyncio.run(bytes_of_a_reply()),
    )
    progress("")
    return figures


def main() -> int:
    parser = BenchParser("bench.overhead", __doc__)
    parser.add_number(
        "--rounds", 400, "first words of each contender, choices of each policy; about 3 minutes",
        least=_FEWEST_ROUNDS,
    )  # fmt: skip
    chosen = parser.parse_args()
    logging.getLogger("llm_router").setLevel(logging.CRITICAL)
    figures = measure(chosen.rounds)
    print(make_page(figures).text)
    return finish(chosen, lambda: make_page(figures), make_goals(figures))


if __name__ == "__main__":
    sys.exit(main())
