"""What a person sees while set-up works: a line for each step, and a failed step's last words."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from deploy import paths

TAIL_LINES = 25
SPINNER = "|/-\\"


class ReportedError(Exception):
    """Something a person must be told instead of a traceback."""

    def report(self) -> str:
        """Return what they should read."""
        return str(self)


class StepError(ReportedError):
    """A step failed: the message says what, `remedy` what to do next, `log` where the rest is."""

    def __init__(self, message: str, remedy: str, log: Path | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.log = log

    def report(self) -> str:
        """Return the failure as a person should read it, with the end of the log."""
        lines = [f"Failed: {self}"]
        if self.log and (end := tail(self.log)):
            lines += ["", *(f"    {line}" for line in end), "", f"The whole log: {self.log}"]
        return "\n".join([*lines, f"What to do: {self.remedy}"])


class Step:
    """One piece of work under way, with its log."""

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
        """Run a command to its end, its words going to the log.

        Raises StepError with `remedy` when it cannot start or ends with anything but 0. Whatever
        interrupts the wait ends the command first, and all that it has started.
        """
        words = [str(word) for word in command]
        with self.log.open("ab") as output:
            output.write(f"$ {' '.join(words)}\n".encode())
            output.flush()
            try:
                process = subprocess.Popen(
                    words,
                    cwd=cwd,
                    env={**os.environ, **(environ or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise StepError(f"{self.title}: {words[0]}: {error}", remedy, self.log) from error
            try:
                code = process.wait()
            except BaseException:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise
        if code:
            program = Path(words[0]).name
            raise StepError(f"{self.title}: {program} ended with {code}", remedy, self.log)


@contextmanager
def step(title: str) -> Iterator[Step]:
    """Show a step while its body works: a moving line on a terminal, plain lines elsewhere."""
    name = "-".join(title.lower().split())
    log = paths.logs_folder("setup") / f"{name}.log"
    log.unlink(missing_ok=True)
    started = time.monotonic()
    with busy(title):
        yield Step(title, log)
    say(f"{title}: done in {time.monotonic() - started:.0f} s")
    log.unlink(missing_ok=True)  # only a failed step's log is worth keeping


@contextmanager
def busy(title: str) -> Iterator[None]:
    """Show that something goes on until the body ends."""
    with _ticking(title) if sys.stdout.isatty() else _announced(title):
        yield


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)


def tail(file: Path, lines: int = TAIL_LINES) -> list[str]:
    """Return the last lines of a log, or none if there is no log."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    except OSError:
        return []


@contextmanager
def _announced(title: str) -> Iterator[None]:
    say(f"{title} ...")
    yield


@contextmanager
def _ticking(title: str) -> Iterator[None]:
    started = time.monotonic()
    finished = threading.Event()

    def tick() -> None:
        turn = 0
        while not finished.wait(0.1):
            turn += 1
            seconds = time.monotonic() - started
            print(f"\r{SPINNER[turn % 4]} {title} {seconds:.0f} s", end="", flush=True)

    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    try:
        yield
    finally:
        finished.set()
        ticker.join()
        print("\r\x1b[K", end="", flush=True)
