"""Measures how well recognisers understand callers: wrong words by speaker and channel, words
invented for sounds without speech, the time to text, work and memory.

People and synthetic voices come through telephones, browsers, noise and other voices. Each engine
runs in a process of its own. flite must be installed, and the neural voice set up.

    python -m bench.hearing --engines whisper --speakers people --channels clean
"""

import argparse
import sys
from collections.abc import Sequence

from bench.hearing.channels import CHANNELS, CLEAN, TELEPHONE, arrivals
from bench.hearing.measure import Measured, Plan, measure
from bench.hearing.page import errors_table, invented_table, make_page, times_table
from bench.hearing.results import WHISPER, make_goals
from bench.hearing.speakers import PEOPLE, SPEAKERS, MissingVoiceError, people, record
from bench.report.command import BenchParser, finish, terminal_progress
from bench.report.scheduling import use_realtime_priority
from llm_router.errors import ConfigurationError, UnknownPluginError
from tests.sounds.non_speech import NON_SPEECH

_ENGINES = ("embedded", WHISPER)
_TIMED = (CLEAN, TELEPHONE)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = BenchParser("bench.hearing", __doc__)
    parser.add_choice("--engines", _ENGINES)
    parser.add_choice("--speakers", SPEAKERS)
    parser.add_choice("--channels", tuple(CHANNELS))
    parser.add_number(
        "--timed", 34, "clips of people that are played in real time, for the times, the work and "
        "the memory; about 3 minutes for each engine; 0: none", least=0,
    )  # fmt: skip
    parser.add_realtime()
    chosen = parser.parse_args(words)
    if chosen.write and (set(chosen.engines) != set(_ENGINES) or not chosen.timed):
        parser.error("--write sets all engines side by side: leave out --engines and --timed 0")
    if (chosen.check or chosen.write) and not (
        WHISPER in chosen.engines
        and PEOPLE in chosen.speakers
        and {CLEAN, TELEPHONE} <= set(chosen.channels)
    ):
        parser.error(
            "--check and --write judge whisper, people, clean and by telephone: leave them in"
        )
    return chosen


def run(chosen: argparse.Namespace) -> list[Measured]:
    """Measures the engines, one after another, with the same clips."""
    progress = terminal_progress()
    background = people()
    clips = record(chosen.speakers, progress)
    progress("passing the clips through the channels")
    plan = Plan(
        clips=arrivals(clips, chosen.channels, background),
        timed=arrivals(background, _TIMED, background)[: chosen.timed],
        non_speech={name: make() for name, make in NON_SPEECH.items()},
    )
    return [measure(engine, plan) for engine in chosen.engines]


def main() -> int:
    chosen = arguments()
    if chosen.realtime:
        use_realtime_priority()
    try:
        results = run(chosen)
    except (MissingVoiceError, ConfigurationError, UnknownPluginError) as error:
        print(error, file=sys.stderr)
        return 2
    for one in results:
        print(f"Wrong words, {one.engine}\n{errors_table(one).text}\n")
    print(f"Words for clips without speech\n{invented_table(results).text}\n")
    print(f"Time to text, work, memory\n{times_table(results).text}")
    return finish(chosen, lambda: make_page(results), make_goals(results))


if __name__ == "__main__":
    sys.exit(main())
