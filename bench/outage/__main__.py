"""Simulates a day in which everything goes wrong, for the router and for its peers.

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
from bench.outage.page import Run, days_table, make_page
from bench.outage.saved_days import SavedDays
from bench.outage.simulation import Figures, simulate
from bench.report.command import BenchParser, finish, terminal_progress

_PROGRESS_INTERVAL = 2.0  # s


class _CountedDay(Day):
    """A day that counts the questions that were asked."""

    counter: "Synchronized[int]"
    """The count of all days in all processes."""
    _STEP = 500

    @classmethod
    def begin(cls, counter: "Synchronized[int]") -> None:
        """Prepares a process, which gives way to all others because it runs for long."""
        os.nice(10)
        cls.counter = counter

    def questions(self) -> Iterator[Question]:
        for question in super().questions():
            yield question
            if (question.number + 1) % self._STEP == 0:
                with self.counter.get_lock():
                    self.counter.value += self._STEP


def measure(name: str, replies: int, seed: int) -> Figures:
    return simulate(name, CONTENDERS[name], _CountedDay(replies, seed), SwiftClock())


def measure_all(
    names: Sequence[str], replies: int, seed: int, processes: int, saved: SavedDays | None
) -> list[Figures]:
    """Returns the days in the order of the names. Saved days are not simulated again."""
    found = {name: day for name in names if saved and (day := saved.find(name, replies))}
    counter = get_context().Value("Q")
    with ProcessPoolExecutor(processes, initializer=_CountedDay.begin, initargs=(counter,)) as pool:
        days = {
            pool.submit(measure, name, replies, seed): name for name in names if name not in found
        }
        for ended in _as_they_end(days, lambda: counter.value / (len(days) * replies)):
            day = found[days[ended]] = ended.result()
            if saved:
                saved.save(day)
    return [found[name] for name in names]


def _as_they_end(
    days: Collection[Future[Figures]], done: Callable[[], float]
) -> Iterator[Future[Figures]]:
    """Yields each day when it has ended. Shows the progress meanwhile."""
    progress = terminal_progress()
    began = monotonic()
    running = set(days)
    while running:
        ended, running = wait(running, _PROGRESS_INTERVAL, FIRST_COMPLETED)
        share = done()
        left = (
            f", about {(monotonic() - began) * (1 / share - 1) / 60:.0f} min left" if share else ""
        )
        progress(f"{share:.0%}; {len(days) - len(running)} of {len(days)} days have ended{left}")
        yield from ended
    progress("")


def _arguments() -> argparse.Namespace:
    parser = BenchParser("bench.outage", __doc__, has_goals=False)
    parser.add_number(
        "--replies", 20_000, "replies in the day, enough for rare events; about 5 minutes",
        least=10_000,
    )  # fmt: skip
    parser.add_number("--seed", 1, "another seed is another day", least=0)
    parser.add_number("--processes", 2, "processes side by side")
    parser.add_choice("--contenders", list(CONTENDERS))
    parser.add_argument(
        "--save", type=Path, metavar="FOLDER",
        help="save each finished day there, and simulate none that is there already; the page "
        "takes contenders that are not named in --contenders from it, and the longest day of each",
    )  # fmt: skip
    chosen = parser.parse_args()
    if chosen.write and not chosen.save and chosen.contenders != list(CONTENDERS):
        parser.error("--write shows everything: leave out --contenders, or --save the others")
    return chosen


def main() -> int:
    chosen = _arguments()
    saved = SavedDays(chosen.save, chosen.seed) if chosen.save else None
    days = measure_all(chosen.contenders, chosen.replies, chosen.seed, chosen.processes, saved)
    print(days_table(days).text)
    return finish(chosen, lambda: make_page(Run(_days_of_page(days, saved), chosen.seed)))


def _days_of_page(days: Sequence[Figures], saved: SavedDays | None) -> Sequence[Figures]:
    """Returns the longest saved day of each contender, or the days of this run if none are saved.

    Exits with advice if a contender has no saved day.
    """
    if not saved:
        return days
    longest = {name: saved.longest(name) for name in CONTENDERS}
    if missing := [name for name, day in longest.items() if day is None]:
        sys.exit(f"not written: no day of {', '.join(missing)} is saved; run --contenders for it")
    return [day for day in longest.values() if day]


if __name__ == "__main__":
    sys.exit(main())
