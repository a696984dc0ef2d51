"""The picture of this bench: waits by variant and with a failing model, and a recorded turn."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from bench.report.picture import COLOURS, figure
from bench.voice.calls import HANG_UP_AFTER
from bench.voice.failing import LONGEST_WAIT, SLOW, FailingRow
from bench.voice.recording import QUIETEST, Recording
from bench.voice.turns import STAGES, WAIT_LIMITS, Row
from bench.voice.variants import OURS_FAILING, STOCK_FAILING
from tests.voice.replies import FAILURE_CASES

_BLUE, _ORANGE, _GREEN, _PINK, _YELLOW, _SKY, _BLACK, _ = COLOURS
_MARKS = {
    "noticed": ("o", _BLUE),
    "words": ("s", _SKY),
    "decided": ("^", _GREEN),
    "requested": ("D", _YELLOW),
    "first_word": ("v", _ORANGE),
    "speaking": ("P", _PINK),
    "audible": ("X", _BLACK),
}


def draw(
    rows: Sequence[Row], failing: Sequence[FailingRow], recording: Recording | None, path: Path
) -> None:
    height = 0.5 * len(rows)
    ratios = [height + 0.6, 3.6, 3]
    with figure(path, (12, 7.2 + height), rows=3, height_ratios=ratios) as (waits, fails, call):
        _draw_waits(waits, rows)
        _draw_failing(fails, failing)
        if recording:
            _draw_call(call, recording)


def _draw_waits(axis: Axes, rows: Sequence[Row]) -> None:
    for place, row in enumerate(rows):
        waits = [turn.wait for turn in row.waited if turn.wait < math.inf]
        axis.hlines(place, 0, row.stage("audible"), color="#999999", linewidth=1, zorder=1)
        axis.scatter(
            waits, [place + 0.27] * len(waits), marker="|", s=28, color="#777777", linewidth=1,
            label="heard, each turn" if place == 0 else None, zorder=2,
        )  # fmt: skip
        for name, (shape, colour) in _MARKS.items():
            axis.scatter(
                [row.stage(name)], [place], marker=shape, s=52, color=colour, edgecolor="white",
                linewidth=0.6, label=f"{STAGES[name]} (median)" if place == 0 else None, zorder=3,
            )  # fmt: skip
    for limit in WAIT_LIMITS.values():
        axis.axvline(limit, color="#bbbbbb", linestyle=":", zorder=0)
    names = [
        f"{row.variant.title}\np50 {row.wait(0.5):.2f}, p95 {row.wait(SLOW):.2f}" for row in rows
    ]
    _label(
        axis,
        names,
        "From the caller's last sound to the agent's first",
        "seconds after the caller's last sound; dotted: the limits of p50 and p95 of ours",
    )


def _draw_failing(axis: Axes, rows: Sequence[FailingRow]) -> None:
    """Draws a mark for each turn; turns without an answer are at the right edge."""
    ways = [
        ("ours", OURS_FAILING, -0.15, "o", _BLUE),
        ("FallbackAdapter", STOCK_FAILING, 0.15, "D", _ORANGE),
    ]
    for name, variant, offset, shape, colour in ways:
        answers = [
            (place + offset, answer)
            for place, failing in enumerate(FAILURE_CASES)
            for row in rows
            if (row.failing, row.variant) == (failing, variant)
            for answer in row.answers
        ]
        for whole in (True, False):
            marks = [(place, answer) for place, answer in answers if answer.whole == whole]
            axis.scatter(
                [min(answer.turn.wait, HANG_UP_AFTER) for _, answer in marks],
                [place for place, _ in marks],
                marker=shape, s=40, color=colour if whole else "none", edgecolor=colour,
                label=f"{name}: {'whole' if whole else 'not whole'}",
            )  # fmt: skip
    axis.axvline(LONGEST_WAIT, color="#bbbbbb", linestyle=":", zorder=0)
    _label(
        axis,
        [one.title for one in FAILURE_CASES.values()],
        "The same wait when the first model server fails",
        "seconds from the caller's last sound to the agent's first; dotted: the limit of our p95",
    )


def _label(axis: Axes, rows: Sequence[str], title: str, unit: str) -> None:
    axis.set_yticks(range(len(rows)), rows)
    axis.set_ylim(len(rows) - 0.5, -0.6)
    axis.set_xlim(left=0)
    axis.set_xlabel(unit)
    _finish(axis, title)


def _finish(axis: Axes, title: str) -> None:
    axis.set_title(title, fontsize=12)
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=9, frameon=False)


def _draw_call(axis: Axes, recording: Recording) -> None:
    """Draws the turn of the recorded call with the median wait."""
    by_wait = sorted(recording.spoken, key=lambda one: one.turn.wait)
    spoken = by_wait[len(by_wait) // 2]
    before = 1.0
    after = min(spoken.turn.wait, 3.0) + 1.0
    sides = recording.loudness(spoken.ended - before, spoken.ended + after)
    moments = np.arange(len(sides)) * 0.01 - before
    for side, (name, colour) in enumerate([("caller", _BLUE), ("agent", _ORANGE)]):
        axis.fill_between(
            moments, QUIETEST, sides[:, side], color=colour, alpha=0.55, linewidth=0, label=name
        )
    for stage, at in spoken.turn.stages.items():
        shape, colour = _MARKS[stage]
        axis.axvline(at, color=colour, linewidth=1)
        axis.scatter([at], [-4], marker=shape, s=52, color=colour, edgecolor="white", zorder=3)
    axis.axvline(0, color=_BLACK, linestyle="--", linewidth=1)
    axis.set_xlim(-before, after)
    axis.set_ylim(QUIETEST, 0)
    axis.set_ylabel("loudness, dB of full scale")
    axis.set_xlabel("seconds after the caller's last sound")
    _finish(axis, "One turn of a recorded call, ours; the marks are those above")
