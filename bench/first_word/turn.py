"""A turn as a caller's agent receives it, and the figures of many turns."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self

from bench.first_word.cases import Case
from bench.report.quantiles import quantile
from bench.servers.reply import REPLY
from llm_router.routing.speech import SpeechClock


@dataclass(frozen=True, slots=True)
class Turn:
    """`pieces`: the text, each piece with its arrival; all times in seconds from the question."""

    pieces: Sequence[tuple[float, str]]
    ended: float
    """The end of the reply, whole or not, or the moment at which the caller hung up."""
    ending: str = "ended"
    """Or "hung up", or the name of the exception that the contender raised."""

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.pieces)

    @property
    def first_word(self) -> float:
        """Time to the first word (s); infinity if none came."""
        return next((at for at, text in self.pieces if text.strip()), math.inf)

    @property
    def is_whole(self) -> bool:
        return self.text == REPLY

    @property
    def repeats(self) -> bool:
        """Whether a word of the reply came twice."""
        words = Counter(self.text.split())
        return any(words[word] > 1 for word in REPLY.split())

    @property
    def outcome(self) -> str:
        """Describes the result for the caller: "whole", or the mildest description that is true."""
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
        """Longest wait between two pieces (s), the wait for missing words included."""
        times = [at for at, _ in self.pieces] + ([] if self.is_whole else [self.ended])
        return max((later - earlier for earlier, later in pairwise(times)), default=0.0)

    @property
    def longest_silence(self) -> float:
        """Longest silence (s) of a voice that speaks the pieces, once it has begun."""
        voice = SpeechClock("en")
        longest = 0.0
        end = [] if self.is_whole else [(self.ended, "")]
        for at, text in [*self.pieces, *end]:
            if voice.silent_from is not None:
                longest = max(longest, at - voice.silent_from)
            voice.feed(text, at)
        return longest


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A contender's turns with one fault. `generated`: words that its servers sent meanwhile;
    `requests`: those that they received.
    """

    case: Case
    contender: str
    turns: Sequence[Turn]
    generated: int
    requests: int = 0

    def first_word(self, q: float) -> float:
        return quantile([turn.first_word for turn in self.turns], q)

    def after(self, turns: int) -> Self:
        """Returns the row without the first turns; what cannot be split stays."""
        return replace(self, turns=self.turns[turns:])

    @property
    def longest_gap(self) -> float:
        return max(turn.longest_gap for turn in self.turns)

    @property
    def longest_silence(self) -> float:
        return max(turn.longest_silence for turn in self.turns)

    @property
    def whole(self) -> float:
        """Share of whole replies, from 0 to 1."""
        return sum(turn.is_whole for turn in self.turns) / len(self.turns)

    @property
    def outcomes(self) -> Mapping[str, int]:
        """Number of turns by outcome, most frequent first."""
        return dict(Counter(turn.outcome for turn in self.turns).most_common())

    @property
    def repeats(self) -> int:
        """Number of replies in which a word came twice."""
        return sum(turn.repeats for turn in self.turns)

    @property
    def once(self) -> float:
        """Share of replies without a repetition, from 0 to 1."""
        return 1 - self.repeats / len(self.turns)

    @property
    def cost(self) -> float:
        """Words generated per word received; infinity if none was received."""
        received = sum(len(turn.text.split()) for turn in self.turns)
        return self.generated / received if received else math.inf

    @property
    def requests_per_turn(self) -> float:
        return self.requests / len(self.turns)
