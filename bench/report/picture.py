"""Pictures: figures with shared colours, bars and lines."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("agg")  # no display is needed
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
"""Distinct for every kind of colour vision (Okabe and Ito, "Color universal design", 2008)."""
GREY = "#888888"
"""The colour of limits and other lines that are no measurement."""
Line = tuple[Sequence[float], Sequence[float]]
"""The x values and the y values."""


@contextmanager
def figure(
    path: Path,
    size: tuple[float, float],
    *,
    rows: int = 1,
    columns: int = 1,
    dpi: int = 130,
    **options: Any,
) -> Iterator[list[Axes]]:
    """Yields the axes, row by row, and saves the picture when the block ends."""
    drawn, axes = plt.subplots(
        rows, columns, squeeze=False, layout="constrained", facecolor="white", figsize=size,
        **options,
    )  # fmt: skip
    try:
        yield list(axes.flat)
        drawn.savefig(path, dpi=dpi)
    finally:
        plt.close(drawn)


def draw_bars(
    axis: Axes, title: str, values: Mapping[str, float], colours: Sequence[str] = COLOURS
) -> None:
    axis.bar(range(len(values)), list(values.values()), color=colours[: len(values)])
    axis.set_xticks(range(len(values)), [name.replace(", ", "\n") for name in values])
    axis.set_title(title)
    add_grid(axis)


def draw_lines(
    axis: Axes,
    title: str,
    lines: Mapping[str, Line],
    *,
    limit: float | None = None,
    colours: Sequence[str] = COLOURS,
    **settings: Any,
) -> None:
    """Draws a line for each name, and a dashed one at the limit. `settings`: of the axis."""
    for colour, (name, (xs, ys)) in zip(colours, lines.items(), strict=False):
        axis.plot(xs, ys, "o-", color=colour, label=name)
    if limit is not None:
        axis.axhline(limit, color=GREY, linestyle="--", linewidth=1)
    axis.set(title=title, **settings)
    add_grid(axis)


def add_grid(axis: Axes, which: Any = "y") -> None:
    axis.grid(axis=which, color="#dddddd")
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
