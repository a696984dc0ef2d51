"""How long a caller waits for the agent's voice, and where the time goes.

A caller in a real room says recorded sentences; a model answers with its first token after 150 ms.
The wait runs from the last sound of the caller to the first sound of the agent that reaches them:
codecs, network and jitter buffers are in it. LiveKit's default settings and ours are measured in
one run, turn about, and so are ours with each setting taken away. Then the first of two model
servers fails in every way, at the first question of a call.

    python -m bench.voice --turns 4 --rounds 1 --variants stock ours
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.report.pulse import go_first, pulse
from bench.report.table import progress
from bench.voice.calls import exchange, measure
from bench.voice.failing import measure_failing, missed_failing
from bench.voice.page import Measured, failing_table, waits_table, ways_table, write
from bench.voice.recording import record
from bench.voice.turns import Row, missed
from bench.voice.variants import NAMES, OURS, VARIANTS, Variant
from deploy.console import ReportedError
from deploy.supervisor import ServiceError

PAGE = Path(__file__).parents[2] / "docs" / "bench" / "voice_turn.md"
_RECORDED = 3  # turns


async def run(
    variants: Sequence[Variant], chosen: argparse.Namespace, *, recorded: bool
) -> Measured:
    """The turns of each variant, those with a failing model, and at wish a further call of ours
    that counts for nothing.
    """
    this = asyncio.current_task()
    assert this is not None
    # What was started is also stopped when this program is.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    tell = progress()
    tell("starting the LiveKit server and the worker")
    busy = os.getloadavg()[0]
    async with exchange() as at, pulse() as felt:
        heard = await measure(at, variants, chosen.turns, chosen.rounds, tell)
        failing = await measure_failing(at, chosen.failing_turns, tell)
        tell("recording")
        recording = await record(at, OURS, _RECORDED) if recorded else None
    tell("")
    return Measured(
        rows=[Row(variant=one, turns=heard[one.name]) for one in variants],
        failing=failing,
        recording=recording,
        load=(busy, os.getloadavg()[0]),
        longest_wait=felt.longest_wait,
        realtime=chosen.realtime,
    )


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--turns", type=_positive, default=8, metavar="N",
        help="turns of each variant (default: %(default)s, about 9 minutes with all variants)",
    )  # fmt: skip
    parser.add_argument(
        "--rounds", type=_positive, default=3, metavar="N",
        help="rounds to spread them over; in each, every variant has a call (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--variants", nargs="+", choices=NAMES, default=NAMES, metavar="NAME",
        help=f"only these of: {', '.join(NAMES)}",
    )  # fmt: skip
    parser.add_argument(
        "--failing-turns", type=_not_negative, default=3, metavar="N",
        help="turns of ours for each way in which a model fails, and about half as many of "
        "LiveKit's (default: %(default)s, about 10 minutes; 0: none)",
    )  # fmt: skip
    parser.add_argument(
        "--record", type=Path, metavar="FILE",
        help="save one more call of ours as WAV: left the caller, right the agent",
    )  # fmt: skip
    parser.add_argument(
        "--realtime", action="store_true",
        help="go before everybody else on this machine (Linux, root): figures that can be trusted "
        "while it is busy",
    )  # fmt: skip
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} and its picture")
    parser.add_argument(
        "--check", action="store_true", help="exit with 1 if ours makes a caller wait too long"
    )
    chosen = parser.parse_args(words)
    if chosen.write and set(chosen.variants) != set(NAMES):
        parser.error("--write shows everything: leave out --variants")
    if chosen.write and not chosen.failing_turns:
        parser.error("--write shows everything: leave out --failing-turns 0")
    if chosen.check and OURS.name not in chosen.variants:
        parser.error(f"--check judges {OURS.name!r}: name it in --variants")
    return chosen


def _not_negative(text: str) -> int:
    return 0 if text == "0" else _positive(text)


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{value} is below 1")
    return value


def main() -> int:
    chosen = arguments()
    variants = [one for one in VARIANTS if one.name in chosen.variants]
    if chosen.realtime:
        go_first()
    wanted = bool(chosen.write or chosen.record)
    try:
        found = asyncio.run(run(variants, chosen, recorded=wanted))
    except ReportedError as failure:
        print(failure.report(), file=sys.stderr)
        return 2
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 2
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("Stopped; nothing was written.", file=sys.stderr)
        return 130
    print(f"{waits_table(found.rows)}\n\n{ways_table(found.rows)}")
    if found.failing:
        print(
            f"\nOurs, and LiveKit's defaults with FallbackAdapter:\n{failing_table(found.failing)}"
        )
    print(f"A busy machine kept the caller waiting for up to {found.longest_wait:.2f} s.")
    if found.recording and chosen.record:
        found.recording.save(chosen.record)
        print(f"recorded: {chosen.record}")
    if chosen.write:
        write(PAGE, found)
        print(f"written: {PAGE} and its picture")
    shortfalls = [what for row in found.rows if row.variant == OURS for what in missed(row)]
    shortfalls += missed_failing(found.failing)
    for what in shortfalls:
        print(f"MISSED: {what}")
    return 1 if shortfalls and chosen.check else 0


if __name__ == "__main__":
    sys.exit(main())
