"""Decides what became of a cold transfer, and when the caller may learn that it failed. Pure.

LiveKit reports some transfers as failed that succeed: its wait ends before the person has answered,
or the caller's telephone leaves before its last report. A telephone that leaves after it was asked
to call another one has been transferred; a failure is one only while the caller is still there.
"""

from enum import StrEnum

from llm_router.voice.phone.outcomes import Outcome

NOT_BEFORE = 10.0
"""Seconds from the beginning before which no failure is announced."""
RING_FOR = 30.0
"""Seconds for which the person's telephone rings."""
_SETTLES_IN = 3.0
"""Seconds in which a caller whose transfer has no clear result may still leave for the person."""


class Verdict(StrEnum):
    TRANSFERRED = "transferred"
    BUSY = "busy"
    DECLINED = "declined"
    NO_ANSWER = "no_answer"
    FAILED = "failed"


_FAILURES = {
    Outcome.BUSY: Verdict.BUSY,
    Outcome.DECLINED: Verdict.DECLINED,
    Outcome.NO_ANSWER: Verdict.NO_ANSWER,
}


def verdict_on(outcome: Outcome, *, caller_is_there: bool) -> Verdict:
    """Returns what became of the transfer once LiveKit has said what it knows."""
    if outcome is Outcome.ANSWERED or not caller_is_there:
        return Verdict.TRANSFERRED
    return _FAILURES.get(outcome, Verdict.FAILED)


def settled_at(began: float, reported: float, *, is_definite: bool) -> float:
    """Returns the time from which the caller's presence means that the transfer has failed.

    `is_definite`: the other side has answered with a SIP status, and not just LiveKit's clock.
    """
    return max(began + NOT_BEFORE, reported + (0.0 if is_definite else _SETTLES_IN))
