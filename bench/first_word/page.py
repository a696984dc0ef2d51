"""The tables, the pictures and the page of this bench."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.first_word.added_time import Times
from bench.first_word.contender_process import CALLERS
from bench.first_word.contenders import WARM
from bench.first_word.goals import added_goals, row_goals
from bench.first_word.turn import Row
from bench.peers.runner import HANG_UP_AFTER, TURN_LIMIT
from bench.report.goals import goals_cell
from bench.report.heatmap import Heatmap, draw_heatmaps
from bench.report.page import Page, Picture, Section, list_versions
from bench.report.table import Table, milliseconds, percent, ratio, seconds
from bench.servers.reply import BREAKS_AFTER, GAP, PRIMARY_FIRST_WORD, REPLY, SPARE_FIRST_WORD


@dataclass(frozen=True, slots=True)
class Results:
    """The results of one run. `times`: the bare stream's first, then ours, then the peers';
    `delay`: the longest scheduling delay of the measuring process (s).
    """

    rows: Sequence[Row]
    times: Sequence[Times]
    versions: Mapping[str, str]
    delay: float
    realtime: bool = False


def case_table(rows: Sequence[Row]) -> Table:
    head = (
        "", "p50 s", "p95 s", "max s", "gap s", "silence s", "whole", "twice", "words",
        "otherwise", "goals",
    )  # fmt: skip
    return Table(head, [_cells(row) for row in rows], last_is_text=True)


def _cells(row: Row) -> list[str]:
    otherwise = [f"{count} {what}" for what, count in row.outcomes.items() if what != "whole"]
    return [
        row.contender,
        *(seconds(row.first_word(q)) for q in (0.5, 0.95, 1)),
        seconds(row.longest_gap),
        seconds(row.longest_silence),
        percent(row.whole),
        str(row.repeats),
        ratio(row.cost),
        ", ".join(otherwise),
        goals_cell(row_goals(row)),
    ]


def added_table(times: Sequence[Times]) -> Table:
    bare, *others = times
    rows = [
        [
            one.product,
            *(milliseconds(one.elapsed_over(bare, q)) for q in (0.5, 0.99)),
            *(milliseconds(one.worked_over(bare, q)) for q in (0.5, 0.99)),
            "" if place else goals_cell(added_goals(times)),
        ]
        for place, one in enumerate(others)
    ]
    head = ("", "p50 ms", "p99 ms", "work p50 ms", "work p99 ms", "goals")
    return Table(head, rows, last_is_text=True)


def make_page(results: Results) -> Page:
    one = [row for row in results.rows if not row.case.strikes_both]
    both = [row for row in results.rows if row.case.strikes_both]
    priority = "; with real-time priority" if results.realtime else ""
    return Page(
        title="First word",
        summary="How soon a caller gets the first word when a model server fails, and whether the "
        "reply is whole.",
        command=f"bench.first_word --write{' --realtime' if results.realtime else ''}",
        pictures=[
            Picture(
                "every figure by fault and contender, with a healthy spare",
                partial(_draw, "When the first model server fails and the spare is healthy", one),
            ),
            Picture(
                "the same with the spare failing too",
                partial(_draw, "When both model servers fail in this way", both),
                suffix="_both",
            ),
        ],
        conditions=f"{list_versions(results.versions)}{priority}. {len(results.rows[0].turns)} "
        f"turns of each contender with each fault, {CALLERS} callers at once; all contenders side "
        "by side, two or three faults of each at a time. The machine held up the measuring process "
        f'for up to {results.delay:.2f} s; a single "max" may be due to that alone.',
        sections=[
            Section("How to read it", [_LEGEND]),
            Section("The spare is healthy", _case_parts(one)),
            Section("The spare fails too", _case_parts(both)),
            Section(
                "Time added while all is well",
                [_ADDED.format(rounds=len(results.times[0].elapsed)), added_table(results.times)],
            ),
        ],
    )


def _case_parts(rows: Sequence[Row]) -> list[str | Table]:
    parts: list[str | Table] = []
    for case in {row.case.name: row.case for row in rows}.values():
        parts.append(f"### {case.title[0].upper()}{case.title[1:]}")
        parts.append(case_table([row for row in rows if row.case is case]))
    return parts


def _draw(title: str, rows: Sequence[Row], path: Path) -> None:
    columns = list(dict.fromkeys(row.contender for row in rows))
    cases = list(dict.fromkeys(row.case.title for row in rows))

    def heatmap(title: str, figure: Callable[[Row], float], **scale: Any) -> Heatmap:
        values = [[figure(row) for row in rows if row.case.title == case] for case in cases]
        return Heatmap(title=title, values=values, **scale)

    waits = {"form": seconds, "good": 0.2, "bad": HANG_UP_AFTER, "logarithmic": True}
    shares = {"form": percent, "good": 1, "bad": 0}
    costs = {"form": ratio, "good": 1, "bad": 3}
    maps = [
        heatmap("first word, p50 in seconds", lambda row: row.first_word(0.5), **waits),
        heatmap("first word, p95 in seconds", lambda row: row.first_word(0.95), **waits),
        heatmap("the latest first word, in seconds", lambda row: row.first_word(1), **waits),
        heatmap("whole replies", lambda row: row.whole, **shares),
        heatmap("longest gap between words, in seconds", lambda row: row.longest_gap, **waits),
        heatmap("longest silence of the voice, in s", lambda row: row.longest_silence, **waits),
        heatmap("replies without repetition", lambda row: row.once, **shares),
        heatmap("words generated per word received", lambda row: row.cost, **costs),
    ]
    draw_heatmaps(path, title, cases, columns, maps)


_LEGEND = f"""\
Each contender has servers of its own and lives in a process of its own, where the same few lines \
of code ask it. While healthy, the first server sends its first word after {PRIMARY_FIRST_WORD} s, \
the second after {SPARE_FIRST_WORD} s; a reply is {len(REPLY.split())} words, {GAP * 1000:g} ms \
apart. A reply that breaks off does so after {BREAKS_AFTER} words. Both servers can continue words \
that they did not say, as vLLM, SGLang and llama.cpp can.

**Cold** is a new router for every turn, as at the beginning of a call; **warm** is one router for \
all callers, after {WARM} healthy turns. A caller who gets no word for {HANG_UP_AFTER:g} s, or is \
still listening after {TURN_LIMIT:g} s, hangs up.

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
- **silence**: the longest silence of a voice at talking speed that has run out of words.
- **whole**: replies of which every word came, in order, and none twice. **twice**: replies with \
repeated words.
- **words**: words generated by both servers for each word received.
- **otherwise**: the outcomes of replies that were not whole. "phrase": it ended in a sentence \
in place of the missing words; "cut off" and "nothing": it ended as if complete; \
"error": the contender raised; "hung up": the caller did.
- **goals**: the promises, and whether this run met them. **broken replies**: those not whole; \
**latest**: the latest first word of any turn."""

_ADDED = """\
Time to the first word over a bare httpx2 stream from the same server, {rounds} one-word replies \
each, one after another. **Work** is the processor time, which a busy machine does not \
blur; a run is held to its p99 and to the p50 of the elapsed time."""
