"""Measures how long a caller waits for the agent's voice, and where the time goes.

A caller in a real room says recorded sentences; a model answers with its first token after 150 ms.
The wait runs from the last sound of the caller to the first sound of the agent that reaches the
caller: it includes codecs, network and jitter buffers. LiveKit's default settings and ours are
measured in one run, in turn, and so are ours with each setting taken away. Then the first of two
model servers fails in every way, at the first question of a call.

At last several callers speak at once. The machine must be quiet.

    python -m bench.voice --turns 4 --rounds 1 --variants stock ours
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.report.command import BenchParser, finish, terminal_progress
from bench.report.scheduling import watch_scheduling_delay
from bench.voice.calls import measure, open_exchange
from bench.voice.crowd import CALLERS, measure_crowd
from bench.voice.failing import measure_failing
from bench.voice.page import (
    Results,
    crowd_table,
    failing_table,
    make_page,
    stages_table,
    waits_table,
)
from bench.voice.recording import record
from bench.voice.turns import Row
from bench.voice.variants import NAMES, OURS, VARIANTS, Variant
from deploy.console import ReportedError
from deploy.supervisor import ServiceError

_RECORDED = 3  # turns


async def run(
    variants: Sequence[Variant], chosen: argparse.Namespace, *, recorded: bool
) -> Results:
    """Measures the turns of each variant and those with a failing model. `recorded`: also records
    one more call of ours, which is in no figure.
    """
    this = asyncio.current_task()
    assert this is not None
    # The servers and the worker are stopped, too, when this program is.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    progress = terminal_progress()
    progress("starting the LiveKit server and the worker")
    load = os.getloadavg()[0]
    async with open_exchange() as exchange, watch_scheduling_delay() as delay:
        turns = await measure(exchange, variants, chosen.turns, chosen.rounds, progress)
        failing = await measure_failing(exchange, chosen.failing_turns, progress)
        crowd = await measure_crowd(exchange, chosen.crowd_turns, progress)
        progress("recording")
        recording = await record(exchange, OURS, _RECORDED) if recorded else None
    progress("")
    return Results(
        rows=[Row(variant=one, turns=turns[one.name]) for one in variants],
        failing=failing,
        crowd=crowd,
        recording=recording,
        load=(load, os.getloadavg()[0]),
        delay=delay.longest,
    )


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = BenchParser("bench.voice", __doc__)
    parser.add_number("--turns", 8, "turns of each variant; about 9 minutes with all variants")
    parser.add_number(
        "--rounds", 3, "rounds over which they are spread; each has a call of every variant"
    )
    parser.add_choice("--variants", NAMES)
    parser.add_number(
        "--failing-turns", 3, "turns of ours with each way in which a model fails, and about half "
        "as many of LiveKit's; about 10 minutes; 0: none", least=0,
    )  # fmt: skip
    parser.add_number(
        "--crowd-turns", 3, f"turns of each of {CALLERS} callers, one at a time, then several at "
        "once; about 5 minutes; 0: none", least=0,
    )  # fmt: skip
    parser.add_argument(
        "--record", type=Path, metavar="FILE",
        help="save one more call of ours as WAV: left the caller, right the agent",
    )  # fmt: skip
    chosen = parser.parse_args(words)
    if chosen.write and set(chosen.variants) != set(NAMES):
        parser.error("--write shows everything: leave out --variants")
    if chosen.write and not chosen.failing_turns:
        parser.error("--write shows everything: leave out --failing-turns 0")
    if chosen.write and not chosen.crowd_turns:
        parser.error("--write shows everything: leave out --crowd-turns 0")
    if chosen.check and OURS.name not in chosen.variants:
        parser.error(f"--check judges {OURS.name!r}: name it in --variants")
    return chosen


def main() -> int:
    chosen = arguments()
    variants = [one for one in VARIANTS if one.name in chosen.variants]
    recorded = bool(chosen.write or chosen.record)
    try:
        results = asyncio.run(run(variants, chosen, recorded=recorded))
    except ReportedError as error:
        print(error.report(), file=sys.stderr)
        return 2
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 2
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("Stopped; nothing was written.", file=sys.stderr)
        return 130
    print(f"{waits_table(results.rows).text}\n\n{stages_table(results.rows).text}")
    if results.failing:
        print("\nOurs, and LiveKit's defaults with FallbackAdapter:")
        print(failing_table(results.failing).text)
    if results.crowd:
        print(f"\n{crowd_table(results.crowd).text}")
    print(f"The machine held up the caller for up to {results.delay:.2f} s.")
    if results.recording and chosen.record:
        results.recording.save(chosen.record)
        print(f"recorded: {chosen.record}")
    return finish(chosen, lambda: make_page(results), results.goals)


if __name__ == "__main__":
    sys.exit(main())
