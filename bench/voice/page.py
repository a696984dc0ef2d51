"""The tables and the page of this bench."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from bench.report.goals import Goal, goals_cell
from bench.report.page import Page, Picture, Section
from bench.report.table import Table, ratio, seconds
from bench.voice.calls import SENTENCES
from bench.voice.failing import (
    LONGEST_PAUSE,
    LONGEST_WAIT,
    SLOW,
    FailingRow,
    failing_goals,
    wait_of,
)
from bench.voice.picture import draw
from bench.voice.recording import Recording
from bench.voice.turns import STAGES, Row, wait_goals
from bench.voice.variants import ANSWER, FIRST_TOKEN, GAP, OURS, OURS_FAILING, STOCK, STOCK_FAILING
from tests.voice.replies import FAILURE_CASES, REPLY


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """The results of one run. `load`: tasks that wanted a processor before and at the end, averaged
    over a minute. `delay`: the longest scheduling delay of the caller's process (s).
    """

    rows: Sequence[Row]
    failing: Sequence[FailingRow]
    recording: Recording | None
    load: tuple[float, float]
    delay: float
    realtime: bool = False

    @property
    def goals(self) -> list[Goal]:
        ours = [row for row in self.rows if row.variant == OURS]
        return [*(goal for row in ours for goal in wait_goals(row)), *failing_goals(self.failing)]


def waits_table(rows: Sequence[Row]) -> Table:
    stock = _find(rows, STOCK.name)
    cells = [
        [
            row.variant.title,
            *(seconds(row.wait(q)) for q in (0.5, SLOW, 1)),
            ratio(row.wait(0.5) / stock.wait(0.5)) if stock else "",
            f"{row.requests:.1f}",
            str(row.talked_over),
            goals_cell(wait_goals(row)) if row.variant == OURS else "",
        ]
        for row in rows
    ]
    head = ("", "p50 s", "p95 s", "max s", "p50 of stock", "requests", "talked over", "goal")
    return Table(head, cells, last_is_text=True)


def stages_table(rows: Sequence[Row]) -> Table:
    """The medians of each variant, and the turn of ours that represents the slow ones."""
    cells = []
    for row in rows:
        cells.append([row.variant.title, *(seconds(row.stage(name)) for name in STAGES)])
        slow = row.turn_at(SLOW)
        if row.variant == OURS and slow:
            stages = [seconds(slow.stages.get(name, math.nan)) for name in STAGES]
            cells.append(["ours, the turn at p95", *stages])
    return Table(("after the last sound, s", *STAGES.values()), cells)


def failing_table(rows: Sequence[FailingRow]) -> Table:
    """A row for each fault: ours, then LiveKit's."""
    ways = (OURS_FAILING, STOCK_FAILING)
    measured = [name for name in FAILURE_CASES if any(row.failing == name for row in rows)]
    cells = [
        [
            FAILURE_CASES[name].title,
            *_failing_cells([row for row in rows if row.failing == name], ways),
        ]
        for name in measured
    ]
    if measured:
        cells.append(["all together", *_failing_cells(rows, ways)])
    columns = ("p50 s", "p95 s", "longest pause s", "whole")
    return Table(("when the model", *columns, *columns), cells)


def _failing_cells(rows: Sequence[FailingRow], ways: Sequence[object]) -> list[str]:
    return [
        cell for way in ways for cell in _way_cells([row for row in rows if row.variant == way])
    ]


def _way_cells(rows: Sequence[FailingRow]) -> list[str]:
    if not rows:
        return ["–"] * 4
    pause = max((row.pause for row in rows if row.whole), default=math.nan)
    turns = sum(len(row.answers) for row in rows)
    return [
        *(seconds(wait_of(rows, q)) for q in (0.5, SLOW)),
        seconds(pause),
        f"{sum(row.whole for row in rows)} of {turns}",
    ]


def _gains_table(rows: Sequence[Row]) -> Table:
    """The waits without one setting of ours, against those with it."""
    ours = _find(rows, OURS.name)
    cells = [
        [row.variant.title, *(f"{row.wait(q) - ours.wait(q):+.2f}" for q in (0.5, SLOW))]
        for row in rows
        if ours and row is not ours and not row.variant.stock
    ]
    return Table(("against ours", "p50 s", "p95 s"), cells)


def _find(rows: Sequence[Row], name: str) -> Row | None:
    return next((row for row in rows if row.variant.name == name), None)


# ── The page ─────────────────────────────────────────────────────────────────────────────────────


