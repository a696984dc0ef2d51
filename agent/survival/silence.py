"""Decides who has died: whose signs of life stay away, or who has said so. Pure: every time is an
argument.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from llm_router.voice.calls import Call

HUNG_AFTER = 2.5
"""Seconds without a beat after which a call's event loop is taken for hung."""
BEAT_AFTER = 5.0
"""Seconds after its last beat for which a call process counts as alive to a process that finds its
call silent in the database. Its own worker ends a hung process sooner; whether that worker is dead
can be seen on its machine."""
STANDS_AFTER = 0.4
"""The same for one whose worker is dead: it ends as soon as it notices."""
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


@dataclass(frozen=True, slots=True)
class JobBeat:
    """A reading of a call process: the last beat of its event loop, 0 for none, and how long it has
    waited for a processor in all (s).
    """

    at: float
    waited: float = 0.0


@dataclass(frozen=True, slots=True)
class _Quiet:
    beat: float
    since: float
    waited: float

    def seconds(self, now: float, waited: float) -> float:
        """Returns how long the process could have beaten and has not, a quarter of it at least."""
        passed = now - self.since
        return max(passed - (waited - self.waited), passed / 4)


class HungJobs:
    """Finds the call processes whose event loop has stopped.

    One that waits for a processor on a busy machine does not hang, and to start another in its
    place would make that worse. A worker that was itself stopped, or had no processor, has missed
    beats: after a late step every process gets its time anew.
    """

    def __init__(self, every: float) -> None:
        self._late_step = 4 * every
        self._quiet: dict[int, _Quiet] = {}
        self._stepped_at: float | None = None

    def step(self, beats: Mapping[int, JobBeat], now: float) -> list[int]:
        """Returns the processes that hang, of those that are given."""
        was_late = self._stepped_at is not None and now - self._stepped_at > self._late_step
        self._stepped_at = now
        quiet = {}
        for process, beat in beats.items():
            known = self._quiet.get(process)
            is_same = known is not None and known.beat == beat.at and not was_late
            quiet[process] = known if known and is_same else _Quiet(beat.at, now, beat.waited)
        self._quiet = quiet
        return [
            process
            for process, beat in beats.items()
            if quiet[process].seconds(now, beat.waited) > (HUNG_AFTER if beat.at else STARTING)
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
                if is_gone(call):
                    lost.append(call)
                    seen[call.id].since = now + _RESCUED_FOR
                continue
            known.times += 1
            seen[call.id] = known
            if known.times >= _SAME_IN and now - known.since >= _patience(call):
                lost.append(call)
                known.since = now + _RESCUED_FOR
        self._seen = seen
        return lost


def is_gone(call: Call) -> bool:
    """Returns whether the agent itself has noted its end, when its worker died."""
    return bool(call.job and not call.worker)


def _patience(call: Call) -> float:
    return _SAME_FOR if call.job else _RESCUED_FOR
