"""The tables of the voice bench, and the page and picture made of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("agg")  # no display is needed
import numpy as np
from matplotlib import pyplot as plt

from bench.report.table import machine, markdown_table, seconds, text_table, times
from bench.voice.calls import HANGS_UP, SENTENCES
from bench.voice.failing import LONGEST_PAUSE, LONGEST_WAIT, SLOW, FailingRow, wait
from bench.voice.recording import QUIETEST, Recording
from bench.voice.turns import GOALS, STAGES, Row, Turn
from bench.voice.variants import ANSWER, FIRST_TOKEN, GAP, OURS, OURS_FAILING, STOCK, STOCK_FAILING
from tests.voice.replies import FAILINGS, REPLY


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """`load`: tasks that wanted a processor before and at the end, a minute's average.
    `longest_wait`: seconds that the caller's process waited for one, at most.
    """

    rows: Sequence[Row]
    failing: Sequence[FailingRow]
    recording: Recording | None
    load: tuple[float, float]
    longest_wait: float
    realtime: bool = False


_WAITS = ("", "p50 s", "p95 s", "max s", "p50 of stock", "asked", "talked over", "goal")
_WAYS = ("after the last sound, s", *STAGES.values())
_GAINS = ("against ours", "p50 s", "p95 s", "")
_RESCUES = ("when the model", *("p50 s", "p95 s", "longest pause s", "whole") * 2, "")


def waits_table(rows: Sequence[Row]) -> str:
    return text_table(_WAITS, _waits(rows))


def ways_table(rows: Sequence[Row]) -> str:
    return text_table((*_WAYS, ""), [[*cells, ""] for cells in _ways(rows)])


def failing_table(rows: Sequence[FailingRow]) -> str:
    return text_table(_RESCUES, _rescues(rows))


def _rescues(rows: Sequence[FailingRow]) -> list[list[str]]:
    """A row for each fault: ours, then LiveKit's."""
    by_way = {(row.failing, row.variant): row for row in rows}
    cells = [
        [
            FAILINGS[failing].title,
            *_rescue(by_way.get((failing, OURS_FAILING))),
            *_rescue(by_way.get((failing, STOCK_FAILING))),
            "",
        ]
        for failing in FAILINGS
        if any(row.failing == failing for row in rows)
    ]
    ours, stock = (
        [row for row in rows if row.variant == way] for way in (OURS_FAILING, STOCK_FAILING)
    )
    return [*cells, ["all together", *_together(ours), *_together(stock), ""]] if cells else []


def _rescue(row: FailingRow | None) -> list[str]:
    return _together([row]) if row else ["–"] * 4


def _together(rows: Sequence[FailingRow]) -> list[str]:
    if not rows:
        return ["–"] * 4
    turns = sum(len(row.rescues) for row in rows)
    pause = max((row.pause for row in rows if row.whole), default=math.nan)
    return [
        *(seconds(wait(rows, q)) for q in (0.5, SLOW)),
        _stage(pause),
        f"{sum(row.whole for row in rows)} of {turns}",
    ]


def _row(rows: Sequence[Row], name: str) -> Row | None:
    return next((row for row in rows if row.variant.name == name), None)


def _waits(rows: Sequence[Row]) -> list[list[str]]:
    stock = _row(rows, STOCK.name)
    return [
        [
            row.variant.title,
            *(seconds(row.wait(q)) for q in (0.5, SLOW, 1)),
            times(row.wait(0.5) / stock.wait(0.5)) if stock else "",
            f"{row.asked:.1f}",
            str(row.talked_over),
            _verdict(row) if row.variant == OURS else "",
        ]
        for row in rows
    ]


def _verdict(row: Row) -> str:
    return "; ".join(
        f"p{q * 100:.0f} ≤ {limit:.2f} {'✓' if row.wait(q) <= limit else '✗'}"
        for q, limit in GOALS.items()
    )


def _ways(rows: Sequence[Row]) -> list[list[str]]:
    """The medians of each variant, and the turn of ours that stands for the slow ones."""
    cells = []
    for row in rows:
        cells.append([row.variant.title, *(_stage(row.stage(name)) for name in STAGES)])
        slow = row.turn_at(SLOW)
        if row.variant == OURS and slow:
            cells.append(["ours, the turn at p95", *_stages(slow)])
    return cells


