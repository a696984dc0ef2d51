"""Pictures of a bench: dots in rows, contenders told apart by colour and by shape."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("agg")  # no display is needed
from matplotlib import pyplot as plt

# Okabe and Ito, "Color universal design" (2008): told apart by every kind of eye.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_SHAPES = ("o", "s", "^", "D", "v", "P")


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """`values` by contender, one for each row; infinity is drawn at the edge, as `never`."""

    title: str
    values: Mapping[str, Sequence[float]]
    logarithmic: bool = False
    limits: tuple[float, float]
    ticks: Sequence[float]
    labels: Sequence[str]


def draw(path: Path, title: str, rows: Sequence[str], panels: Sequence[Panel]) -> None:
    """A contender is "product, state": the product has the colour and the shape; the first state is
    drawn hollow, any other filled.
    """
    figure, axes = plt.subplots(
        1, len(panels), sharey=True, squeeze=False, layout="constrained", facecolor="white",
        figsize=(6 + 3 * len(panels), 1.8 + 0.55 * len(rows)),
    )  # fmt: skip
    for axis, panel in zip(axes[0], panels, strict=True):
        _panel(axis, panel, rows)
    figure.suptitle(title, fontsize=13)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _panel(axis: Any, panel: Panel, rows: Sequence[str]) -> None:
    products = list(dict.fromkeys(_product(name) for name in panel.values))
    states = list(dict.fromkeys(name.removeprefix(_product(name)) for name in panel.values))
    if panel.logarithmic:
        axis.set_xscale("log")
    axis.set_xlim(*panel.limits)
    axis.set_xticks(panel.ticks, panel.labels)
    axis.minorticks_off()
    axis.set_title(panel.title, fontsize=11)
    axis.set_yticks(range(len(rows)), rows)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.grid(axis="x", color="#dddddd")
    axis.set_axisbelow(True)
    for place in range(1, len(rows)):
        axis.axhline(place - 0.5, color="#eeeeee", linewidth=1)
    for number, (name, values) in enumerate(panel.values.items()):
        which = products.index(_product(name)) % len(_COLOURS)
        hollow = name.removeprefix(_product(name)) == states[0]
        height = (number + 0.5) / len(panel.values) * 0.8 - 0.4
        axis.scatter(
            [panel.limits[1] if math.isinf(value) else value for value in values],
            [row + height for row in range(len(values))],
            label=name,
            s=34,
            marker=_SHAPES[which],
            facecolor="white" if hollow else _COLOURS[which],
            edgecolor=_COLOURS[which],
            linewidth=1.4,
            clip_on=False,
            zorder=3,
        )


def _product(name: str) -> str:
    return name.rpartition(", ")[0] or name
