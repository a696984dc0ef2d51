"""A caller's turn, stage by stage, and the figures of many turns."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.report.goals import Goal
from bench.report.quantiles import median, quantile
from bench.voice.variants import FIRST_TOKEN, Variant

STAGES: Mapping[str, str] = {
    "noticed": "end noticed",
    "words": "words final",
    "decided": "turn decided",
    "requested": "model asked",
    "first_word": "its first word",
    "speaking": "voice made",
    "audible": "heard",
}
"""Titles of the stages, in the order of a conversation in which nothing is done early."""
_EVENTS = {"noticed": "noticed", "words": "words", "thinking": "decided", "speaking": "speaking"}
"""Stages by the worker's event."""

Event = tuple[float, str]
"""The moment (s) and the name of an event in the worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A caller's turn. `stages`: seconds from the caller's last sound; absent: not observed.
    `requests`: requests to the model, those for discarded answers included. `talked_over`: the
    agent spoke while the caller did, so there was nothing to wait for.
    """

    stages: Mapping[str, float]
    requests: int
    talked_over: bool = False

    @property
    def wait(self) -> float:
        """Seconds until the answer was audible; infinity if it never was."""
        return self.stages.get("audible", math.inf)


def find_stages(
    began: float,
    ended: float,
    audible: float,
    events: Sequence[Event],
    requests: Sequence[float],
) -> Mapping[str, float]:
    """Returns the stages of a turn that was spoken from `began` to `ended`.

    Of an event that occurred more than once, because the caller paused, the last counts: it led to
    the answer. `requests`: their moments; the model's first word follows after FIRST_TOKEN.
    """
    at: dict[str, float] = {}
    for moment, event in events:
        if event in _EVENTS and began <= moment <= audible:
            at[_EVENTS[event]] = moment
    until = at.get("speaking", audible)
    if own := [moment for moment in requests if began <= moment <= until]:
        at["requested"] = own[-1]
        at["first_word"] = own[-1] + FIRST_TOKEN
    if audible < math.inf:
        at["audible"] = audible
    return {stage: at[stage] - ended for stage in STAGES if stage in at}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The turns of a variant."""

    variant: Variant
    turns: Sequence[Turn]

    @property
    def waited(self) -> Sequence[Turn]:
        """The turns that have a wait, shortest first."""
        return sorted((turn for turn in self.turns if not turn.talked_over), key=lambda t: t.wait)

    def wait(self, q: float) -> float:
        """Returns a quantile of the waits; NaN if the agent talked over the caller every time."""
        waits = [turn.wait for turn in self.waited]
        return quantile(waits, q) if waits else math.nan

    def stage(self, name: str) -> float:
        """Returns the median of a stage; NaN if no turn had it."""
        times = [turn.stages[name] for turn in self.waited if name in turn.stages]
        return median(times) if times else math.nan

    def turn_at(self, q: float) -> Turn | None:
        """Returns the turn whose wait is `wait(q)`."""
        return next((turn for turn in self.waited if turn.wait == self.wait(q)), None)

    @property
    def talked_over(self) -> int:
        return sum(turn.talked_over for turn in self.turns)

    @property
    def requests(self) -> float:
        """Requests to the model in a turn, on average."""
        return sum(turn.requests for turn in self.turns) / len(self.turns)


WAIT_LIMITS: Mapping[float, float] = {0.5: 0.65, 0.95: 0.95}
"""Limits of a caller's wait with our settings (s), by quantile."""


def wait_goals(ours: Row) -> list[Goal]:
    return [
        Goal(f"p{q * 100:.0f}", ours.wait(q), limit, "s", hint=slowest_stage(ours.turn_at(q)))
        for q, limit in WAIT_LIMITS.items()
    ]


def slowest_stage(turn: Turn | None) -> str:
    """Describes the stage that took the longest, counted from the one before it."""
    if turn is None or not turn.stages:
        return "no stage was observed"
    in_order = sorted(turn.stages.items(), key=lambda stage: stage[1])
    starts = [0.0, *(max(at, 0.0) for _, at in in_order)]
    spent = {name: at - start for (name, at), start in zip(in_order, starts, strict=False)}
    longest = max(spent, key=lambda name: spent[name])
    return f"the longest stage ends at '{STAGES[longest]}': {spent[longest]:.2f} s"