def _stages(turn: Turn) -> list[str]:
    return [_stage(turn.stages.get(name, math.nan)) for name in STAGES]


def _stage(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def _gains(rows: Sequence[Row]) -> list[list[str]]:
    """What each setting of ours takes off the wait: its absence measured against ours."""
    ours = _row(rows, OURS.name)
    others = [row for row in rows if not row.variant.stock and row is not ours]
    return [
        [row.variant.title, *(f"{row.wait(q) - ours.wait(q):+.2f}" for q in (0.5, SLOW)), ""]
        for row in others
        if ours
    ]


# ── The page ─────────────────────────────────────────────────────────────────────────────────────


def write(page: Path, found: Measured) -> None:
    """The page, and beside it a picture of the same name."""
    picture = page.with_suffix(".png")
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(_page(found, picture.name), encoding="utf-8")
    _draw(picture, found)


def _page(found: Measured, picture: str) -> str:
    rows = found.rows
    intro = _INTRO.format(
        turns=min(len(row.turns) for row in rows),
        flag=" --realtime" if found.realtime else "",
        where=machine(),
        priority=", with real-time priority" if found.realtime else "",
        before=found.load[0],
        after=found.load[1],
        longest_wait=found.longest_wait,
        picture=picture,
        first=FIRST_TOKEN,
        gap=GAP * 1000,
        answer=ANSWER,
        sentences=len(SENTENCES),
    )
    tables = [
        (_WAITS, _waits(rows)),
        (_RESCUES, _rescues(found.failing)),
        (_WAYS, _ways(rows)),
        (_GAINS, _gains(rows)),
    ]
    about = [_ABOUT_WAITS, _ABOUT_RESCUES, _ABOUT_WAYS, _ABOUT_GAINS]
    parts = [intro]
    about[1] = _ABOUT_RESCUES.format(
        reply=REPLY, longest_wait=LONGEST_WAIT, longest_pause=LONGEST_PAUSE
    )
    for (head, cells), words in zip(tables, about, strict=True):
        parts += [markdown_table(head, cells), words]
    return "\n\n".join(parts)


def _draw(path: Path, found: Measured) -> None:
    tall = 0.5 * len(found.rows)
    figure, (waits, rescues, call) = plt.subplots(
        3, 1, layout="constrained", facecolor="white", figsize=(12, 7.2 + tall),
        height_ratios=[tall + 0.6, 3.6, 3],
    )  # fmt: skip
    _draw_waits(waits, found.rows)
    _draw_rescues(rescues, found.failing)
    if found.recording:
        _draw_call(call, found.recording)
    figure.savefig(path, dpi=130)
    plt.close(figure)


# Okabe and Ito, "Color universal design" (2008): told apart by every kind of eye.
_MARKS = {
    "noticed": ("o", "#0072B2"),
    "words": ("s", "#56B4E9"),
    "decided": ("^", "#009E73"),
    "asked": ("D", "#E69F00"),
    "first_word": ("v", "#D55E00"),
    "speaking": ("P", "#CC79A7"),
    "heard": ("X", "#000000"),
}


def _draw_waits(axis: Any, rows: Sequence[Row]) -> None:
    for place, row in enumerate(rows):
        waits = [turn.wait for turn in row.waited if turn.wait < math.inf]
        axis.hlines(place, 0, row.stage("heard"), color="#999999", linewidth=1, zorder=1)
        axis.scatter(
            waits, [place + 0.27] * len(waits), marker="|", s=28, color="#777777", linewidth=1,
            label="heard, each turn" if place == 0 else None, zorder=2,
        )  # fmt: skip
        for name, (shape, colour) in _MARKS.items():
            axis.scatter(
                [row.stage(name)], [place], marker=shape, s=52, color=colour, edgecolor="white",
                linewidth=0.6, label=f"{STAGES[name]} (median)" if place == 0 else None, zorder=3,
            )  # fmt: skip
    for limit in GOALS.values():
        axis.axvline(limit, color="#bbbbbb", linestyle=":", zorder=0)
    axis.set_yticks(
        range(len(rows)),
        [f"{row.variant.title}\np50 {row.wait(0.5):.2f}, p95 {row.wait(SLOW):.2f}" for row in rows],
    )
    axis.set_ylim(len(rows) - 0.5, -0.6)
    axis.set_xlim(left=0)
    axis.set_xlabel(
        "seconds after the caller's last sound; dotted: what p50 and p95 of ours may be"
    )
    axis.set_title("From the caller's last sound to the agent's first", fontsize=12)
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=9, frameon=False)


