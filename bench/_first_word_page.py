"""The tables of the first-word bench, and the page and picture made of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench._added import Times
from bench._cases import BREAKS_AFTER, GAP, PRIMARY_FIRST_WORD, REPLY, SPARE_FIRST_WORD
from bench._contenders import WARM, versions
from bench._goals import ADDED_GOALS, goals_of
from bench._picture import Panel, draw
from bench._table import (
    machine,
    markdown_table,
    milliseconds,
    percent,
    seconds,
    text_table,
    times,
)
from bench._turn import HANGS_UP, Row

_HEAD = (
    "", "p50 s", "p95 s", "max s", "gap s", "silence s", "whole", "twice", "words", "goals",
)  # fmt: skip
_ADDED_HEAD = ("", "p50 ms", "p99 ms", "work p50 ms", "work p99 ms", "goals")


@dataclass(frozen=True, slots=True)
class Measured:
    """One run. `times`: the bare stream's first, then ours, then the peers'; `longest_wait`: see
    `Pulse`.
    """

    rows: Sequence[Row]
    times: Sequence[Times]
    longest_wait: float
    realtime: bool = False


def _cells(row: Row) -> list[str]:
    return [
        row.contender,
        *(seconds(row.first_word(q)) for q in (0.5, 0.95, 1)),
        seconds(row.longest_gap),
        seconds(row.longest_silence),
        percent(row.whole),
        str(row.repeats),
        times(row.cost),
        "; ".join(f"{goal.says} {_mark(goal.met(row))}" for goal in goals_of(row)),
    ]


def _mark(met: bool) -> str:
    return "✓" if met else "✗"


def _added_cells(of: Sequence[Times]) -> list[list[str]]:
    bare, ours, *_ = of
    goals = "; ".join(f"{goal.says} {_mark(goal.met(ours, bare))}" for goal in ADDED_GOALS)
    return [
        [
            one.product,
            *(milliseconds(one.passed_over(bare, q)) for q in (0.5, 0.99)),
            *(milliseconds(one.worked_over(bare, q)) for q in (0.5, 0.99)),
            goals if one is ours else "",
        ]
        for one in of[1:]
    ]


def case_table(rows: Sequence[Row]) -> str:
    return text_table(_HEAD, [_cells(row) for row in rows])


def added_table(of: Sequence[Times]) -> str:
    return text_table(_ADDED_HEAD, _added_cells(of))


def write(page: Path, found: Measured) -> None:
    """The page, and beside it a picture of the same name."""
    picture = page.with_suffix(".png")
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(_page(found, picture.name), encoding="utf-8")
    _draw(picture, found.rows)


def _page(found: Measured, picture: str) -> str:
    rows, of = found.rows, found.times
    cases = {row.case.name: row.case for row in rows}
    sections = [
        f"## {case.title[0].upper()}{case.title[1:]}\n\n"
        + markdown_table(_HEAD, [_cells(row) for row in rows if row.case is case])
        for case in cases.values()
    ]
    intro = _INTRO.format(
        turns=len(rows[0].turns),
        where=machine(),
        versions=versions(),
        primary=PRIMARY_FIRST_WORD,
        spare=SPARE_FIRST_WORD,
        words=len(REPLY.split()),
        gap=GAP * 1000,
        warm=WARM,
        after=BREAKS_AFTER,
        hangs_up=HANGS_UP,
        priority="; with real-time priority" if found.realtime else "",
        flag=" --realtime" if found.realtime else "",
        waited=found.longest_wait,
        picture=picture,
    )
    added = _ADDED.format(rounds=len(of[0].passed)) + markdown_table(_ADDED_HEAD, _added_cells(of))
    return "\n\n".join([intro, *sections, added]) + "\n"


def _draw(path: Path, rows: Sequence[Row]) -> None:
    draw(
        path,
        "When the first model server fails and a second one is well",
        list(dict.fromkeys(row.case.title for row in rows)),
        [
            _first_word_panel("first word, p95 in seconds", rows, 0.95),
            _first_word_panel("the latest first word, in seconds", rows, 1),
            Panel(
                title="replies whole, in percent",
                values=_by_contender(rows, lambda row: row.whole * 100),
                limits=(0, 100),
                ticks=[0, 25, 50, 75, 100],
                labels=["0", "25", "50", "75", "100"],
            ),
        ],
    )


def _first_word_panel(title: str, rows: Sequence[Row], q: float) -> Panel:
    ticks = [0.15, 0.25, 0.5, 1, 2, 4]
    return Panel(
        title=title,
        values=_by_contender(rows, lambda row: row.first_word(q)),
        logarithmic=True,
        limits=(0.13, _NEVER),
        ticks=[*ticks, _NEVER],
        labels=[*(f"{tick:g}" for tick in ticks), "never"],
    )


def _by_contender(
    rows: Sequence[Row], figure: Callable[[Row], float]
) -> Mapping[str, Sequence[float]]:
    values: dict[str, list[float]] = {}
    for row in rows:
        values.setdefault(row.contender, []).append(figure(row))
    return values


_NEVER = 9.0
"""Where the picture shows a wait that never ended: beyond any that did."""


_INTRO = """\
# First word

How soon a caller hears the first word when the first model server fails, and whether the reply is \
whole. A second server is well. Written by `python bench/first_word.py --write{flag}`; {turns} \
turns of each contender with each fault, all contenders side by side in every round.

![p95 and latest of the first word and share of whole replies, by fault]({picture})

Measured on {where}; {versions}{priority}. A busy machine kept the measuring process waiting for \
up to {waited:.2f} s; a single "max" may be that and no more.

## How to read it

Each contender has two servers of its own, in processes of their own. Well, the first says its \
first word after {primary} s, the second after {spare} s; a reply is {words} words, {gap:g} ms \
apart. Every contender is heard at the same place: the first chunk with content from \
`llm.LLM.chat`, where an agent takes the words. **Cold** is a new router or adapter for every \
turn, as at the beginning of a call; **warm** has had {warm} healthy turns before the fault. \
FallbackAdapter is LiveKit's own, around its OpenAI plugin; "1 s" is tuned to `attempt_timeout=1`. \
Who hears no word for {hangs_up:g} s hangs up. Both servers can go on with words they did not say, \
as vLLM, SGLang and llama.cpp can.

- **p50, p95, max**: time to the first word; "never": the caller hung up, or the reply ended \
without one.
- **gap**: the longest wait for the next word within a reply, its end included if it broke off.
- **silence**: the same as a caller hears it, from a voice at talking speed that still has words \
to say while no more arrive.
- **whole**: replies of which every word came, in order, and none twice. **twice**: replies with \
repeated words.
- **words**: words generated by both servers for each word heard.
- **goals**: what is promised, and whether this run kept it."""

_ADDED = """\
## Time added while all is well

Time to the first word over a bare httpx2 stream from the same server, {rounds} one-word replies \
each, one after another. **Work** is the part the processor spent, which a busy machine does not \
blur; a run is held to its p99 and to the p50 of the whole.

"""
