"""How soon a caller hears the first word, and whether the reply is whole, when a server fails.

Two model servers in processes of their own: the first fails, the second is well, or fails too. Our
router, LiveKit's FallbackAdapter, LiteLLM's Router and pydantic-ai's FallbackModel answer the same
question side by side, each at servers of its own. The last two live in environments of their own,
which are made when they are missing.

    python -m bench.first_word --turns 6 --faults hang tail
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bench.first_word.added import Times, first_words
from bench.first_word.cases import CASES, FAULTS, HEALTHY, Case, strikes_both
from bench.first_word.contenders import CONTENDERS, Contender, Opens, bare_stream
from bench.first_word.goals import missed, missed_added
from bench.first_word.lane import python_of
from bench.first_word.page import Measured, added_table, case_table, versions_line, write
from bench.first_word.rounds import play
from bench.first_word.turn import Row
from bench.peers.fallback_adapter import fallback_adapter
from bench.peers.patchbay import patchbay
from bench.report.pulse import go_first, pulse
from bench.report.table import progress
from deploy.setup import report_failures

PAGE = Path(__file__).parents[2] / "docs" / "bench" / "first_word.md"
_ADDING: Sequence[tuple[str, Opens]] = (
    ("bare httpx2", bare_stream),
    ("Patchbay", patchbay),
    ("FallbackAdapter", fallback_adapter(5.0)),
)
_FEWEST_TURNS = 4  # the goals tell a router's first three hung turns from the rest


class _Results:
    """Rows as they come, each contender at its own pace; a fault's table is printed once all have
    met it.
    """

    def __init__(self, cases: Sequence[Case], contenders: Sequence[Contender]) -> None:
        self._places = {one.name: place for place, one in enumerate(contenders)}
        self._rows: dict[str, list[Row]] = {case.name: [] for case in cases}
        self._tell, self._known = progress(), 0

    def add(self, row: Row) -> None:
        of_case = self._rows[row.case.name]
        of_case.append(row)
        of_case.sort(key=lambda row: self._places[row.contender])
        self._known += 1
        self._tell("")
        if len(of_case) == len(self._places):
            also = ", the spare too" if row.case.strikes_both else ""
            print(f"{row.case.title}{also}\n{case_table(of_case)}\n", flush=True)
        self._tell(f"{self._known} of {len(self._places) * len(self._rows)} known")

    @property
    def rows(self) -> Sequence[Row]:
        return [row for of_case in self._rows.values() for row in of_case]


async def measure(
    cases: Sequence[Case], contenders: Sequence[Contender], turns: int, rounds: int
) -> Measured:
    """Prints each table as soon as it is known."""
    results, times, tell = _Results(cases, contenders), list[Times](), progress()
    async with pulse() as felt:
        met = await play(cases, contenders, turns, results.add)
        if rounds:
            times += await first_words(_ADDING, rounds, tell)
            tell("")
            print(f"time added to the first word when healthy\n{added_table(times)}\n")
    return Measured(results.rows, times, met, felt.longest_wait)


def shortfalls(found: Measured, *, required: bool) -> Sequence[str]:
    """The goals that this run missed, in words."""
    return [
        *(missed(found.rows) if required else []),
        *missed_added(found.times, required=required),
    ]


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [case.name for case in (HEALTHY, *FAULTS)]
    products = list(dict.fromkeys(contender.product for contender in CONTENDERS))
    parser.add_argument(
        "--turns", type=_at_least(_FEWEST_TURNS), default=60, metavar="N",
        help="turns of each contender with each fault (default: %(default)s, about half an hour)",
    )  # fmt: skip
    parser.add_argument(
        "--rounds", type=_at_least(0), default=200, metavar="N",
        help="first words that tell what is added when healthy (default: %(default)s; 0: none)",
    )  # fmt: skip
    parser.add_argument(
        "--faults", nargs="+", choices=names, default=names, metavar="FAULT",
        help=f"only these of: {', '.join(names)}",
    )  # fmt: skip
    parser.add_argument(
        "--spare-well", action="store_true", help="leave out the runs in which the spare fails too"
    )
    parser.add_argument(
        "--contenders", nargs="+", choices=products, default=products, metavar="NAME",
        help=f"only these of: {', '.join(map(repr, products))}",
    )  # fmt: skip
    parser.add_argument(
        "--realtime", action="store_true",
        help="go before everybody else on this machine (Linux, root): figures that can be trusted "
        "while it is busy",
    )  # fmt: skip
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} and its picture")
    parser.add_argument(
        "--check", action="store_true", help="exit with 1 if a required goal was missed"
    )
    chosen = parser.parse_args(words)
    everything = chosen.faults == names and chosen.contenders == products
    everything = everything and chosen.rounds and not chosen.spare_well
    if chosen.write and not everything:
        parser.error(
            "--write shows everything: leave out --faults, --contenders, --spare-well, --rounds 0"
        )
    return chosen


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if (value := int(text)) < least:
            raise argparse.ArgumentTypeError(f"{value} is below {least}")
        return value

    return number


def _chosen_cases(chosen: argparse.Namespace) -> Sequence[Case]:
    names = {*chosen.faults}
    if not chosen.spare_well:
        names |= {strikes_both(case).name for case in FAULTS if case.name in names}
    return [case for case in CASES if case.name in names]


def main() -> int:
    chosen = arguments()
    contenders = [one for one in CONTENDERS if one.product in chosen.contenders]
    return report_failures(lambda: _run(chosen, contenders))


def _run(chosen: argparse.Namespace, contenders: Sequence[Contender]) -> int:
    for environment in dict.fromkeys(one.environment for one in contenders):
        python_of(environment)  # made now, before anything is measured
    logging.disable(logging.CRITICAL)  # faults are what is wanted here
    if chosen.realtime:
        go_first()
    found = asyncio.run(measure(_chosen_cases(chosen), contenders, chosen.turns, chosen.rounds))
    found = replace(found, realtime=chosen.realtime)
    print(f"Measured with {versions_line(found.versions)}.")
    print(f"A busy machine kept this process waiting for up to {found.longest_wait:.2f} s.")
    if chosen.write:
        write(PAGE, found)
        print(f"written: {PAGE} and its pictures")
    for what in shortfalls(found, required=False):
        print(f"short of the aim: {what}")
    for what in (failures := shortfalls(found, required=True)):
        print(f"MISSED: {what}")
    return 1 if failures and chosen.check else 0


if __name__ == "__main__":
    sys.exit(main())
