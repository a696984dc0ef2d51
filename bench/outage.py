"""A day with everything that can go wrong, in simulated time, for the router and for its peers.

The router is the real one, on a clock that jumps; servers and callers are drawn from a seed.

python bench/outage.py --replies 50000
"""

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from bench._outage_clock import SwiftClock
from bench._outage_contenders import CONTENDERS
from bench._outage_day import Day
from bench._outage_page import Run, table, write
from bench._outage_stage import Figures, play
from bench._table import progress

PAGE = Path(__file__).parent.parent / "docs" / "bench" / "outage.md"


def measure(name: str, replies: int, seed: int) -> Figures:
    return play(name, CONTENDERS[name], Day(replies, seed), SwiftClock())


def measure_all(names: Sequence[str], replies: int, seed: int, processes: int) -> list[Figures]:
    """In the order of the names. It takes long, so whoever else needs the machine goes first."""
    tell = progress()
    with ProcessPoolExecutor(processes, initializer=os.nice, initargs=(10,)) as pool:
        days = {pool.submit(measure, name, replies, seed): name for name in names}
        tell(f"{len(days)} days of {replies:,} replies")
        for number, day in enumerate(as_completed(days), 1):
            day.result()
            tell(f"{number} of {len(days)} days: {days[day]}")
    tell("")
    return [day.result() for day in days]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--replies", type=int, default=20_000, metavar="N",
        help="in the day (default: %(default)s, about 3 minutes; the page has 1000000)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, help="another day (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=2, help="side by side (default: 2)")
    parser.add_argument(
        "--contenders", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS),
        metavar="NAME",
        help="only these of: " + ", ".join(map(repr, CONTENDERS)).replace("%", "%%"),
    )  # fmt: skip
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} and its picture")
    chosen = parser.parse_args()
    if chosen.replies < 10_000:
        parser.error(
            f"--replies {chosen.replies} is below 10000: too few for the rare kinds of luck"
        )
    if chosen.write and chosen.contenders != list(CONTENDERS):
        parser.error("--write shows everything: leave out --contenders")
    return chosen


def main() -> int:
    chosen = _arguments()
    found = measure_all(chosen.contenders, chosen.replies, chosen.seed, chosen.processes)
    print(table(found))
    if chosen.write:
        write(PAGE, Run(found, chosen.replies, chosen.seed))
        print(f"written: {PAGE} and its picture")
    return 0


if __name__ == "__main__":
    sys.exit(main())
