"""Decides whose work is next on the threads of the speech process.

It is pure: it reads no clock and starts nothing.
"""

import itertools
import math
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Generic, TypeVar

W = TypeVar("W")

_URGENT = 0.3
"""Seconds of sound left to play below which a voice is as urgent as one that has not begun."""
_LATE = 0.1
"""Seconds that urgent work may wait before interim words are too much."""
_CALM_AFTER = 5.0
"""Seconds without late work after which there are interim words again."""
_REST = 5.0
"""Seconds without interim work after it, for each second that it took: all callers' together get a
sixth of the time, and less where a busy machine stretches it."""


class Rank(IntEnum):
    """Kinds of work, the most urgent first."""

    FIRST_SOUND = 0
    """The beginning of a voice: a caller hears nothing until it is there."""
    FINAL = 1
    """The words of a turn that is over, or may be."""
    MORE_SOUND = 2
    """The rest of a reply's sound, whose beginning is still playing."""
    INTERIM = 3
    """Words while the caller speaks. More audio will come, so it never waits."""


class BusyError(Exception):
    """Raised when there is no place for more work.

    Interim work is refused while any waits, for 5 s after urgent work had to wait, and for five
    times as long as the last took: the processor goes to the words and the voices that callers wait
    for.
    """


@dataclass(eq=False, slots=True)
class Step(Generic[W]):
    """Some work that runs on one thread, from its begin to its end."""

    work: W
    rank: Rank
    silent_at: float = math.inf
    """Time at which the sound made before will have been played, for MORE_SOUND."""
    number: int = field(default=0, compare=False)
    added_at: float = field(default=0.0, compare=False)
    begun_at: float = field(default=0.0, compare=False)


class Schedule(Generic[W]):
    """Orders the steps that wait, and knows how many run."""

    def __init__(self, threads: int, most_waiting: int) -> None:
        """`most_waiting`: bound of the steps that wait, the rest of voices aside."""
        self._threads = threads
        self._most_waiting = most_waiting
        self._waiting: list[Step[W]] = []
        self._running: set[Step[W]] = set()
        self._numbers = itertools.count()
        self._busy_until = -math.inf
        """Time until which no interim work is done."""

    def __repr__(self) -> str:
        waiting = ", ".join(step.rank.name for step in self._waiting)
        return f"<Schedule running={len(self._running)} of {self._threads} waiting=[{waiting}]>"

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def add(self, step: Step[W], now: float) -> None:
        """Adds a step that is to run. Raises BusyError if there is no place for it.

        A voice that has begun is never refused: its caller would be left in mid-sentence.
        """
        if step.rank is Rank.INTERIM:
            # One thread stays free, so that urgent work need not wait for its end.
            has_place = not self._running or len(self._running) + 1 < self._threads
            if self._waiting or not has_place or now < self._busy_until:
                raise BusyError("the speech process is busy; interim words are left out")
        elif step.rank is not Rank.MORE_SOUND and len(self._waiting) >= self._most_waiting:
            raise BusyError("the speech process has too much to do")
        step.number = next(self._numbers)
        step.added_at = now
        self._waiting.append(step)

    def take(self, now: float) -> Step[W] | None:
        """Returns the step to run now, or None if every thread is busy or nothing waits."""
        if len(self._running) >= self._threads or not self._waiting:
            return None
        step = min(self._waiting, key=lambda step: _key(step, now))
        self._waiting.remove(step)
        self._running.add(step)
        step.begun_at = now
        if step.rank < Rank.MORE_SOUND and now - step.added_at > _LATE:
            self._busy_until = max(self._busy_until, now + _CALM_AFTER)
        return step

    def remove(self, step: Step[W], now: float) -> None:
        """Removes a step that has ended, or that is not wanted any longer."""
        if step in self._running and step.rank is Rank.INTERIM:
            self._busy_until = max(self._busy_until, now + _REST * (now - step.begun_at))
        self._running.discard(step)
        if step in self._waiting:
            self._waiting.remove(step)


def _key(step: Step[W], now: float) -> tuple[int, float, int]:
    is_urgent = step.rank is Rank.MORE_SOUND and step.silent_at - now < _URGENT
    rank = Rank.FIRST_SOUND if is_urgent else step.rank
    due = step.silent_at if step.rank is Rank.MORE_SOUND else -math.inf
    return rank, due, step.number
