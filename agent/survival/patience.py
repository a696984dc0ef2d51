"""Decides how long an agent is waited for, and how often another one is called. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from agent.survival.silence import BEATS_EVERY, STARTING

CLAIM_WITHIN = 1.5
"""Seconds in which a worker must have taken the call. LiveKit drops a request that no worker can
take, and says nothing."""
PRESENT_WITHIN = 4.0
"""Seconds in which the agent must be in the room, unless its worker shows that it is starting."""
_ALIVE_FOR = 4 * BEATS_EVERY
"""Seconds after a beat for which a worker counts as one that still starts its agent."""
ATTEMPTS = 3
"""Agents that are called one after another before the caller gets a goodbye."""
_PAUSES = (0.3, 1.0)
"""Seconds from a failed attempt to the next: the reason may pass."""
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
    return Windows(CLAIM_WITHIN * 2**attempt, PRESENT_WITHIN * 2**attempt)


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
        return waited < (STARTING if goes_on else self._windows.present)


def pause_after(attempt: int) -> float | None:
    """Returns the pause before the next attempt; None: there is none."""
    return _PAUSES[attempt] if attempt < ATTEMPTS - 1 else None


def deaths_with(deaths: Sequence[float], now: float) -> tuple[float, ...]:
    """Adds a death to those of a call's agents, and drops the ones of long ago."""
    return (*(at for at in deaths if now - at < _CRASHES_WITHIN), now)[-_CRASHES - 1 :]


def may_replace(deaths: Sequence[float]) -> bool:
    """Returns whether another agent may be called, after the deaths that `deaths_with` names."""
    return len(deaths) <= _CRASHES
