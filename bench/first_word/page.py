"""The tables of the first-word bench, and the page and pictures made of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.first_word.added import Times
from bench.first_word.cases import BREAKS_AFTER, GAP, PRIMARY_FIRST_WORD, REPLY, SPARE_FIRST_WORD
from bench.first_word.contenders import WARM
from bench.first_word.goals import ADDED_GOALS, goals_of
from bench.first_word.lane import CALLERS
from bench.first_word.turn import Row
from bench.peers._runner import HANGS_UP, LONGEST
from bench.report.heat import Heat, draw
from bench.report.table import (
    machine,
    markdown_table,
    milliseconds,
    percent,
    seconds,
    text_table,
    times,
)

_HEAD = (
    "", "p50 s", "p95 s", "max s", "gap s", "silence s", "whole", "twice", "words", "otherwise",
    "goals",
)  # fmt: skip
_ADDED_HEAD = ("", "p50 ms", "p99 ms", "work p50 ms", "work p99 ms", "goals")


@dataclass(frozen=True, slots=True)
class Measured:
    """One run. `times`: the bare stream's first, then ours, then the peers'; `longest_wait`: see
    `Pulse`.
    """

    rows: Sequence[Row]
    times: Sequence[Times]
    versions: Mapping[str, str]
    longest_wait: float
    realtime: bool = False


def _cells(row: Row) -> list[str]:
    otherwise = [f"{count} {what}" for what, count in row.outcomes.items() if what != "whole"]
    return [
        row.contender,
        *(seconds(row.first_word(q)) for q in (0.5, 0.95, 1)),
        seconds(row.longest_gap),
        seconds(row.longest_silence),
        percent(row.whole),
        str(row.repeats),
        times(row.cost),
        ", ".join(otherwise),
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


def versions_line(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{package} {version}" for package, version in sorted(versions.items()))


def write(page: Path, found: Measured) -> None:
    """The page, and beside it its pictures."""
    spare_well, spare_ill = _pictures(page)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(_page(found, spare_well.name, spare_ill.name), encoding="utf-8")
    one = [row for row in found.rows if not row.case.strikes_both]
    both = [row for row in found.rows if row.case.strikes_both]
    _draw(spare_well, "When the first model server fails and the spare is well", one)
    _draw(spare_ill, "When both model servers fail so", both)


def _pictures(page: Path) -> tuple[Path, Path]:
    return page.with_suffix(".png"), page.with_name(f"{page.stem}_both.png")


def _sections(rows: Sequence[Row]) -> str:
    cases = {row.case.name: row.case for row in rows}
    return "\n\n".join(
        f"### {case.title[0].upper()}{case.title[1:]}\n\n"
        + markdown_table(_HEAD, [_cells(row) for row in rows if row.case is case])
        for case in cases.values()
    )


def _page(found: Measured, spare_well: str, spare_ill: str) -> str:
    rows, of = found.rows, found.times
    intro = _INTRO.format(
        turns=len(rows[0].turns),
        where=machine(),
        versions=versions_line(found.versions),
        primary=PRIMARY_FIRST_WORD,
        spare=SPARE_FIRST_WORD,
        words=len(REPLY.split()),
        gap=GAP * 1000,
        callers=CALLERS,
        warm=WARM,
        after=BREAKS_AFTER,
        hangs_up=HANGS_UP,
        longest=LONGEST,
        priority="; with real-time priority" if found.realtime else "",
        flag=" --realtime" if found.realtime else "",
        waited=found.longest_wait,
        spare_well=spare_well,
        spare_ill=spare_ill,
    )
    parts = [
        intro,
        "## The spare is well",
        _sections([row for row in rows if not row.case.strikes_both]),
        "## The spare fails too",
        _sections([row for row in rows if row.case.strikes_both]),
        _ADDED.format(rounds=len(of[0].passed)) + markdown_table(_ADDED_HEAD, _added_cells(of)),
    ]
    return "\n\n".join(parts) + "\n"


def _draw(path: Path, title: str, rows: Sequence[Row]) -> None:
    columns = list(dict.fromkeys(row.contender for row in rows))
    cases = list(dict.fromkeys(row.case.title for row in rows))

    def heat(title: str, figure: Callable[[Row], float], **more: Any) -> Heat:
        found = [[figure(row) for row in rows if row.case.title == case] for case in cases]
        return Heat(title=title, values=found, **more)

    waits = {"shown": seconds, "good": 0.2, "bad": HANGS_UP, "logarithmic": True}
    shares = {"shown": percent, "good": 1, "bad": 0}
    heats = [
        heat("first word, p50 in seconds", lambda row: row.first_word(0.5), **waits),
        heat("first word, p95 in seconds", lambda row: row.first_word(0.95), **waits),
        heat("the latest first word, in seconds", lambda row: row.first_word(1), **waits),
        heat("replies whole", lambda row: row.whole, **shares),
        heat("longest gap between words, in seconds", lambda row: row.longest_gap, **waits),
        heat("longest silence of the voice, in seconds", lambda row: row.longest_silence, **waits),
        heat("replies with nothing said twice", lambda row: row.once, **shares),
        heat("words generated per word heard", lambda row: row.cost, shown=times, good=1, bad=3),
    ]
    draw(path, title, cases, columns, heats)


_INTRO = """\
# First word

