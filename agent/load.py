"""Reports how busy the models are, from the processes that hold calls to the worker.

LiveKit's own measure is the processor of this machine, which a saturated model server elsewhere
does not load: the worker would keep accepting calls that no model can answer.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from llm_router.clock import Clock, SystemClock
from llm_router.routing.events import AttemptEvent, ReplyEvent

_STALE_AFTER = 30.0
"""Seconds after which a process's report no longer counts: the process may be gone."""


class LoadBoard:
    """A folder with one small file per process, each holding that process's load of the models.

    A load is a number from 0 (idle) to 1 (no model may be called).
    """

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self._folder = folder
        self._clock = clock or SystemClock()

    def report(self, load: float) -> None:
        """Writes this process's load. A disk that is full is ignored: it must not end a call."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._own_file.write_text(f"{load:.3f}")

    def remove(self) -> None:
        """Removes this process's report."""
        with contextlib.suppress(OSError):
            self._own_file.unlink(missing_ok=True)

    def read(self) -> float:
        """Returns the highest load that any process has reported in the last 30 s, or 0."""
        highest = 0.0
        with contextlib.suppress(OSError):
            for file in self._folder.iterdir():
                # A file that is half written or just removed: its process will report again.
                with contextlib.suppress(OSError, ValueError):
                    if self._clock.wall() - file.stat().st_mtime < _STALE_AFTER:
                        highest = max(highest, float(file.read_text()))
        return highest

    @property
    def _own_file(self) -> Path:
        return self._folder / str(os.getpid())


class LoadReporter:
    """Observer that reports to the board, after each reply, how busy the models are."""

    def __init__(self, board: LoadBoard) -> None:
        self._board = board
        self.saturation: Callable[[], float] = lambda: 0.0
        """The router's saturation; set later, since a router is made after its observers."""

    def attempt_ended(self, event: AttemptEvent) -> None:
        """Does nothing: one report per reply is enough."""

    def reply_ended(self, event: ReplyEvent) -> None:  # noqa: ARG002  only the router's state counts
        self._board.report(self.saturation())
