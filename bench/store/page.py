"""The figures of the store bench, what was promised of them, and the page made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")  # no display is needed
from matplotlib import pyplot as plt

from bench.report.table import machine, markdown_table, text_table
from bench.store.questions import ANALYTICS, NOTING, WRITING, Answer

_COLOURS = {"sqlite": "#0072B2", "postgresql": "#D55E00"}
_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One database at one size. `waiting`: attempts that were not summed up when it was asked."""

    dialect: str
    attempts: int
    waiting: int
    megabytes: float
    answers: Sequence[Answer]
    plans: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Goal:
    says: str
    measured: float
    limit: float

    @property
    def is_met(self) -> bool:
        return self.measured <= self.limit


def largest(stages: Sequence[Stage]) -> list[Stage]:
    most = max(stage.attempts for stage in stages)
    return [stage for stage in stages if stage.attempts == most]


def goals(stages: Sequence[Stage]) -> list[Goal]:
    """In milliseconds."""
    found = []
    for stage in largest(stages):
        name = _NAMES[stage.dialect]
        by_name = {answer.question: answer for answer in stage.answers}
        slowest = max((by_name[question] for question in ANALYTICS), key=lambda one: one.p95)
        found += [
            Goal(f"{name}: slowest analytics, p95 ({slowest.question})", slowest.p95 * 1e3, 200),
            Goal(f"{name}: {WRITING}, p50", by_name[WRITING].p50 * 1e3, 500),
            Goal(f"{name}: {NOTING}, p50", by_name[NOTING].p50 * 1e3, 0.1),
        ]
    return found


def sections(stages: Sequence[Stage]) -> list[tuple[str, Sequence[str], list[list[str]]]]:
    """Title, head and rows of each table."""
    return [
        (
            "Goals",
            ("", "ms", "at most ms", ""),
            [
                [
                    goal.says,
                    _ms(goal.measured),
                    f"{goal.limit:g}",
                    "kept" if goal.is_met else "MISSED",
                ]
                for goal in goals(stages)
            ],
        ),
        *(
            (
                f"{_NAMES[dialect]}, p50 and p95 in ms",
                ("", *(f"{stage.attempts:,}" for stage in of), ""),
                [
                    [answer.question, *(_both(stage, answer.question) for stage in of), ""]
                    for answer in of[-1].answers
                ],
            )
            for dialect, of in _by_dialect(stages).items()
        ),
        (
            "Size",
            ("", "attempts", "MB", "bytes an attempt", ""),
            [
                [
                    _NAMES[stage.dialect],
                    f"{stage.attempts:,}",
                    f"{stage.megabytes:,.0f}",
                    f"{stage.megabytes * 1e6 / stage.attempts:,.0f}",
                    "",
                ]
                for stage in stages
            ],
        ),
    ]


def _by_dialect(stages: Sequence[Stage]) -> dict[str, list[Stage]]:
    return {
        dialect: [stage for stage in stages if stage.dialect == dialect]
        for dialect in dict.fromkeys(stage.dialect for stage in stages)
    }


def _both(stage: Stage, question: str) -> str:
    answer = next((one for one in stage.answers if one.question == question), None)
    return f"{_ms(answer.p50 * 1e3)} / {_ms(answer.p95 * 1e3)}" if answer else "–"


def _ms(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.3f}"


def tables(stages: Sequence[Stage]) -> str:
    return "\n\n".join(
        f"{title}\n{text_table(head, rows)}" for title, head, rows in sections(stages)
    )


def write(page: Path, stages: Sequence[Stage]) -> None:
    """The page, and beside it a picture of the same name."""
    picture = page.with_suffix(".png")
    page.parent.mkdir(parents=True, exist_ok=True)
    last = largest(stages)
    intro = _INTRO.format(
        picture=picture.name,
        where=machine(),
        attempts=last[0].attempts,
        waiting=max(stage.waiting for stage in last),
    )
    parts = [
        f"## {title}\n\n{_SAYS.get(title, '')}\n\n{markdown_table(head, rows)}".replace(
            "\n\n\n\n", "\n\n"
        )
        for title, head, rows in sections(stages)
    ]
    told = [_plans(stage) for stage in last]
    page.write_text("\n\n".join([intro, *parts, _PLANS, *told]) + "\n", encoding="utf-8")
    _draw(picture, stages)


def _plans(stage: Stage) -> str:
    parts = [
        f"### {_NAMES[stage.dialect]}: {question}\n\n```\n" + "\n".join(lines) + "\n```"
        for question, lines in stage.plans.items()
    ]
    return "\n\n".join(parts)


def _draw(path: Path, stages: Sequence[Stage]) -> None:
    asked = (ANALYTICS[0], ANALYTICS[4], ANALYTICS[5], ANALYTICS[8], WRITING)
    figure, axes = plt.subplots(
        1, len(asked), layout="constrained", facecolor="white", figsize=(18, 4), sharey=True
    )
    for axis, question in zip(axes, asked, strict=True):
        for dialect, of in _by_dialect(stages).items():
            took = [
                next(one.p95 for one in stage.answers if one.question == question) for stage in of
            ]
            sizes, colour = [stage.attempts for stage in of], _COLOURS[dialect]
            axis.plot(sizes, [s * 1e3 for s in took], "o-", color=colour, label=_NAMES[dialect])
        axis.axhline(200, color="#888888", linestyle="--", linewidth=1)
        axis.set(xscale="log", yscale="log", title=question, xlabel="attempts")
        axis.grid(axis="y", color="#dddddd")
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("p95, ms")
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


_SAYS = {
    "Goals": (
        "Of the largest size. Writing goes on beside the calls, in batches of one second; noting "
        "is what a call itself waits for."
    ),
    "Size": "With all indexes and summaries. Attempts are kept for 30 days, summaries for good.",
}
_PLANS = """\
## How the databases go about it

Every statement of three questions, in the database's own words: of the log itself, only what is \
not summed up yet is read, by its id, and the latest of a connection, by its index."""
_INTRO = """\
# Store

What a store full of usage takes to answer, and to write on. Written by `python -m bench.store \
--attempts 10000000 --write`.

![Five questions at three sizes, on both databases]({picture})

{attempts:,} attempts in 30 days on 24 of 100 connections, on {where}. SQLite in a file, \
PostgreSQL on the same machine as it is installed; both answer for what they keep after a power \
cut. When the questions were asked, {waiting:,} attempts were not summed up yet, more than come \
in the 30 seconds between one summing up and the next."""
