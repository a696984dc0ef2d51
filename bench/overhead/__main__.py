"""What the router costs while all is well: on the way of a reply, in deciding, and in memory.

python -m bench.overhead --rounds 100
"""

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from bench.overhead.deciding import bytes_of_an_endpoint, choosing, recording
from bench.overhead.page import Figures, goals, micro, tables, write
from bench.overhead.streaming import bytes_of_a_reply, costs, crowds
from bench.report.table import progress

PAGE = Path(__file__).parents[2] / "docs" / "bench" / "overhead.md"
_FEWEST_ROUNDS = 20


def measure(rounds: int) -> Figures:
    tell = progress()
    found = Figures(
        costs=asyncio.run(costs(rounds, tell)),
        crowds=asyncio.run(crowds(tell)),
        choosing=choosing(rounds, tell),
        recording=recording(10 * rounds),
        endpoint_bytes=bytes_of_an_endpoint(),
        reply_bytes=asyncio.run(bytes_of_a_reply()),
    )
    tell("")
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rounds", type=int, default=400, metavar="N",
        help="first words of each contender, choices of each policy (default: %(default)s, "
        "about 3 minutes)",
    )  # fmt: skip
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} and its picture")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a goal was missed")
    chosen = parser.parse_args()
    if chosen.rounds < _FEWEST_ROUNDS:
        parser.error(f"--rounds {chosen.rounds} is below {_FEWEST_ROUNDS}")
    return chosen


def main() -> int:
    chosen = _arguments()
    logging.getLogger("llm_router").setLevel(logging.CRITICAL)
    found = measure(chosen.rounds)
    print(tables(found))
    if chosen.write:
        write(PAGE, found)
        print(f"written: {PAGE} and its picture")
    missed = [goal for goal in goals(found) if not goal.is_met]
    for goal in missed:
        print(f"MISSED: {goal.says}: {micro(goal.measured)} µs, not {micro(goal.limit)} µs")
    return 1 if missed and chosen.check else 0


if __name__ == "__main__":
    sys.exit(main())
