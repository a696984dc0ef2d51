"""How soon a caller hears the first word, and whether the reply is whole, when a server fails.

Two model servers in processes of their own: the first fails, the second is well. Our router
and LiveKit's FallbackAdapter answer the same question side by side, each at servers of its own.

    python bench/first_word.py --turns 5 --faults hang tail
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench._added import Times, first_words
from bench._cases import CASES, Case
from bench._contenders import (
    CONTENDERS,
    Contender,
    Opens,
    bare_stream,
    fallback_adapter,
    patchbay,
)
from bench._first_word_page import Measured, added_table, case_table, write
from bench._goals import missed, missed_added
from bench._pulse import go_first, pulse
from bench._rounds import lanes, play
from bench._table import Progress, progress
from bench._turn import Row

PAGE = Path(__file__).parent.parent / "docs" / "bench" / "first_word.md"
_ADDING: Sequence[tuple[str, Opens]] = (
    ("bare httpx2", bare_stream),
    ("Patchbay", patchbay),
    ("FallbackAdapter", fallback_adapter(5.0)),
)
_FEWEST_TURNS = 4  # the goals tell a router's first three hung turns from the rest


async def measure(
    cases: Sequence[Case], contenders: Sequence[Contender], turns: int, rounds: int
) -> Measured:
    """Prints each table as soon as it is known."""
    tell, rows, times = progress(), list[Row](), list[Times]()
    async with pulse() as felt:
        async with lanes(contenders) as among:
            for number, case in enumerate(cases, 1):
                tell_of = partial(_tell, tell, f"fault {number} of {len(cases)}")
                of_case = await play(case, among, turns, tell_of)
                tell("")
                print(f"{case.title}\n{case_table(of_case)}\n", flush=True)
                rows += of_case
        if rounds:
            times += await first_words(_ADDING, rounds, tell)
            tell("")
            print(f"time added to the first word when healthy\n{added_table(times)}\n")
    return Measured(rows, times, felt.longest_wait)


def _tell(tell: Progress, where: str, said: str) -> None:
    tell(f"{where}, {said}")


def shortfalls(found: Measured, *, required: bool) -> Sequence[str]:
    """The goals that this run missed, in words."""
    return [
        *missed(found.rows, required=required),
        *missed_added(found.times, required=required),
    ]


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [case.name for case in CASES]
    products = list(dict.fromkeys(contender.product for contender in CONTENDERS))
    parser.add_argument(
        "--turns", type=_at_least(_FEWEST_TURNS), default=30, metavar="N",
        help="turns of each contender with each fault (default: %(default)s, about 20 minutes)",
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
    everything = chosen.faults == names and chosen.contenders == products and chosen.rounds
    if chosen.write and not everything:
        parser.error("--write shows everything: leave out --faults, --contenders and --rounds 0")
    return chosen


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if (value := int(text)) < least:
            raise argparse.ArgumentTypeError(f"{value} is below {least}")
        return value

    return number


def main() -> int:
    chosen = arguments()
    for talkative in ("livekit", "llm_router"):
        logging.getLogger(talkative).setLevel(logging.CRITICAL)  # faults are what is wanted here
    if chosen.realtime:
        go_first()
    cases = [case for case in CASES if case.name in chosen.faults]
    contenders = [one for one in CONTENDERS if one.product in chosen.contenders]
    found = asyncio.run(measure(cases, contenders, chosen.turns, chosen.rounds))
    print(f"A busy machine kept this process waiting for up to {found.longest_wait:.2f} s.")
    if chosen.write:
        write(PAGE, replace(found, realtime=chosen.realtime))
        print(f"written: {PAGE} and its picture")
    for what in shortfalls(found, required=False):
        print(f"short of the aim: {what}")
    for what in (failures := shortfalls(found, required=True)):
        print(f"MISSED: {what}")
    return 1 if failures and chosen.check else 0


if __name__ == "__main__":
    sys.exit(main())
