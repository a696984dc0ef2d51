"""Bounds what one call may take: turns, tokens, money, time. Pure: times (s) are given."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from llm_router.routing.events import ReplyEvent

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLimits:
    """Limits of one call. 0: unlimited."""

    message_characters: int = 0
    """Characters of one message, typed or spoken."""
    turns_per_minute: int = 0
    """Turns of the caller in any sixty seconds."""
    turns: int = 0
    """Turns of the caller in all."""
    tokens: int = 0
    """Tokens of all requests and replies together, those of failed attempts included."""
    cost: float = 0.0
    """In the currency of the connections' prices."""
    seconds: float = 0.0
    """Length of the call."""
    silence: float = 0.0
    """Seconds of silence after which the caller is asked whether they are still there."""
    questions: int = 2
    """Times that they are asked; the call ends after one more silence in a row."""


_FAREWELL = 30.0
"""Seconds before the line of a telephone is cut at which a call ends."""


def kind_limit(cut_after: float) -> float:
    """Returns the seconds after which a call ends with a word, where its line is cut later on."""
    return max(cut_after - _FAREWELL, cut_after / 2)


def lower_limit(one: float, other: float) -> float:
    """Returns the lower of two limits, of which 0 is none."""
    return min(one, other) if one and other else one or other


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSoFar:
    """The part of its limits that a call has used with its earlier agents."""

    seconds: float = 0.0
    turns: int = 0
    tokens: int = 0
    cost: float = 0.0


def spent_on(reply: ReplyEvent) -> tuple[int, float]:
    """Returns the tokens and the cost of all attempts of a reply."""
    tokens, cost = 0, 0.0
    for attempt in reply.tries:
        usage, charged = attempt.charged(reply.prompt_characters)
        tokens += usage.prompt_tokens + usage.completion_tokens
        cost += charged or 0.0
    return tokens, cost


class Refusal(StrEnum):
    """The limit that a turn of the caller would exceed; also the phrase that says so."""

    MESSAGE = "limit.message"
    RATE = "limit.rate"
    CALL = "limit.call"


class CallBudget:
    """Counts what a call takes, and decides whether the caller's next turn is answered.

    A turn that is refused costs nothing, but one refused for its rate counts for the rate: a caller
    who goes on sending is not answered in between.
    """

    def __init__(self, limits: CallLimits) -> None:
        self._limits = limits
        self._turns = 0
        self._tokens = 0
        self._cost = 0.0
        self._recent = deque[float](maxlen=limits.turns_per_minute or 1)

    @property
    def is_spent(self) -> bool:
        """Whether the call may ask no model any more."""
        limits = self._limits
        tokens_spent = bool(limits.tokens) and self._tokens >= limits.tokens
        return tokens_spent or (bool(limits.cost) and self._cost >= limits.cost)

    def turn(self, characters: int, now: float) -> Refusal | None:
        """Counts a turn of the caller; returns the limit that it exceeds, or None."""
        limits = self._limits
        if self.is_spent or (limits.turns and self._turns >= limits.turns):
            return Refusal.CALL
        if limits.turns_per_minute:
            is_full = len(self._recent) == limits.turns_per_minute
            oldest = self._recent[0] if self._recent else now
            self._recent.append(now)
            if is_full and now - oldest < _MINUTE:
                return Refusal.RATE
        if limits.message_characters and characters > limits.message_characters:
            return Refusal.MESSAGE
        self._turns += 1
        return None

    def resume(self, so_far: CallSoFar) -> None:
        """Counts what the call has used with its earlier agents."""
        self._turns += so_far.turns
        self.spent(so_far.tokens, so_far.cost)

    def spent(self, tokens: int, cost: float) -> None:
        """Counts the tokens and the cost of a reply."""
        self._tokens += tokens
        self._cost += cost


_MINUTE = 60.0


class Step(StrEnum):
    """A step that is due in a call; also the phrase that goes with it."""

    ASK = "still_there"
    WARN = "limit.soon"
    END_SILENT = "goodbye"
    END_LONG = "limit.time"


class CallTime:
    """Decides when a silent caller is asked, and when a call has lasted long enough.

    A silent caller is asked some times, and then the call ends. A minute before a
    call has lasted its time, the caller learns it, unless the call is so short that this would come
    in its first half.
    """

    def __init__(self, limits: CallLimits, now: float, earlier: float = 0.0) -> None:
        """Begins now; the call has lasted `earlier` seconds with agents before this one."""
        self._limits = limits
        self._earlier = earlier
        self._began = now - earlier
        self._quiet_since = now
        self._asked = 0
        self._is_warned = limits.seconds < 2 * _MINUTE

    def not_begun(self, now: float) -> None:
        """Records that the caller is not there yet: the call begins with them."""
        self._began = now - self._earlier
        self._quiet_since = now

    def caller_active(self, now: float) -> None:
        """Records words of the caller, spoken or typed."""
        self._quiet_since = now
        self._asked = 0

    def agent_active(self, now: float) -> None:
        """Records that the agent speaks or thinks: that is no silence, but no answer either."""
        self._quiet_since = now

    def due(self, now: float) -> Step | None:
        """Returns the step that is due, once: the next silence begins with it."""
        limits = self._limits
        if limits.seconds and now - self._began >= limits.seconds:
            return Step.END_LONG
        if not self._is_warned and now - self._began >= limits.seconds - _MINUTE:
            self._is_warned = True
            return Step.WARN
        if not limits.silence or now - self._quiet_since < limits.silence:
            return None
        self._quiet_since = now
        if self._asked >= limits.questions:
            return Step.END_SILENT
        self._asked += 1
        return Step.ASK


def latest_turns(turns: Sequence[tuple[T, int]], characters: int) -> list[T]:
    """Returns the latest turns that have at most so many characters together; the last in any case.

    Each turn comes with its length. 0 characters: unlimited.
    """
    chosen: list[T] = []
    used = 0
    for turn, length in reversed(turns):
        used += length
        if chosen and characters and used > characters:
            break
        chosen.append(turn)
    return chosen[::-1]
