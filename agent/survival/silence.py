"""Decides who has died, from signs of life that stay away. Pure: every time is an argument."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from llm_router.voice.calls import Call

HUNG_AFTER = 2.5
"""Seconds without a beat after which a call's event loop is taken for hung."""
STARTING = 15.0
"""Seconds in which a call process must have begun to beat."""
BEATS_EVERY = 0.5
"""Seconds between the beats of a worker's calls in the database."""
QUIET_AFTER = 0.75
"""Seconds after which a beat in the database is late: clocks of machines may differ by more, so a
late beat is only a reason to watch the call."""
_SAME_FOR = 1.0
"""Seconds for which a late beat must stay the same, on the watcher's own clock."""
_SAME_IN = 3
"""Readings in which it must be the same: a database that stood still delays beats too."""
_RESCUED_FOR = 8.0
"""Seconds for which a later agent's call is left to the process that has asked for it."""


class HungJobs:
    """Finds the call processes whose event loop has stopped.

    A worker that was itself stopped, or had no processor, has missed beats: after a late step every
    process gets its time anew.
    """

    def __init__(self, every: float) -> None:
        self._late_step = 4 * every
        self._since: dict[int, float] = {}
        self._beats: dict[int, float] = {}
        self._stepped_at: float | None = None

    def step(self, beats: Mapping[int, float], now: float) -> list[int]:
        """Returns the processes that hang. `beats`: the last beat of each process, 0 for none."""
        was_late = self._stepped_at is not None and now - self._stepped_at > self._late_step
        self._stepped_at = now
        since = {}
        for process, beat in beats.items():
            is_same = self._beats.get(process) == beat and not was_late
            since[process] = self._since[process] if is_same else now
        self._since, self._beats = since, dict(beats)
        return [
            process
            for process, beat in beats.items()
            if now - since[process] > (HUNG_AFTER if beat else STARTING)
        ]


@dataclass(slots=True)
class _Seen:
    beat: datetime
    since: float
    times: int = 1


class SilentCalls:
    """Finds the calls in the database whose agent is gone, or never came."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def step(self, quiet: Iterable[Call], now: float) -> list[Call]:
        """Returns the calls that need another agent. `quiet`: the calls whose beat is late.

        Each is returned once for a beat: somebody acts on it, or its beat goes on.
        """
        seen: dict[str, _Seen] = {}
        lost = []
        for call in quiet:
            known = self._seen.get(call.id)
            if known is None or known.beat != call.last_beat:
                seen[call.id] = _Seen(call.last_beat, now)
                continue
            known.times += 1
            seen[call.id] = known
            if known.times >= _SAME_IN and now - known.since >= _patience(call):
                lost.append(call)
                known.since = now + _RESCUED_FOR
        self._seen = seen
        return lost


def _patience(call: Call) -> float:
    return _SAME_FOR if call.job else _RESCUED_FOR
