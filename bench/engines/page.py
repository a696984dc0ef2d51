"""The figures of the engines bench, and the page made of them."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean, median

from bench.engines.asking import WAYS, Answer
from bench.first_word.turn import quantile
from bench.report.picture import Panel, draw
from bench.report.table import machine, markdown_table
from deploy.engines import version
from tests.live.kinds import KINDS

Found = Mapping[str, Mapping[str, Sequence[Answer]]]
"""By engine, then by way."""


def _milliseconds(of: Callable[[Answer], float]) -> Callable[[Answer], float]:
    return lambda answer: of(answer) * 1000


FIGURES: Mapping[str, Callable[[Answer], float]] = {
    "first byte, ms": _milliseconds(lambda answer: answer.first_byte),
    "first word, ms": _milliseconds(lambda answer: answer.first_word),
    "end to end, ms": _milliseconds(lambda answer: answer.end),
    "tokens a second": lambda answer: answer.rate,
}
HEAD = (
    "",
    *(f"{way}: {what}" for way in WAYS for what in ("mean", "median", "p95")),
    "ratio of medians",
    "",
)


def rows(by_way: Mapping[str, Sequence[Answer]]) -> list[list[str]]:
    found = []
    for name, of in FIGURES.items():
        values = {way: [of(answer) for answer in answers] for way, answers in by_way.items()}
        slow = 0.05 if name == "tokens a second" else 0.95  # the slow end of each
        cells = [
            f"{value:,.1f}"
            for of_way in values.values()
            for value in (mean(of_way), median(of_way), quantile(of_way, slow))
        ]
        ratio = median(values["router"]) / median(values["direct"])
        found.append([name, *cells, f"{ratio:.2f}", ""])
    return found


def write(page: Path, found: Found, runs: int) -> None:
    """The page, and beside it a picture of the same name."""
    picture = page.with_suffix(".png")
    page.parent.mkdir(parents=True, exist_ok=True)
    intro = _INTRO.format(picture=picture.name, where=machine(), load=os.getloadavg()[0], runs=runs)
    tables = [
        f"## {engine} {version(KINDS[engine].engine)}\n\n{markdown_table(HEAD, rows(by_way))}"
        for engine, by_way in found.items()
    ]
    page.write_text("\n\n".join([intro, *tables]) + "\n", encoding="utf-8")
    draw(picture, "Real engines, direct and through the router", list(found), _panels(found))


def _panels(found: Found) -> list[Panel]:
    panels = []
    for name, of in FIGURES.items():
        values = {
            f"{way}, median": [median(map(of, by_way[way])) for by_way in found.values()]
            for way in WAYS
        }
        most = 1.15 * max(max(of_way) for of_way in values.values())
        panels.append(
            Panel(
                title=name,
                values=values,
                limits=(0, most),
                ticks=(0, most / 2, most),
                labels=[f"{tick:,.0f}" for tick in (0, most / 2, most)],
            )
        )
    return panels


_INTRO = """\
# Real engines

The same question to each engine, direct and through the router, turn about in one run: a tiny \
model counts to fifty, about 140 tokens, each a chunk of its own. It is so small that an engine \
takes next to no time for a token: what is added to each shows here as nowhere else. Every answer \
is compared word for word. Written by `python -m bench.engines --write`.

![First byte, first word, end to end and tokens a second of each engine, both ways]({picture})

Measured on {where}; load {load:.1f} over the last minute; {runs} answers each way.

**First byte**: of the answer's head; through the router, the first chunk that it gives out, which \
holds a word. **p95** of the tokens a second is the slow end, as of the rest. On a loaded machine \
read the ratios."""