def _draw_rescues(axis: Any, rows: Sequence[FailingRow]) -> None:
    """Each turn a mark; those that never had an answer stand at the right edge."""
    ways = [
        ("ours", OURS_FAILING, -0.15, "o", "#0072B2"),
        ("FallbackAdapter", STOCK_FAILING, 0.15, "D", "#D55E00"),
    ]
    for who, variant, aside, shape, colour in ways:
        turns = [
            (place, rescue)
            for place, failing in enumerate(FAILINGS)
            for row in rows
            if (row.failing, row.variant) == (failing, variant)
            for rescue in row.rescues
        ]
        for whole in (True, False):
            marks = [(place, one) for place, one in turns if one.whole == whole]
            axis.scatter(
                [min(one.turn.wait, HANGS_UP) for _, one in marks],
                [place + aside for place, _ in marks],
                marker=shape, s=40, color=colour if whole else "none", edgecolor=colour,
                label=f"{who}: {'whole' if whole else 'not whole'}",
            )  # fmt: skip
    axis.axvline(LONGEST_WAIT, color="#bbbbbb", linestyle=":", zorder=0)
    axis.set_yticks(range(len(FAILINGS)), [one.title for one in FAILINGS.values()])
    axis.set_ylim(len(FAILINGS) - 0.5, -0.5)
    axis.set_xlim(left=0)
    axis.set_xlabel(
        "seconds from the caller's last sound to the agent's first; dotted: p95 of ours"
    )
    axis.set_title("The same wait when the first model server fails", fontsize=12)
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=9, frameon=False)


def _draw_call(axis: Any, recording: Recording) -> None:
    """The turn of the recorded call whose wait is the middle one."""
    by_wait = sorted(recording.spoken, key=lambda one: one.turn.wait)
    spoken = by_wait[len(by_wait) // 2]
    before, after = 1.0, min(spoken.turn.wait, 3.0) + 1.0
    sides = recording.loudness(spoken.ended - before, spoken.ended + after)
    moments = np.arange(len(sides)) * 0.01 - before
    for side, (who, colour) in enumerate([("caller", "#0072B2"), ("agent", "#D55E00")]):
        axis.fill_between(
            moments, QUIETEST, sides[:, side], color=colour, alpha=0.55, linewidth=0, label=who
        )
    for name, at in spoken.turn.stages.items():
        shape, colour = _MARKS[name]
        axis.axvline(at, color=colour, linewidth=1)
        axis.scatter([at], [-4], marker=shape, s=52, color=colour, edgecolor="white", zorder=3)
    axis.axvline(0, color="#000000", linestyle="--", linewidth=1)
    axis.set_xlim(-before, after)
    axis.set_ylim(QUIETEST, 0)
    axis.set_ylabel("loudness, dB of full scale")
    axis.set_xlabel("seconds after the caller's last sound")
    axis.set_title("One turn of a recorded call, ours; the marks are those above", fontsize=12)
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=9, frameon=False)


_INTRO = """\
# Voice turn

How long a caller waits for the agent's voice, from their own last sound to its first, and where \
the time goes. Written by `python -m bench.voice --write{flag}`; {turns} turns of each \
variant, the variants in turn in every round.

![The stages of a turn by variant, and the loudness of both sides in one turn]({picture})

Measured on {where}{priority}. The machine's load (tasks that want a processor) was {before:.1f} \
before and {after:.1f} at the end, the bench's own tasks included; the caller's process waited for \
a processor for up to {longest_wait:.2f} s. With more tasks than cores every wait is longer than \
it need be.

## How it is measured

A caller joins a room of a real LiveKit server on this machine, with an open microphone, and says \
{sentences} recorded sentences in rotation; a worker answers. Both sides are taken where the \
caller is: the wait runs from when the last audible sample has left to the first 10 ms of the \
agent that can be heard, so codecs, network and jitter buffers are in it. The model gives its \
first token after {first} s and the others every {gap:g} ms ("{answer}"). Recogniser, voice and \
router are the same in all variants, the embedded ones and ours: what differs is how the end of a \
turn is found and what is done before it is certain.

**LiveKit's defaults** are what `AgentSession` chooses by itself in a worker of one's own: its \
turn detector on this machine, 0.3 to 2.5 s of delay, frames of 50 ms. Once with a recogniser that \
is handed whole utterances, as most that are served over HTTP are, and once with one that \
recognises while the caller speaks.

## The wait"""

