"""Figures of calls by telephone, and the goals for them. No I/O."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.report.goals import Goal
from bench.report.quantiles import quantile


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneCall:
    """One call, in seconds. `answered`: from dialling to the answer; `greeted`: from the answer to
    the first sound; `replies`: from the end of each question to the reply's first sound, infinity
    for none; `lasted`, `received`: of the call, and of the sound that came in it.
    """

    answered: float
    greeted: float
    replies: Sequence[float]
    lasted: float
    received: float

    @property
    def lost(self) -> float:
        """The share of the sound that did not come."""
        return max(0.0, 1 - self.received / self.lasted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """A program's use for all calls: seconds of processor, and megabytes beyond those at rest."""

    program: str
    processor: float
    memory: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneSet:
    """Calls of one kind: one after another, or all at once."""

    title: str
    calls: Sequence[PhoneCall]
    costs: Sequence[Cost] = ()

    def answered(self, q: float) -> float:
        return _quantile([call.answered for call in self.calls], q)

    def greeted(self, q: float) -> float:
        return _quantile([call.greeted for call in self.calls], q)

    def replied(self, q: float) -> float:
        return _quantile([each for call in self.calls for each in call.replies], q)

    @property
    def most_lost(self) -> float:
        return max((call.lost for call in self.calls), default=math.nan)

    @property
    def seconds(self) -> float:
        """The length of all calls together."""
        return sum(call.lasted for call in self.calls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """A way in which agents die: the longest silence (s) that each caller received after it."""

    title: str
    silences: Sequence[float]

    @property
    def longest(self) -> float:
        return max(self.silences, default=math.nan)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneFigures:
    """All that is measured. `crowds`: more and more calls at once. `hellos`: from the end of a
    called person's hello to the first word, in seconds; infinity for none.
    """

    single: PhoneSet
    crowds: Sequence[PhoneSet]
    hellos: Sequence[float]
    deaths: Sequence[Death]

    @property
    def crowd(self) -> PhoneSet:
        """The most calls at once."""
        return self.crowds[-1]

    def hello(self, q: float) -> float:
        return _quantile(self.hellos, q)


def _quantile(values: Sequence[float], q: float) -> float:
    return quantile(values, q) if values else math.nan


def phone_goals(figures: PhoneFigures) -> list[Goal]:
    single, crowd, deaths = figures.single, figures.crowd, figures.deaths
    return [
        Goal("answer to first sound, p50", single.greeted(0.5), 0.5, "s"),
        Goal("end of speech to reply, p50", single.replied(0.5), 0.9, "s"),
        Goal("a called person's hello to the first word, p50", figures.hello(0.5), 1.0, "s"),
        Goal(f"sound lost in a call, {crowd.title}", crowd.most_lost * 100, 1.0, "%"),
        *(Goal(f"silence: {one.title}", one.longest, 4.0, "s") for one in deaths),
    ]
