"""Follows whether a worker's call processes come up, and reports why one does not."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FAILURE = "error initializing process"
"""LiveKit's record of a process that did not come up. It says so nowhere else."""
_REASON = "process initialization failed: "
"""Words that LiveKit puts before the process's own error."""


class Starts:
    """Starts of the call processes of one worker, which they share as files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._succeeded = folder / "succeeded"
        self._failed = folder / "failed"
        self._rehearsed = folder / "rehearsed"
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def has_succeeded(self) -> bool:
        """Whether any call process of this worker has come up."""
        return self._succeeded.exists()

    @property
    def is_failing(self) -> bool:
        """Whether the last call process to start did not come up."""
        return self._failed.exists()

    @contextmanager
    def rehearsal(self) -> Iterator[bool]:
        """Yields True to one process of the worker, which is to try the engines in the block.

        If the block raises, the next process tries them.
        """
        try:
            self._rehearsed.touch(exist_ok=False)
        except FileExistsError:
            yield False
            return
        try:
            yield True
        except BaseException:
            self._rehearsed.unlink(missing_ok=True)
            raise

    def succeeded(self) -> None:
        self._succeeded.touch()
        self._failed.unlink(missing_ok=True)

    def failed(self) -> None:
        self._failed.touch()


class StartFailures(logging.Filter):
    """Reads from LiveKit's log, as a filter of it, which call processes did not come up.

    Each reason is logged once, however many processes fail with it in a row: LiveKit starts another
    at once and would log a traceback for each.
    """

    def __init__(self, starts: Starts) -> None:
        super().__init__()
        self._starts = starts
        self.reason = ""
        """Why the last process that failed did not come up."""
        self.never_up = asyncio.Event()
        """Set if a process has failed before any has come up."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.msg != _FAILURE:
            return True
        reason = _reason(record)
        is_new = reason != self.reason or not self._starts.is_failing
        self._starts.failed()
        self.reason = reason
        if not self._starts.has_succeeded:
            self.never_up.set()
            return False  # it ends the worker, which reports it
        record.msg = "a call process did not start, and no call can be answered: %s"
        record.args = (reason,)
        record.exc_info = record.exc_text = None
        return is_new


def _reason(record: logging.LogRecord) -> str:
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, TimeoutError):
        return "it was not ready in time"
    return str(error).removeprefix(_REASON) or f"it ended early ({type(error).__name__})"
