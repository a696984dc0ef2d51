"""Measures what a process takes of the machine's memory and time."""

import os
from dataclasses import dataclass
from pathlib import Path

_MEGABYTE = 1_000_000
_OWN = frozenset({"Private_Clean", "Private_Dirty"})


@dataclass(frozen=True, slots=True)
class Memory:
    """Megabytes of a process. `own`: no other process has them (USS). `share`: with its part of
    those that several have (PSS).
    """

    own: float
    share: float


def memory_of(process: int) -> Memory:
    kilobytes: dict[str, int] = {}
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, size = line.partition(":")
        kilobytes[name] = int(size.split()[0])
    own = sum(size for name, size in kilobytes.items() if name in _OWN)
    return Memory(own * 1024 / _MEGABYTE, kilobytes["Pss"] * 1024 / _MEGABYTE)


def work_of(process: int) -> float:
    """Returns the processor time that the process has taken (s)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children() -> list[int]:
    """Lists the processes that this one has started."""
    tasks = Path("/proc/self/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]
