"""Prints the progress of set-up: a line for each step, and the end of a failed step's log."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from deploy import paths

TAIL_LINES = 25
SPINNER = "|/-\\"


class ReportedError(Exception):
    """An error that is reported to the person in words, without a traceback."""

    def report(self) -> str:
        """Returns the report to print."""
        return str(self)


class StepError(ReportedError):
    """A failed step: its message, its `remedy`, and the `log` with the details."""

    def __init__(self, message: str, remedy: str, log: Path | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.log = log

    def report(self) -> str:
        """Returns the message, the end of the log, and the remedy."""
        lines = [f"Failed: {self}"]
        if self.log and (end := tail(self.log)):
            lines += ["", *(f"    {line}" for line in end), "", f"The whole log: {self.log}"]
        return "\n".join([*lines, f"What to do: {self.remedy}"])


class Step:
    """A running step of set-up, with its log."""

    def __init__(self, title: str, log: Path) -> None:
        self.title = title
        self.log = log

    def run(
        self,
        command: Sequence[str | Path],
        *,
        remedy: str,
        cwd: Path = paths.ROOT,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Runs a command to its end; its output goes to the log.

        Raises StepError with `remedy` if it cannot start or its exit code is not 0. If the wait is
        interrupted, kills the command and its children first.
        """
        arguments = [str(argument) for argument in command]
        with self.log.open("ab") as output:
            output.write(f"$ {' '.join(arguments)}\n".encode())
            output.flush()
            try:
                process = subprocess.Popen(
                    arguments,
                    cwd=cwd,
                    env={**os.environ, **(environ or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise StepError(
                    f"{self.title}: {arguments[0]}: {error}", remedy, self.log
                ) from error
            try:
                code = process.wait()
            except BaseException:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise
        if code:
            program = Path(arguments[0]).name
            raise StepError(f"{self.title}: {program} ended with {code}", remedy, self.log)


@contextmanager
def step(title: str, progress: Callable[[], str] = str) -> Iterator[Step]:
    """Shows a step while its body runs: a moving line on a terminal, plain lines elsewhere.

    The moving line shows what `progress` returns, which is called in a thread.
    """
    name = "-".join(re.findall(r"\w+", title.lower()))
    # Of this checkout: another's set-up, at the same time, would remove the reason for a failure.
    log = paths.logs_folder(f"setup-{zlib.crc32(bytes(paths.ROOT)):08x}") / f"{name}.log"
    log.unlink(missing_ok=True)
    started = time.monotonic()
    with busy(title, progress):
        yield Step(title, log)
    say(f"{title}: done in {time.monotonic() - started:.0f} s")
    log.unlink(missing_ok=True)  # only the log of a failed step is useful


@contextmanager
def busy(title: str, progress: Callable[[], str] = str) -> Iterator[None]:
    """Shows activity until the body ends."""
    with _ticking(title, progress) if sys.stdout.isatty() else _announced(title):
        yield


def say(line: str) -> None:
    """Prints a line and flushes it, also into a pipe."""
    print(line, flush=True)


def tail(file: Path, lines: int = TAIL_LINES) -> list[str]:
    """Returns the last lines of a log, or an empty list if there is no log."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    except OSError:
        return []


@contextmanager
def _announced(title: str) -> Iterator[None]:
    say(f"{title} ...")
    yield


@contextmanager
def _ticking(title: str, progress: Callable[[], str]) -> Iterator[None]:
    started = time.monotonic()
    finished = threading.Event()

    def tick() -> None:
        turn = 0
        while not finished.wait(0.1):
            turn += 1
            seconds = f"{time.monotonic() - started:.0f} s"
            words = " ".join(filter(None, [SPINNER[turn % 4], title, progress(), seconds]))
            print(f"\r{words}\x1b[K", end="", flush=True)

    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    try:
        yield
    finally:
        finished.set()
        ticker.join()
        print("\r\x1b[K", end="", flush=True)
