"""Stops processes in the middle of what they do (SIGSTOP): a server that hangs in earnest."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def family(of: str) -> list[int]:
    """Returns the process whose command line has the argument `of`, and its children."""
    parents = {int(stat.parent.name): _parent(stat) for stat in Path("/proc").glob("[0-9]*/stat")}
    [first] = [pid for pid in parents if of in _arguments(pid)]
    return [first, *(pid for pid, parent in parents.items() if parent == first)]


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:  # it has ended
        return []


def _parent(stat: Path) -> int:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@contextmanager
def frozen(of: str) -> Iterator[None]:
    """Freezes the process whose command line has the argument `of`, with its children."""
    stopped = family(of)
    try:
        _signal(stopped, signal.SIGSTOP)
        yield
    finally:
        _signal(stopped, signal.SIGCONT)


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # a child of a server may end at any time
            os.kill(pid, number)
