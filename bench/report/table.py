"""Tables for a terminal and for a page, and the formats of their figures."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells below a head. The first column is aligned to the left, the others to the right.

    `last_is_text`: the last column is aligned to the left, too.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    last_is_text: bool = False

    @property
    def text(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.head, *self.rows, strict=True)]
        rule = ["─" * width for width in widths]
        return "\n".join(self._line(row, widths) for row in (self.head, rule, *self.rows))

    @property
    def markdown(self) -> str:
        marks = ["---" if self._is_left(n) else "---:" for n in range(len(self.head))]
        return "\n".join(f"| {' | '.join(row)} |" for row in (self.head, marks, *self.rows))

    def _line(self, row: Sequence[str], widths: Sequence[int]) -> str:
        cells = [
            cell.ljust(width) if self._is_left(column) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    def _is_left(self, column: int) -> bool:
        return column == 0 or (self.last_is_text and column == len(self.head) - 1)


def make_table(
    items: Iterable[T],
    columns: Sequence[tuple[str, Callable[[T], str]]],
    *,
    last_is_text: bool = False,
) -> Table:
    """Makes a row of each item. A column is its head and the cell of an item."""
    rows = [[cell(item) for _, cell in columns] for item in items]
    return Table([head for head, _ in columns], rows, last_is_text)


def seconds(value: float) -> str:
    """Formats a time in seconds: "never" for infinity, "–" for NaN (not measured)."""
    if math.isnan(value):
        return "–"
    return "never" if math.isinf(value) else f"{value:.2f}"


def milliseconds(value: float) -> str:
    """Formats a time in seconds as milliseconds."""
    return f"{value * 1e3:.2f}"


def microseconds(value: float) -> str:
    """Formats a time in seconds as microseconds."""
    return f"{value * 1e6:,.1f}"


def percent(share: float) -> str:
    return f"{share:.0%}"


def ratio(value: float) -> str:
    """Formats a ratio: "–" for infinity (a division by zero)."""
    return "–" if math.isinf(value) else f"{value:.2f}"
