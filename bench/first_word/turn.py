"""One turn as a caller's agent gets it, and the figures of many."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self

from bench.first_word.cases import REPLY, Case
from llm_router.routing.speech import SpeechClock


@dataclass(frozen=True, slots=True)
class Turn:
    """Pieces of text, each with when it came; all times in seconds from the question."""

    pieces: Sequence[tuple[float, str]]
    ended: float
    """When the reply was over, well or not, or the caller hung up."""
    ending: str = "ended"
    """Or "hung up", or the name of what the contender raised."""

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.pieces)

    @property
    def first_word(self) -> float:
        """Infinity: none ever came."""
        return next((at for at, text in self.pieces if text.strip()), math.inf)

    @property
    def is_whole(self) -> bool:
        return self.text == REPLY

    @property
    def repeats(self) -> bool:
        """Whether a word of the reply was said twice."""
        heard = Counter(self.text.split())
        return any(heard[word] > 1 for word in REPLY.split())

    @property
    def outcome(self) -> str:
        """What the caller got: "whole", or the most that can be said for it."""
        if self.is_whole:
            return "whole"
        if self.ending == "hung up":
            return "hung up"
        if self.ending != "ended":
            return "error"
        if REPLY.startswith(self.text):
            return "cut off" if self.text else "nothing"
        return "repeated" if self.repeats else "phrase"

    @property
    def longest_gap(self) -> float:
        """Between two pieces; with the wait for more that never came."""
        at = [at for at, _ in self.pieces] + ([] if self.is_whole else [self.ended])
        return max((b - a for a, b in pairwise(at)), default=0.0)

    @property
    def longest_silence(self) -> float:
        """Of a voice that says the pieces at talking speed, once it has begun."""
        voice, longest = SpeechClock("en"), 0.0
        end = [] if self.is_whole else [(self.ended, "")]
        for at, text in [*self.pieces, *end]:
            if voice.silent_from is not None:
                longest = max(longest, at - voice.silent_from)
            voice.feed(text, at)
        return longest


def quantile(values: Sequence[float], q: float) -> float:
    """By nearest rank: always one of the values, so that "never" needs no arithmetic."""
    return sorted(values)[max(0, math.ceil(q * len(values) - 1e-9) - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One contender's turns with one fault. `generated`: words its servers said meanwhile."""

    case: Case
    contender: str
    turns: Sequence[Turn]
    generated: int

    def first_word(self, q: float) -> float:
        return quantile([turn.first_word for turn in self.turns], q)

    def after(self, turns: int) -> Self:
        """Without the first turns; what was generated cannot be told apart and stays."""
        return replace(self, turns=self.turns[turns:])

    @property
    def longest_gap(self) -> float:
        return max(turn.longest_gap for turn in self.turns)

    @property
    def longest_silence(self) -> float:
        return max(turn.longest_silence for turn in self.turns)

    @property
    def whole(self) -> float:
        """From 0 to 1."""
        return sum(turn.is_whole for turn in self.turns) / len(self.turns)

    @property
    def outcomes(self) -> Mapping[str, int]:
        """How many turns came to what, most frequent first."""
        return dict(Counter(turn.outcome for turn in self.turns).most_common())

    @property
    def repeats(self) -> int:
        """Replies in which a word was said twice."""
        return sum(turn.repeats for turn in self.turns)

    @property
    def once(self) -> float:
        """The share without a repetition, from 0 to 1."""
        return 1 - self.repeats / len(self.turns)

    @property
    def cost(self) -> float:
        """Words generated per word heard; infinity where none was."""
        heard = sum(len(turn.text.split()) for turn in self.turns)
        return self.generated / heard if heard else math.inf
