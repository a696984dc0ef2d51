"""Follows whether a worker's call processes come up, and reports why one does not."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FAILURE = "error initializing process"
"""LiveKit's record of a process that did not come up. It says so nowhere else."""
_UP = "up-after-"
"""Beginning of the name of a file, which ends with the number of failures before a success."""
_REASON = "process initialization failed: "
"""Words that LiveKit puts before the process's own error."""


class Starts:
    """Starts of the call processes of one worker, which they share as files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._failures = folder / "failures"
        self._rehearsed = folder / "rehearsed"
        folder.mkdir(parents=True, exist_ok=True)
        self._failures.touch()

    @property
    def failures(self) -> int:
        """Number of call processes that did not come up."""
        return self._failures.stat().st_size

    @property
    def has_succeeded(self) -> bool:
        """Whether any call process of this worker has come up."""
        return any(self._folder.glob(f"{_UP}*"))

    @property
    def is_failing(self) -> bool:
        """Whether none has come up of the call processes that began after the last failure.

        One that began before it proves nothing: it may have read a file before that was broken.
        LiveKit starts another process after each failure, so that there is one that proves it.
        """
        failures = self.failures
        return failures > 0 and not self._up_after(failures).exists()

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

    def succeeded(self, failures: int) -> None:
        """Reports that a process came up; `failures`: their number when it began."""
        self._up_after(failures).touch()

    def failed(self) -> None:
        with self._failures.open("ab") as file:
            file.write(b".")

    def _up_after(self, failures: int) -> Path:
        return self._folder / f"{_UP}{failures}"


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
