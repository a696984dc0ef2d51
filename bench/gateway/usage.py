"""Processor time and memory of another process and of those that it has started (Linux)."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_PROCESS_CLOCK = 2  # CPUCLOCK_SCHED of Linux's dynamic clocks: the work of a whole process, in ns


def processor_seconds(pid: int) -> float:
    """Returns the work of a process and its children so far."""
    return sum(time.clock_gettime((~one << 3) | _PROCESS_CLOCK) for one in _family(pid))


def resident_bytes(pid: int) -> int:
    """Returns the memory of a process and its children; shared pages count for each."""
    pages = (Path(f"/proc/{one}/statm").read_text().split()[1] for one in _family(pid))
    return sum(map(int, pages)) * _PAGE


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # the thread has ended
            for child in (task / "children").read_text().split():
                yield from _family(int(child))