How soon a caller hears the first word when a model server fails, and whether the reply is whole. \
Written by `python -m bench.first_word --write{flag}`; {turns} turns of each contender with each \
fault, {callers} callers at once; all contenders side by side, two or three faults of each at a \
time.

![every figure by fault and contender, the spare being well]({spare_well})

![the same with the spare failing too]({spare_ill})

Measured on {where}; {versions}{priority}. A busy machine kept the measuring process waiting for \
up to {waited:.2f} s; a single "max" may be that and no more.

## How to read it

Each contender has servers of its own, and lives in a process of its own, where the same few lines \
hear it. Well, the first server says its first word after {primary} s, the second after {spare} s; \
a reply is {words} words, {gap:g} ms apart. What breaks off does so after {after} words. Both \
servers can go on with words they did not say, as vLLM, SGLang and llama.cpp can.

**Cold** is a new router for every turn, as at the beginning of a call; **warm** is one for all \
callers, and has had {warm} healthy turns before the fault. Who hears no word for {hangs_up:g} s, \
or is still listening after {longest:g} s, hangs up.

| contender | is | tuned (1 s) |
| --- | --- | --- |
| Patchbay | this router, through LiveKit's `llm.LLM` | not tuned |
| FallbackAdapter | LiveKit's own, around its OpenAI plugin | `attempt_timeout=1` |
| LiteLLM Router | `fallbacks` from one group to another | `timeout=1`, `stream_timeout=1`, \
`num_retries=0`, one group in `order` and `allowed_fails=0`, so that a failed server cools down |
| FallbackModel | pydantic-ai's, asked through `model_request_stream` | `first_event_timeout=1` |

- **p50, p95, max**: time to the first word; "never": the caller hung up, or the reply ended \
without one.
- **gap**: the longest wait for the next word within a reply, its end included if it broke off.
- **silence**: the same as a caller hears it, from a voice at talking speed that still has words \
to say while no more arrive.
- **whole**: replies of which every word came, in order, and none twice. **twice**: replies with \
repeated words.
- **words**: words generated by both servers for each word heard.
- **otherwise**: what became of the replies that were not whole. "phrase": it ended in a sentence \
said in place of the missing words; "cut off" and "nothing": it ended as if all were well; \
"error": the contender raised; "hung up": the caller did.
- **goals**: what is promised, and whether this run kept it."""

_ADDED = """\
## Time added while all is well

Time to the first word over a bare httpx2 stream from the same server, {rounds} one-word replies \
each, one after another. **Work** is the part the processor spent, which a busy machine does not \
blur; a run is held to its p99 and to the p50 of the whole.

"""
