"""Pictures of a bench with many rows: one coloured table for each figure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("agg")  # no display is needed
from matplotlib import pyplot as plt
from PIL import Image

_COLOURS = "cividis_r"  # one scale of lightness: told apart by every kind of eye, and in grey
_ACROSS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """`values` by row, then by column, as `shown`; `good` is the light end, `bad` the dark one."""

    title: str
    values: Sequence[Sequence[float]]
    shown: Callable[[float], str]
    good: float
    bad: float
    logarithmic: bool = False

    def shade(self, value: float) -> float:
        """From 0, good, to 1, bad."""
        if not math.isfinite(value):
            return 1.0
        scale = math.log if self.logarithmic else float
        good, bad = scale(self.good), scale(self.bad)
        return min(1.0, max(0.0, (scale(max(value, 1e-9)) - good) / (bad - good)))


def draw(
    path: Path, title: str, rows: Sequence[str], columns: Sequence[str], heats: Sequence[Heat]
) -> None:
    down = math.ceil(len(heats) / _ACROSS)
    figure, axes = plt.subplots(
        down, _ACROSS, sharex=True, sharey=True, squeeze=False, layout="constrained",
        facecolor="white", figsize=(4 + 2.1 * len(columns), 2.6 + 0.24 * len(rows) * down),
    )  # fmt: skip
    for axis, heat in zip(axes.flat, heats, strict=True):
        _table(axis, heat)
        axis.set_yticks(range(len(rows)), rows)
        axis.set_xticks(range(len(columns)), columns, rotation=35, ha="right")
    figure.suptitle(title, fontsize=15)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    with Image.open(path) as picture:  # few colours, many words: a palette takes a quarter
        picture.quantize(64).save(path, optimize=True)


def _table(axis: Any, heat: Heat) -> None:
    shades = [[heat.shade(value) for value in row] for row in heat.values]
    axis.imshow(shades, cmap=_COLOURS, vmin=0, vmax=1, aspect="auto")
    axis.set_title(heat.title, fontsize=12)
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)
    for y, (values, row) in enumerate(zip(heat.values, shades, strict=True)):
        for x, (value, shade) in enumerate(zip(values, row, strict=True)):
            ink = "white" if shade > 0.55 else "black"
            axis.text(x, y, heat.shown(value), ha="center", va="center", fontsize=8, color=ink)
