"""Decides how long an agent is waited for, and how often another one is called. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from agent.survival.silence import BEATS_EVERY

CLAIM_WITHIN = 1.5
"""Seconds in which a worker must have taken the call. LiveKit drops a request that no worker can
take, and says nothing."""
PRESENT_WITHIN = 4.0
"""Seconds in which the agent must be in the room, unless its worker shows that it is starting."""
_COMES_WITHIN = 60.0
"""Seconds for one that is starting. Its worker watches over its process, which may wait for its
turn while many are started: another attempt would only add to them."""
_ALIVE_FOR = 4 * BEATS_EVERY
"""Seconds after a beat for which a worker counts as one that still starts its agent."""
_SOONEST = 0.5
"""Seconds to the next check whether an agent has come, at the begin of the wait. Agents hardly ever
come sooner, and more checks would take processor time from the agents that are starting."""
_LATEST = 1.0
"""The same after a long wait."""
ATTEMPTS = 3
"""Agents that are called one after another before the caller gets a goodbye."""
COVERED_ATTEMPTS = 8
"""The same while the receptionist speaks to the caller: workers that start many agents at a time
are busy for a while, and refuse others."""
_PAUSES = (0.3, 1.0)
"""Seconds from a failed attempt to the next, the last of them for all further ones: the reason may
pass."""
_LONGEST = 2
"""Number of the attempt with the longest time."""
_CRASHES = 3
_CRASHES_WITHIN = 60.0
"""Agents of one call that may die within so many seconds: what kills each of them, such as a crash
in an engine, would otherwise start processes for as long as the caller waits."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Seconds for an agent to claim its call, and to be in the room."""

    claim: float
    present: float


def windows(attempt: int) -> Windows:
    """Returns the time for an attempt, from 0. Each has more: the machines may be busy."""
    longer = 2 ** min(attempt, _LONGEST)
    return Windows(CLAIM_WITHIN * longer, PRESENT_WITHIN * longer)


class Arrival:
    """Decides how long one agent is waited for, from the time at which it was called."""

    def __init__(self, attempt: int, now: float) -> None:
        self._windows = windows(attempt)
        self._began = now
        self._beat: datetime | None = None
        self._beats = 0
        self._beat_at = now

    def is_awaited(self, now: float, *, is_claimed: bool, beat: datetime | None) -> bool:
        """Returns whether it may still come.

        `beat` is the last sign of life of a call that is claimed, None if it is unknown. While
        those go on, a worker has the call, and a process or an engine is being started for it.
        """
        if beat is not None and beat != self._beat:
            self._beat, self._beat_at = beat, now
            self._beats += 1
        waited = now - self._began
        if not is_claimed:
            return waited < self._windows.claim
        goes_on = self._beats > 1 and now - self._beat_at < _ALIVE_FOR
        return waited < (_COMES_WITHIN if goes_on else self._windows.present)


def poll_after(waited: float) -> float:
    """Returns the seconds to the next check whether an agent has come, after so long a wait.

    Many calls may wait for theirs at a time, and each check costs the machine that starts them.
    """
    return min(_SOONEST + waited / 10, _LATEST)


def pause_after(attempt: int, *, is_covered: bool = False) -> float | None:
    """Returns the pause before the next attempt; None: there is none.

    `is_covered`: the receptionist speaks to the caller.
    """
    attempts = COVERED_ATTEMPTS if is_covered else ATTEMPTS
    return _PAUSES[min(attempt, len(_PAUSES) - 1)] if attempt < attempts - 1 else None


def deaths_with(deaths: Sequence[float], now: float) -> tuple[float, ...]:
    """Adds a death to those of a call's agents, and drops the ones of long ago."""
    return (*(at for at in deaths if now - at < _CRASHES_WITHIN), now)[-_CRASHES - 1 :]


def may_replace(deaths: Sequence[float]) -> bool:
    """Returns whether another agent may be called, after the deaths that `deaths_with` names."""
    return len(deaths) <= _CRASHES