_ABOUT_WAITS = """\
**p50 of stock**: the p50 divided by that of the first row. **asked**: how often a turn asked the \
model, on average; what is over 1 was thrown away. **talked over**: turns in which the agent spoke \
while the caller still did; they have no wait and are not in the other figures.

## When a model fails

The first of two model servers fails in the way named, at the first question of a call, when \
nothing is known of it yet; the spare is well. Ours stands on the left; on the right are LiveKit's \
defaults (streaming) with its FallbackAdapter, which had about half as many turns."""

_ABOUT_RESCUES = """\
**whole**: every word of the answer came, once, by the transcript; a caller hangs up after 10 s \
without a sound. **longest pause**: within the sound of the whole answers; the voice itself pauses \
for 0.4 s between two sentences. Broken off was "{reply}" after its eighth word. A tool call takes \
two questions to the model, one after the other. Fillers, which would cover a late answer, are \
left out. The goal is a p95 of {longest_wait:.2f} s and no pause over {longest_pause:.2f} s, for \
ours.

## Where the time goes

Medians of every stage. What is done early can come before what it used to follow: with early \
words, the model is asked before the end of the turn is certain."""

_ABOUT_WAYS = """\
The end is noticed after 0.25 s of silence (`VAD_MIN_SILENCE`; LiveKit's detector accepts no less) \
and what codec, network and frames take. The words are final once the detector has decided: on a \
machine with time to spare some hundredths of a second later, on a busy one several tenths. The \
slow turns are those in which it takes the end for a pause and the longest delay is waited out; \
synthetic voices make it more unsure than people do.

## What each setting gains

How much longer a turn takes when a setting is taken away from ours; the last three rows are other \
choices that one could make. With few turns, a difference of some hundredths is no difference."""

_ABOUT_GAINS = """\
- **A streaming recogniser**: the first two rows of the first table. The words are there some \
milliseconds after the end of the turn; whole utterances are only then decoded.
- **Early words** (the recogniser shows what it has 0.12 s into a pause) and **preemptive \
generation** (the model is asked with them) need each other: the model thinks while the end of the \
turn is still being decided. The price is in the column "asked". The embedded recogniser weighs \
its words once more 0.2 s into a pause: where they change, the model is asked again then. With \
one that changes them only at the end, the early answer is thrown away and nothing is gained.
- **Delays of 0.2 to 0.9 s** (`ENDPOINTING_MIN_DELAY`, `ENDPOINTING_MAX_DELAY`) instead of 0.3 to \
2.5: what a caller waits when the detector is sure, and when it is not. A longer maximum lets \
people think aloud.
- **Frames of 20 ms** instead of 50: silence is seen as soon as it is there.
- **At most 0.9 s of delay** (`ENDPOINTING_MAX_DELAY`): what a caller waits when the detector is \
not sure is this and the 0.2 s or so that it takes to notice the silence and to be heard. More, as \
in the row with 1.5 s, leaves more time to think.
- **Preemptive voice** also turns the answer into sound early. The embedded voice takes next to no \
time, so there is next to nothing to gain; a slow voice may gain, and pays for words nobody hears.
- **Silence alone** (`TURN_DETECTION=vad`, `VAD_MIN_SILENCE=0.2`, `ENDPOINTING_MIN_DELAY=0`) is \
for short commands only: whoever stops to think for 0.2 s is cut off.

To hear one call, left the caller and right the agent: `python -m bench.voice --turns 1 \
--variants ours --record call.wav`.
"""