def make_page(results: Results) -> Page:
    rows = results.rows
    before, after = results.load
    priority = "with real-time priority; " if results.realtime else ""
    return Page(
        title="Voice turn",
        summary="How long a caller waits for the agent's voice, from the end of the caller's last "
        "sound to the agent's first, and where the time goes.",
        command=f"bench.voice --write{' --realtime' if results.realtime else ''}",
        conditions=f"{priority}{min(len(row.turns) for row in rows)} turns of each variant, the "
        "variants in turn in every round. The machine's load (tasks that want a processor) was "
        f"{before:.1f} before and {after:.1f} at the end, the bench's own tasks included; the "
        f"machine held up the caller's process for up to {results.delay:.2f} s. With more tasks "
        "than cores every wait is longer than necessary.",
        pictures=[
            Picture(
                "The stages of a turn by variant, and the loudness of both sides in one turn",
                partial(draw, rows, results.failing, results.recording),
            )
        ],
        sections=[
            Section("How it is measured", [_METHOD]),
            Section("The wait", [waits_table(rows), _WAITS]),
            Section(
                "When a model fails", [_FAILING, failing_table(results.failing), _FAILING_LEGEND]
            ),
            Section("Where the time goes", [_STAGES, stages_table(rows), _STAGES_LEGEND]),
            Section("The effect of each setting", [_GAINS, _gains_table(rows), _GAINS_LEGEND]),
        ],
    )


_METHOD = f"""\
A caller joins a room of a real LiveKit server on this machine, with an open microphone, and says \
{len(SENTENCES)} recorded sentences in rotation; a worker answers. Both sides are measured at the \
caller: the wait runs from the moment at which the last audible sample has left to the first 10 ms \
of the agent that are audible, so it includes codecs, network and jitter buffers. The model gives \
its first token after {FIRST_TOKEN} s and the others every {GAP * 1000:g} ms ("{ANSWER}"). \
Recogniser, voice and router are the same in all variants, the embedded ones and ours: the \
differences are how the end of a turn is found and what is done before it is certain.

**LiveKit's defaults** are those that `AgentSession` chooses in a self-hosted worker: its \
turn detector on this machine, 0.3 to 2.5 s of delay, frames of 50 ms. One row has a recogniser \
for whole utterances, like most that are served over HTTP, and one a recogniser that \
works while the caller speaks."""
_WAITS = """\
**p50 of stock**: the p50 divided by that of the first row. **requests**: requests to the \
model in a turn, on average; those beyond 1 were thrown away. **talked over**: turns in which the \
agent spoke while the caller still did; they have no wait and are not in the other figures."""
_FAILING = """\
The first of two model servers fails in the way named, at the first question of a call, before \
anything is known of it; the spare is healthy. Our settings are on the left; on the right are \
LiveKit's defaults (streaming) with its FallbackAdapter, which had about half as many turns."""
_FAILING_LEGEND = f"""\
**whole**: every word of the answer came, once, by the transcript; a caller hangs up after 10 s \
without a sound. **longest pause**: within the sound of the whole answers; the voice itself pauses \
for 0.4 s between two sentences. The answer "{REPLY}" breaks off after its eighth word. A tool \
call takes two requests to the model, one after the other. Fillers, which would cover a late \
answer, are left out. The goal is a p95 of {LONGEST_WAIT:.2f} s and no pause over \
{LONGEST_PAUSE:.2f} s, for ours."""
_STAGES = """\
Medians of every stage. A stage that is started early can come before the one that it usually \
follows: with early words, the model is asked before the end of the turn is certain."""
_STAGES_LEGEND = """\
The end is noticed after 0.25 s of silence (`VAD_MIN_SILENCE`; LiveKit's detector accepts no less) \
and the time of codec, network and frames. The words are final once the detector has decided: on a \
machine with time to spare some hundredths of a second later, on a busy one several tenths. The \
slow turns are those in which it takes the end for a pause and the longest delay is waited out; \
synthetic voices make it less sure than people do."""
_GAINS = """\
The additional time of a turn when a setting is taken away from ours; the last three rows are \
alternatives. With few turns, a difference of some hundredths is no difference."""
_GAINS_LEGEND = """\
- **A streaming recogniser**: the first two rows of the first table. The words are there some \
milliseconds after the end of the turn; whole utterances are decoded only then.
- **Early words** (the recogniser shows its words 0.12 s into a pause) and **preemptive \
generation** (the model is asked with them) need each other: the model works while the end of the \
turn is still being decided. The price is in the column "requests". The embedded recogniser \
decodes its words once more 0.2 s into a pause: if they change, the model is asked again then. \
With a recogniser that changes them only at the end, the early answer is thrown away and nothing \
is gained.
- **Delays of 0.2 to 0.9 s** (`ENDPOINTING_MIN_DELAY`, `ENDPOINTING_MAX_DELAY`) instead of 0.3 to \
2.5: the caller's wait when the detector is sure, and when it is not. A longer maximum lets \
people think aloud.
- **Frames of 20 ms** instead of 50: silence is noticed sooner.
- **At most 0.9 s of delay** (`ENDPOINTING_MAX_DELAY`): when the detector is not sure, the caller \
waits for this and the 0.2 s or so until the silence is noticed and the answer is audible. More, \
as in the row with 1.5 s, leaves more time to think.
- **Preemptive voice** also turns the answer into sound early. The embedded voice takes next to no \
time, so there is next to nothing to gain; a slow voice may gain, at the price of words that are \
never played.
- **Silence alone** (`TURN_DETECTION=vad`, `VAD_MIN_SILENCE=0.2`, `ENDPOINTING_MIN_DELAY=0`) is \
for short commands only: it cuts off callers who stop to think for 0.2 s.

To listen to a call, left the caller and right the agent: `python -m bench.voice --turns 1 \
--variants ours --record call.wav`."""
