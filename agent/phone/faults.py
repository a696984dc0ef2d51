"""Faults of the set-up, for which no number can be dialed, and how long to wait after one. Pure."""

from llm_router.voice.phone.plan import PlanOutcome

_FIRST, _LONGEST = 5.0, 60.0
"""Seconds after the first fault, and at most, before the next number is tried."""


class SetupFaultError(Exception):
    """Raised when no telephone rang, and any other call would fail in the same way.

    Its message says how to correct the set-up; `outcome` is given to a call that still cannot be
    dialed when its window closes.
    """

    def __init__(self, outcome: PlanOutcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome: PlanOutcome = outcome


class FaultPause:
    """The time for which no number is tried, while what the set-up lacks is missing.

    Then one number is tried, and if the fault is still there, the next pause is twice as long.
    """

    def __init__(self) -> None:
        self._until = 0.0
        self._faults = 0
        self.reason = ""
        """The fault that the last number met; empty: none."""

    def may_try(self, now: float) -> bool:
        return not self._faults or now >= self._until

    def failed(self, reason: str, now: float) -> float:
        """Notes a fault; returns the seconds of the pause. Several numbers may meet one fault."""
        self.reason = reason
        if self.may_try(now):
            self._faults += 1
            self._until = now + min(_FIRST * 2.0 ** min(self._faults - 1, 10), _LONGEST)
        return self._until - now

    def worked(self) -> None:
        """Notes that a number was dialed: the next ones may be at once."""
        self._faults, self.reason = 0, ""
