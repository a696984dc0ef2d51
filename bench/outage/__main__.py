"""A day with everything that can go wrong, in simulated time, for the router and for its peers.

The router is the real one, on a clock that jumps; servers and callers are drawn from a seed.

python -m bench.outage --replies 50000
"""

import argparse
import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from time import monotonic

from bench.outage.clock import SwiftClock
from bench.outage.contenders import CONTENDERS
from bench.outage.day import Day, Question
from bench.outage.page import Run, table, write
from bench.outage.saved_days import Kept
from bench.outage.stage import Figures, play
from bench.report.table import progress

PAGE = Path(__file__).parents[2] / "docs" / "bench" / "outage.md"
_LOOK_EVERY = 2.0
"""Seconds between two looks at how far the days are."""


class _CountedDay(Day):
    """A day that tells how many of its questions were asked."""

    asked: "Synchronized[int]"
    """In all days of all processes."""
    _EACH = 500

    @classmethod
    def begin(cls, asked: "Synchronized[int]") -> None:
        """Once in each process. It takes long, so whoever else needs the machine goes first."""
        os.nice(10)
        cls.asked = asked

    def questions(self) -> Iterator[Question]:
        for question in super().questions():
            yield question
            if (question.number + 1) % self._EACH == 0:
                with self.asked.get_lock():
                    self.asked.value += self._EACH


def measure(name: str, replies: int, seed: int) -> Figures:
    return play(name, CONTENDERS[name], _CountedDay(replies, seed), SwiftClock())


def measure_all(
    names: Sequence[str], replies: int, seed: int, processes: int, kept: Kept | None
) -> list[Figures]:
    """In the order of the names; those that are kept are not played again."""
    found = {name: one for name in names if kept and (one := kept.find(name, replies))}
    asked = get_context().Value("Q")
    with ProcessPoolExecutor(processes, initializer=_CountedDay.begin, initargs=(asked,)) as pool:
        days = {
            pool.submit(measure, name, replies, seed): name for name in names if name not in found
        }
        for ended in _as_they_end(days, lambda: asked.value / (len(days) * replies)):
            day = found[days[ended]] = ended.result()
            if kept:
                kept.put(day)
    return [found[name] for name in names]


def _as_they_end(
    days: Collection[Future[Figures]], done: Callable[[], float]
) -> Iterator[Future[Figures]]:
    """Each day when it is over; meanwhile, how far they are."""
    tell, began, open_ = progress(), monotonic(), set(days)
    while open_:
        ended, open_ = wait(open_, _LOOK_EVERY, FIRST_COMPLETED)
        share = done()
        left = (
            f", about {(monotonic() - began) * (1 / share - 1) / 60:.0f} min left" if share else ""
        )
        tell(f"{share:.0%}; {len(days) - len(open_)} of {len(days)} days are over{left}")
        yield from ended
    tell("")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--replies", type=int, default=20_000, metavar="N",
        help="in the day (default: %(default)s, about 5 minutes)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, help="another day (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=2, help="side by side (default: 2)")
    parser.add_argument(
        "--contenders", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS),
        metavar="NAME",
        help="only these of: " + ", ".join(map(repr, CONTENDERS)).replace("%", "%%"),
    )  # fmt: skip
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER",
        help="keep each day there when it is over, and play none that is there already; "
        "the page takes those not named in --contenders from it, and the longest of each",
    )  # fmt: skip
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} and its picture")
    chosen = parser.parse_args()
    if chosen.replies < 10_000:
        parser.error(
            f"--replies {chosen.replies} is below 10000: too few for the rare kinds of luck"
        )
    if chosen.write and not chosen.keep and chosen.contenders != list(CONTENDERS):
        parser.error("--write shows everything: leave out --contenders, or --keep the others")
    return chosen


def main() -> int:
    chosen = _arguments()
    kept = Kept(chosen.keep, chosen.seed) if chosen.keep else None
    found = measure_all(chosen.contenders, chosen.replies, chosen.seed, chosen.processes, kept)
    print(table(found))
    if chosen.write:
        days = [kept.longest(name) for name in CONTENDERS] if kept else found
        if missing := [name for name, day in zip(CONTENDERS, days, strict=True) if day is None]:
            sys.exit(f"not written: no day of {', '.join(missing)} is in {chosen.keep}")
        write(PAGE, Run([day for day in days if day], chosen.seed))
        print(f"written: {PAGE} and its picture")
    return 0


if __name__ == "__main__":
    sys.exit(main())
