"""Decides the course of a warm transfer, from dialling the person to the one end that it has. Pure.

The caller has the agent until the very end, `Step.CONNECT` having succeeded: whatever else happens
brings them back to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

RING_FOR = 20.0
"""Seconds for which the person's telephone rings."""
_RING_MARGIN = 5.0
"""Seconds after that in which LiveKit must have said that no one answered."""
_BRIEFED_WITHIN = 45.0
"""Seconds for the briefing, the making of its sound included."""
_DECIDED_WITHIN = 12.0
"""Seconds after the briefing in which the person accepts the call. A machine does not."""
_SAYS_WHY_WITHIN = 2.0
"""Seconds in which LiveKit says why a telephone is gone that was being called."""
_CONNECTED_WITHIN = 6.0
"""Seconds in which LiveKit connects the two."""


class Event(StrEnum):
    """Something that happens during a transfer."""

    ANSWERED = "answered"
    BUSY = "busy"
    REJECTED = "rejected"
    RANG_OUT = "rang out"
    UNREACHABLE = "unreachable"
    BRIEFED = "briefed"
    KEY_ACCEPT = "key to accept"
    KEY_DECLINE = "key to decline"
    WORD_ACCEPT = "word that accepts"
    WORD_DECLINE = "word that declines"
    CONNECTED = "connected"
    NOT_CONNECTED = "not connected"
    PERSON_LEFT = "person left"
    CALLER_LEFT = "caller left"


class Step(StrEnum):
    """An action that is due."""

    BRIEF = "brief"
    CONNECT = "connect"


class End(StrEnum):
    """The end of a transfer. After each but the first two, the caller is with the agent again."""

    CONNECTED = "connected"
    CALLER_LEFT = "caller_left"
    BUSY = "busy"
    DECLINED = "declined"
    NO_ANSWER = "no_answer"
    NOT_ACCEPTED = "not_accepted"
    """A machine has answered, or a person who has said neither yes nor no."""
    PERSON_LEFT = "person_left"
    FAILED = "failed"


_UNANSWERED = {
    Event.BUSY: End.BUSY,
    Event.REJECTED: End.DECLINED,
    Event.RANG_OUT: End.NO_ANSWER,
    Event.UNREACHABLE: End.FAILED,
}

Phase = Literal["ringing", "briefing", "deciding", "connecting"]


@dataclass(slots=True)
class WarmTransfer:
    """One warm transfer. `until`: the time at which it goes on without any event.

    `ways`: the number of trunks by which the person may be called.
    """

    began: float
    phase: Phase = "ringing"
    end: End | None = None
    until: float = 0.0
    has_person_left: bool = False
    ways: int = 1

    def __post_init__(self) -> None:
        self.until = self.began + (RING_FOR + _RING_MARGIN) * self.ways

    def on(self, event: Event, now: float) -> Step | None:
        """Takes note of an event; returns the action that follows. After the end nothing does."""
        if self.end is not None:
            return None
        if event is Event.CALLER_LEFT:
            self.end = End.CALLER_LEFT
            return None
        match self.phase:
            case "ringing":
                return self._on_ringing(event, now)
            case "connecting":
                self._on_connecting(event)
                return None
            case _:
                return self._on_talking(event, now)

    def on_time(self, now: float) -> None:
        """Ends the transfer if the time for its phase is over."""
        if self.end is None and now >= self.until:
            late = {"ringing": End.NO_ANSWER, "connecting": End.FAILED}
            self.end = late.get(self.phase, End.NOT_ACCEPTED)

    def _on_ringing(self, event: Event, now: float) -> Step | None:
        if event is Event.PERSON_LEFT:
            # The line goes before LiveKit has said whether it was busy, say.
            self.has_person_left = True
            self.until = min(self.until, now + _SAYS_WHY_WITHIN)
        elif event is Event.ANSWERED and self.has_person_left:
            self.end = End.PERSON_LEFT
        elif event is Event.ANSWERED:
            self._enter("briefing", now + _BRIEFED_WITHIN)
            return Step.BRIEF
        else:
            self.end = _UNANSWERED.get(event)
        return None

    def _on_talking(self, event: Event, now: float) -> Step | None:
        # Many answer a telephone with "Yes?": words count once the person knows what they are for.
        hears_words = self.phase == "deciding"
        if event is Event.KEY_ACCEPT or (hears_words and event is Event.WORD_ACCEPT):
            self._enter("connecting", now + _CONNECTED_WITHIN)
            return Step.CONNECT
        if event is Event.KEY_DECLINE or (hears_words and event is Event.WORD_DECLINE):
            self.end = End.DECLINED
        elif event is Event.PERSON_LEFT:
            self.end = End.PERSON_LEFT
        elif event is Event.BRIEFED and self.phase == "briefing":
            self._enter("deciding", now + _DECIDED_WITHIN)
        return None

    def _on_connecting(self, event: Event) -> None:
        if event is Event.CONNECTED:
            self.end = End.CONNECTED
        elif event is Event.PERSON_LEFT:
            self.end = End.PERSON_LEFT
        elif event is Event.NOT_CONNECTED:
            self.end = End.FAILED

    def _enter(self, phase: Phase, until: float) -> None:
        self.phase = phase
        self.until = until


def decision_in(words: str, accepting: Sequence[str], declining: Sequence[str]) -> Event | None:
    """Returns what a person's words mean; None: nothing.

    Only a short answer counts. One that holds both kinds of words declines: "no, put them through
    to Ann" must not connect.
    """
    said = _plain(words)
    if not said or len(said.split()) > _MOST_WORDS:
        return None
    if any(_holds(said, word) for word in declining):
        return Event.WORD_DECLINE
    if any(_holds(said, word) for word in accepting):
        return Event.WORD_ACCEPT
    return None


_MOST_WORDS = 8


def _plain(words: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in words.lower()).split())


def _holds(said: str, words: str) -> bool:
    return f" {_plain(words)} " in f" {said} "
