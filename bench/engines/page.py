"""The figures and the page of this bench."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import mean, median

from bench.engines.answers import CLIENTS, Answer
from bench.report.page import Page
from bench.report.picture import draw_bars, figure
from bench.report.quantiles import quantile
from bench.report.table import Table
from deploy.engines import version
from tests.live.kinds import KINDS

Answers = Mapping[str, Sequence[Answer]]
"""The answers of an engine, by client."""
_RATE = "tokens a second"
FIGURES: Mapping[str, Callable[[Answer], float]] = {
    "first byte, ms": lambda answer: answer.first_byte * 1e3,
    "first word, ms": lambda answer: answer.first_word * 1e3,
    "end to end, ms": lambda answer: answer.end * 1e3,
    _RATE: lambda answer: answer.rate,
}


def answers_table(by_client: Answers) -> Table:
    columns = [f"{client}: {what}" for client in CLIENTS for what in ("mean", "median", "p95")]
    rows = [_row(name, by_client) for name in FIGURES]
    return Table(("", *columns, "ratio of medians"), rows)


def _row(name: str, by_client: Answers) -> list[str]:
    slow_end = 0.05 if name == _RATE else 0.95
    values = {client: list(map(FIGURES[name], of)) for client, of in by_client.items()}
    cells = [
        f"{value:,.1f}"
        for of in values.values()
        for value in (mean(of), median(of), quantile(of, slow_end))
    ]
    return [name, *cells, f"{median(values['router']) / median(values['direct']):.2f}"]


def engine_title(engine: str) -> str:
    return f"{engine} {version(KINDS[engine].engine)}"


def make_page(by_engine: Mapping[str, Answers], runs: int) -> Page:
    tables = {engine_title(name): answers_table(answers) for name, answers in by_engine.items()}
    return Page(
        template=Path(__file__).with_name("engines.md"),
        pictures={"engines.png": partial(_draw, by_engine)},
        values={"runs": runs, "answers": tables},
    )


def _draw(by_engine: Mapping[str, Answers], path: Path) -> None:
    size = (3 + 1.4 * len(by_engine) * len(FIGURES), 4.4)
    with figure(path, size, columns=len(FIGURES)) as axes:
        for axis, (name, of) in zip(axes, FIGURES.items(), strict=True):
            medians = {
                f"{engine}, {client}": median(list(map(of, answers)))
                for engine, by_client in by_engine.items()
                for client, answers in by_client.items()
            }
            draw_bars(axis, f"{name}, median", medians)
            axis.tick_params(axis="x", labelsize=7)
