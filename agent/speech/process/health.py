"""Decides whether a speech process is asked, after it has left a request without an answer."""

import math
from typing import Literal

_BETWEEN_CHECKS = 1.0
"""Seconds between two checks of a process that is late."""
_BRIEF_PART = 0.3
"""Part of the usual time that a voice may take which was late the last time."""


def first_piece_within(
    usual: float, ahead: float, *, was_late: bool, shortest: float = 0.0
) -> float:
    """Returns how long a voice may take for its first piece of sound (s).

    `ahead`: the sound that is yet to be played before it. A voice that came too late the last time
    is waited for while that lasts, and for `shortest` at least, so that a busy machine costs a
    reply one silence, not one for each clause.
    """
    return max(ahead, shortest, _BRIEF_PART * usual) if was_late else usual + ahead


class Health:
    """Remembers whether a speech process answers; `now` is in seconds of a clock.

    A process that hangs then costs a call one wait, and not one for each of its texts.
    """

    def __init__(self) -> None:
        self.has_answered = False
        """Whether it has ever answered: its first answer may take longer."""
        self._checked_at: float | None = None

    def next_step(self, now: float) -> Literal["ask", "check", "refuse"]:
        """Says how a request goes on: it is made, or only after a check, or it fails at once.

        A process that was late is checked at once, since it may only be busy, and then at most once
        a second; `answered` ends that.
        """
        if self._checked_at is None:
            return "ask"
        if now - self._checked_at < _BETWEEN_CHECKS:
            return "refuse"
        self._checked_at = now
        return "check"

    def answered(self) -> None:
        """Notes an answer, be it a refusal."""
        self.has_answered = True
        self._checked_at = None

    def late(self) -> None:
        """Notes that an answer did not come in time."""
        if self._checked_at is None:
            self._checked_at = -math.inf
