"""What every bench prints: tables for a terminal and for a page, and where it was measured."""

import math
import os
import platform
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

Progress = Callable[[str], None]


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side; the first and the last to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        last = len(cells) - 1
        padded = [
            cell.ljust(width) if place in {0, last} else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(padded).rstrip()

    return "\n".join([line(head), line(["─" * width for width in widths]), *map(line, rows)])


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    marks = ["---", *["---:"] * (len(head) - 2), "---"]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, marks, *rows])


def seconds(value: float) -> str:
    """Infinity is a wait that never ended."""
    return "never" if math.isinf(value) else f"{value:.2f}"


def milliseconds(value: float) -> str:
    """Of a time in seconds."""
    return f"{value * 1000:.2f}"


def percent(share: float) -> str:
    return f"{share:.0%}"


def times(value: float) -> str:
    return "–" if math.isinf(value) else f"{value:.2f}"


def machine() -> str:
    """Where this ran, and when (UTC)."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    today = datetime.now(UTC).date().isoformat()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{cores} cores, {platform.machine()}, {platform.system()}, {python}, {today}"


def progress() -> Progress:
    """Tells how far it is, on one line of a terminal; without a terminal, nothing."""
    if not sys.stderr.isatty():
        return lambda _: None
    return lambda said: print(f"\r\x1b[K{said}", end="", file=sys.stderr, flush=True)
