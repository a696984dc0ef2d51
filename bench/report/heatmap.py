"""Pictures of a bench with many rows: one coloured table for each figure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from PIL import Image

from bench.report.picture import figure

_COLOURS = "cividis_r"  # lightness alone varies: distinct for every kind of vision, and in grey
_COLUMNS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Heatmap:
    """`values`: by row, then by column. `good` is drawn lightest, `bad` darkest."""

    title: str
    values: Sequence[Sequence[float]]
    form: Callable[[float], str]
    good: float
    bad: float
    logarithmic: bool = False

    def shade(self, value: float) -> float:
        """Returns the darkness of a value, from 0 (good) to 1 (bad)."""
        if not math.isfinite(value):
            return 1.0
        scale = math.log if self.logarithmic else float
        good = scale(self.good)
        bad = scale(self.bad)
        return min(1.0, max(0.0, (scale(max(value, 1e-9)) - good) / (bad - good)))


def draw_heatmaps(
    path: Path, title: str, rows: Sequence[str], columns: Sequence[str], maps: Sequence[Heatmap]
) -> None:
    """Draws the maps side by side, with the same names of rows and columns."""
    down = math.ceil(len(maps) / _COLUMNS)
    size = (4 + 2.1 * len(columns), 2.6 + 0.24 * len(rows) * down)
    grid = {"rows": down, "columns": _COLUMNS, "sharex": True, "sharey": True}
    with figure(path, size, dpi=110, **grid) as axes:
        for axis, one in zip(axes, maps, strict=True):
            _draw(axis, one)
            axis.set_yticks(range(len(rows)), rows)
            axis.set_xticks(range(len(columns)), columns, rotation=35, ha="right")
        axes[0].get_figure(root=True).suptitle(title, fontsize=15)  # type: ignore[union-attr]  # it has one
    with Image.open(path) as picture:  # few colours, much text: a palette takes a quarter
        picture.quantize(64).save(path, optimize=True)


def _draw(axis: Axes, one: Heatmap) -> None:
    shades = [[one.shade(value) for value in row] for row in one.values]
    axis.imshow(shades, cmap=_COLOURS, vmin=0, vmax=1, aspect="auto")
    axis.set_title(one.title, fontsize=12)
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)
    for y, (values, row) in enumerate(zip(one.values, shades, strict=True)):
        for x, (value, shade) in enumerate(zip(values, row, strict=True)):
            ink = "white" if shade > 0.55 else "black"
            axis.text(x, y, one.form(value), ha="center", va="center", fontsize=8, color=ink)
