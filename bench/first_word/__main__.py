"""Measures how soon a caller gets the first word when a server fails, and whether the reply is
whole.

Set two-servers: the first of two model servers fails; the second is healthy, or fails too. Our
router, LiveKit's FallbackAdapter, LiteLLM's Router and pydantic-ai's FallbackModel answer the same
question side by side, each at servers of its own. The last two live in environments of their own,
which are created if they are missing.

Set one-server: the only model server fails in three requests of ten. Our router is measured beside
LiveKit's OpenAI plugin with the retries of a voice session, alone and in a FallbackAdapter.

    python -m bench.first_word --turns 6 --faults hang tail
    python -m bench.first_word --set one-server --check
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace

from bench.first_word.added_time import Times, measure_first_words
from bench.first_word.cases import Case
from bench.first_word.contender_process import provide_python
from bench.first_word.contenders import Contender
from bench.first_word.goals import run_goals
from bench.first_word.page import Results, added_table
from bench.first_word.schedule import run_cases
from bench.first_word.sets import SETS, BenchSet
from bench.first_word.turn import Row
from bench.peers.bare_stream import bare_stream
from bench.peers.fallback_adapter import fallback_adapter
from bench.peers.patchbay import patchbay
from bench.peers.runner import OpenContender
from bench.report.command import BenchParser, at_least, finish, terminal_progress
from bench.report.page import list_versions
from bench.report.scheduling import use_realtime_priority, watch_scheduling_delay
from deploy.setup import report_failures

_ADDED_TIME: Sequence[tuple[str, OpenContender]] = (
    ("bare httpx2", bare_stream),
    ("Patchbay", patchbay),
    ("FallbackAdapter", fallback_adapter(5.0)),
)
_FEWEST_TURNS = 4
"""The goals treat the first three hung turns of a router apart from the rest."""


class _Printer:
    """Collects the rows and prints the table of a case once all contenders have met it."""

    def __init__(
        self, of: BenchSet, cases: Sequence[Case], contenders: Sequence[Contender]
    ) -> None:
        self._table = of.case_table
        self._order = {one.name: place for place, one in enumerate(contenders)}
        self._rows: dict[str, list[Row]] = {case.name: [] for case in cases}
        self._progress = terminal_progress()

    def add(self, row: Row) -> None:
        rows = self._rows[row.case.name]
        rows.append(row)
        rows.sort(key=lambda one: self._order[one.contender])
        self._progress("")
        if len(rows) == len(self._order):
            case = row.case
            also = ", the spare too" if case.strikes_both and case.spare == case.primary else ""
            print(f"{case.title}{also}\n{self._table(rows).text}\n", flush=True)
        self._progress(f"{len(self.rows)} of {len(self._order) * len(self._rows)} rows")

    @property
    def rows(self) -> Sequence[Row]:
        return [row for rows in self._rows.values() for row in rows]


async def measure(
    of: BenchSet, cases: Sequence[Case], contenders: Sequence[Contender], turns: int, rounds: int
) -> Results:
    """Prints each table as soon as it is complete."""
    printer = _Printer(of, cases, contenders)
    times: Sequence[Times] = []
    progress = terminal_progress()
    async with watch_scheduling_delay() as delay:
        versions = await run_cases(cases, contenders, of.callers, turns, printer.add)
        if rounds:
            times = await measure_first_words(_ADDED_TIME, rounds, progress)
            progress("")
            print(f"time added to the first word when healthy\n{added_table(times).text}\n")
    return Results(printer.rows, times, versions, delay.longest)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = BenchParser("bench.first_word", __doc__)
    names = _names(case.name for of in SETS.values() for case in of.cases if not case.strikes_both)
    products = _names(one.product for of in SETS.values() for one in of.contenders)
    parser.add_argument(
        "--set", choices=SETS, default=next(iter(SETS)), help="which set (default: %(default)s)"
    )
    usual = " or ".join(f"{of.turns} in {name}" for name, of in SETS.items())
    parser.add_argument(
        "--turns",
        type=at_least(_FEWEST_TURNS),
        metavar="N",
        help=f"turns of each contender with each fault (default: {usual}; half an hour or ten"
        " minutes)",
    )
    parser.add_number(
        "--rounds", 200, "first words to measure the time added when healthy", least=0
    )
    parser.add_choice("--faults", names)
    parser.add_choice("--contenders", products)
    parser.add_argument(
        "--healthy-spare", action="store_true", help="leave out the cases in which the spare fails"
    )
    parser.add_realtime()
    chosen = parser.parse_args(words)
    chosen.set = SETS[chosen.set]
    chosen.turns = chosen.turns or chosen.set.turns
    everything = chosen.faults == names and chosen.contenders == products
    if chosen.write and not (everything and chosen.rounds and not chosen.healthy_spare):
        parser.error(
            "--write shows everything: leave out --faults, --contenders, --healthy-spare, "
            "--rounds 0"
        )
    if not (_select_cases(chosen) and _select_contenders(chosen)):
        parser.error("this set has none of these faults, or of these contenders")
    return chosen


def _names(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _select_cases(chosen: argparse.Namespace) -> Sequence[Case]:
    names = {*chosen.faults}
    if not chosen.healthy_spare:
        names |= {f"{name}_both" for name in chosen.faults}
    return [case for case in chosen.set.cases if case.name in names]


def _select_contenders(chosen: argparse.Namespace) -> Sequence[Contender]:
    return [one for one in chosen.set.contenders if one.product in chosen.contenders]


def main() -> int:
    chosen = arguments()
    return report_failures(lambda: _run(chosen))


def _run(chosen: argparse.Namespace) -> int:
    of: BenchSet = chosen.set
    contenders = _select_contenders(chosen)
    for environment in dict.fromkeys(one.environment for one in contenders):
        provide_python(environment)  # created now, before the measuring begins
    logging.disable(logging.CRITICAL)  # faults are intended here
    if chosen.realtime:
        use_realtime_priority()
    rounds = chosen.rounds if of.adds_time else 0
    results = asyncio.run(measure(of, _select_cases(chosen), contenders, chosen.turns, rounds))
    results = replace(results, realtime=chosen.realtime)
    print(f"Measured with {list_versions(results.versions)}.")
    print(f"The machine held up this process for up to {results.delay:.2f} s.")
    reached = run_goals(results.rows, results.times, of.row_goals)
    return finish(chosen, lambda: of.make_page(results), reached)


if __name__ == "__main__":
    sys.exit(main())
