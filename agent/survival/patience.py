"""Decides how long an agent is waited for, and how often another one is called. Pure."""

from dataclasses import dataclass

CLAIM_WITHIN = 1.5
"""Seconds in which a worker must have taken the call. LiveKit drops a request that no worker can
take, and says nothing."""
PRESENT_WITHIN = 4.0
"""Seconds in which the agent must be in the room: its process may still have to be started."""
ATTEMPTS = 3
"""Agents that are called one after another before the caller gets a goodbye."""
_PAUSES = (0.3, 1.0)
"""Seconds from a failed attempt to the next: the reason may pass."""
_CRASHES = 3
_CRASHES_WITHIN = 60.0
"""Agents of one call that may die within so many seconds: what kills each of them, such as a crash
in an engine, would otherwise start processes for as long as the caller waits."""
_ROOMS = 1000


@dataclass(frozen=True, slots=True)
class Windows:
    """Seconds for an agent to claim its call, and to be in the room."""

    claim: float
    present: float


def windows(attempt: int) -> Windows:
    """Returns the time for an attempt, from 0. Each has more: the machines may be busy."""
    return Windows(CLAIM_WITHIN * 2**attempt, PRESENT_WITHIN * 2**attempt)


def pause_after(attempt: int) -> float | None:
    """Returns the pause before the next attempt; None: there is none."""
    return _PAUSES[attempt] if attempt < ATTEMPTS - 1 else None


class CrashLimit:
    """Counts the agents of each room that have died lately."""

    def __init__(self) -> None:
        self._deaths: dict[str, list[float]] = {}

    def may_replace(self, room: str, now: float) -> bool:
        """Counts a death, and returns whether another agent may be called."""
        deaths = [at for at in self._deaths.pop(room, ()) if now - at < _CRASHES_WITHIN]
        self._deaths[room] = [*deaths, now]
        if len(self._deaths) > _ROOMS:
            del self._deaths[next(iter(self._deaths))]
        return len(deaths) < _CRASHES
