"""What became of a caller's turn, stage by stage, and the figures of many turns."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.first_word.turn import quantile
from bench.voice.variants import FIRST_TOKEN, Variant

STAGES: Mapping[str, str] = {
    "noticed": "end noticed",
    "words": "words final",
    "decided": "turn decided",
    "asked": "model asked",
    "first_word": "its first word",
    "speaking": "voice made",
    "heard": "heard",
}
"""In the order of a conversation in which nothing is done early."""
_NOTES = {"noticed": "noticed", "words": "words", "thinking": "decided", "speaking": "speaking"}

Note = tuple[float, str]
"""When, in seconds, and what the worker saw."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """`stages`: seconds from the caller's last sound; not there: not seen. `asked`: how often the
    model was asked, the answers thrown away included. `talked_over`: the agent spoke while the
    caller did, so that there was nothing to wait for.
    """

    stages: Mapping[str, float]
    asked: int
    talked_over: bool = False

    @property
    def wait(self) -> float:
        """Infinity: no answer was heard."""
        return self.stages.get("heard", math.inf)


def take_apart(
    began: float, ended: float, heard: float, notes: Sequence[Note], asked: Sequence[float]
) -> Mapping[str, float]:
    """The stages of a turn that was spoken from `began` to `ended`.

    Of what happened more than once, since the caller paused and went on, the last counts: it led to
    the answer. `asked`: when the model was asked; its first word takes it as long as ever.
    """
    at: dict[str, float] = {}
    for when, what in notes:
        if what in _NOTES and began <= when <= heard:
            at[_NOTES[what]] = when
    if questions := [when for when in asked if began <= when <= at.get("speaking", heard)]:
        at["asked"] = questions[-1]
        at["first_word"] = questions[-1] + FIRST_TOKEN
    if heard < math.inf:
        at["heard"] = heard
    return {stage: at[stage] - ended for stage in STAGES if stage in at}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A variant's turns."""

    variant: Variant
    turns: Sequence[Turn]

    @property
    def waited(self) -> Sequence[Turn]:
        """The shortest wait first."""
        return sorted((turn for turn in self.turns if not turn.talked_over), key=lambda t: t.wait)

    def wait(self, q: float) -> float:
        """Not a number: the agent talked the caller down every time."""
        waits = [turn.wait for turn in self.waited]
        return quantile(waits, q) if waits else math.nan

    def stage(self, name: str) -> float:
        """The median of the turns that had it; not a number where none had."""
        seen = [turn.stages[name] for turn in self.waited if name in turn.stages]
        return quantile(seen, 0.5) if seen else math.nan

    def turn_at(self, q: float) -> Turn | None:
        """The turn whose wait is `wait(q)`."""
        return next((turn for turn in self.waited if turn.wait == self.wait(q)), None)

    @property
    def talked_over(self) -> int:
        return sum(turn.talked_over for turn in self.turns)

    @property
    def asked(self) -> float:
        """Times that the model was asked in a turn, on average."""
        return sum(turn.asked for turn in self.turns) / len(self.turns)


# ── What is promised ─────────────────────────────────────────────────────────────────────────────

GOALS: Mapping[float, float] = {0.5: 0.70, 0.95: 1.30}
"""Seconds that our own settings may let a caller wait, by quantile."""


def missed(ours: Row) -> Sequence[str]:
    """Each goal that our settings miss, with the stage that took the longest."""
    return [
        f"p{q * 100:.0f} is {ours.wait(q):.2f} s and not {limit:.2f} s; {slowest(ours.turn_at(q))}"
        for q, limit in GOALS.items()
        if not ours.wait(q) <= limit
    ]


def slowest(turn: Turn | None) -> str:
    """Which stage a turn spent the longest on, counted from the one that came before it."""
    if turn is None or not turn.stages:
        return "no stage was seen"
    in_order = sorted(turn.stages.items(), key=lambda stage: stage[1])
    starts = [0.0, *(max(at, 0.0) for _, at in in_order)]
    spent = {name: at - start for (name, at), start in zip(in_order, starts, strict=False)}
    longest = max(spent, key=lambda name: spent[name])
    return f"longest on the way to '{STAGES[longest]}': {spent[longest]:.2f} s"
