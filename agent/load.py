"""How full the models are, told by the processes that hold calls to the worker that accepts them.

LiveKit's own measure is this machine's processor, which a saturated model server elsewhere does not
touch: a worker would go on accepting calls that nobody can answer.
"""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from livekit.agents import AgentServer
from livekit.agents.worker import _DefaultLoadCalc

from llm_router.routing.events import AttemptEvent, ReplyEvent

_STALE_AFTER = 30.0
"""Seconds after which what a process said no longer counts: it may be gone."""


class LoadBoard:
    """A folder with one small file for each process, saying how full it finds the models: from 0
    (idle) to 1 (none may be asked).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def tell(self, load: float) -> None:
        with contextlib.suppress(OSError):  # a full disk must not end a call
            self._folder.mkdir(parents=True, exist_ok=True)
            self._mine.write_text(f"{load:.3f}")

    def forget(self) -> None:
        with contextlib.suppress(OSError):
            self._mine.unlink(missing_ok=True)

    def read(self) -> float:
        """The worst that any process has told lately."""
        worst = 0.0
        with contextlib.suppress(OSError):
            for file in self._folder.iterdir():
                # Half written or gone by now: that process speaks again soon.
                with contextlib.suppress(OSError, ValueError):
                    if time.time() - file.stat().st_mtime < _STALE_AFTER:
                        worst = max(worst, float(file.read_text()))
        return worst

    @property
    def _mine(self) -> Path:
        return self._folder / str(os.getpid())


class LoadTeller:
    """Observer: after each reply, tells the board how full the models are now."""

    def __init__(self, board: LoadBoard) -> None:
        self._board = board
        self.saturation: Callable[[], float] = lambda: 0.0
        """The router's own; it is there only after its observers."""

    def attempt_ended(self, event: AttemptEvent) -> None:
        """Nothing: a reply is told of as a whole."""

    def reply_ended(self, event: ReplyEvent) -> None:  # noqa: ARG002  what counts is the state now
        self._board.tell(self.saturation())


def measure_load(board: LoadBoard, limit: float) -> Callable[[AgentServer], float]:
    """The worker's load: the processor's or the models', whichever is worse.

    A limit of 0 takes every call: LiveKit sends none to a worker whose load is 1, whatever its
    threshold, which is wrong for a machine that does other things too.
    """

    def load(server: AgentServer) -> float:
        if not limit:
            return 0.0
        return max(_DefaultLoadCalc.get_load(server), board.read())

    return load
