"""The figures and the goals of this bench."""

import math
from collections.abc import Callable, Collection, Sequence

from bench.hearing.channels import CLEAN, TELEPHONE
from bench.hearing.listening import FLUSH_AFTER, Timing
from bench.hearing.measure import Measured
from bench.hearing.speakers import PEOPLE
from bench.hearing.words import NONE, WordErrors
from bench.report.goals import Goal
from bench.report.quantiles import quantile

WHISPER = "whisper"
"""The engine that the goals are for."""
LIMITS = {CLEAN: 0.074, TELEPHONE: 0.062}
"""Largest shares of wrong words of people, by channel.

They are those of whisper before there was an engine, with other clips: 7.4 % and 3.2 %. The second
has two standard errors more, 3 %, since a share of so few of our 144 words is known no better.
"""


def errors(measured: Measured, speakers: Collection[str], channel: str) -> WordErrors:
    """Adds up the word errors of some speakers on a channel."""
    return sum(
        (
            one.errors
            for one in measured.transcribed
            if one.speaker in speakers and one.channel == channel
        ),
        start=NONE,
    )


def share(measured: Measured, speakers: Collection[str], channel: str) -> float:
    """Returns the share of wrong words; NaN if there are no such clips."""
    found = errors(measured, speakers, channel)
    return found.share if found.spoken else math.nan


def invented_words(measured: Measured) -> int:
    """Counts the words given out for clips without speech."""
    return sum(len(text.split()) for text in measured.invented.values())


def time_at(measured: Measured, q: float, of: Callable[[Timing], float]) -> float:
    """Returns a quantile of the times of the clips; NaN without any."""
    return quantile([of(one) for one in measured.timings], q) if measured.timings else math.nan


def early(timing: Timing) -> float:
    return timing.early


def final(timing: Timing) -> float:
    return timing.final


def after_flush(timing: Timing) -> float:
    return timing.final - FLUSH_AFTER


def make_goals(results: Sequence[Measured]) -> list[Goal]:
    """Returns the goals of whisper; none if it was not measured."""
    goals = []
    for one in results:
        if one.engine != WHISPER:
            continue
        goals += [
            Goal(
                f"wrong words of people, {channel}",
                share(one, [PEOPLE], channel) * 100,
                limit * 100,
                "%",
                ".1f",
            )
            for channel, limit in LIMITS.items()
        ]
        hint = ", ".join(f"{name}: {text!r}" for name, text in one.invented.items())
        goals.append(
            Goal("words for clips without speech", invented_words(one), 0, form=".0f", hint=hint)
        )
    return goals
