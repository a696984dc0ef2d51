"""The page of this bench."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from bench.hearing.channels import CHANNELS
from bench.hearing.listening import FLUSH_AFTER
from bench.hearing.measure import Measured
from bench.hearing.results import (
    after_flush,
    early,
    errors,
    final,
    invented_words,
    make_goals,
    share,
    time_at,
)
from bench.hearing.speakers import PEOPLE, SENTENCES, SPEAKERS
from bench.report.goals import goals_table
from bench.report.page import Page
from bench.report.picture import COLOURS, GREY, add_grid, draw_lines, figure
from bench.report.table import Table, make_table, seconds
from tests.sounds.non_speech import NON_SPEECH

_SLOW = 0.95


def _percent(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.1%}"


def errors_table(measured: Measured) -> Table:
    """Shows the wrong words of an engine, a row for each speaker and a column for each channel."""
    columns = [
        (channel, lambda speaker, channel=channel: _percent(share(measured, [speaker], channel)))
        for channel in CHANNELS
    ]
    return make_table(_speakers([measured]), [("", str), *columns])


def _speakers(results: Sequence[Measured]) -> list[str]:
    found = {clip.speaker for one in results for clip in one.transcribed}
    return [speaker for speaker in SPEAKERS if speaker in found]


def times_table(results: Sequence[Measured]) -> Table:
    return make_table(
        results,
        [
            ("", lambda one: one.engine),
            ("early words p50 s", lambda one: seconds(time_at(one, 0.5, early))),
            ("p95 s", lambda one: seconds(time_at(one, _SLOW, early))),
            ("final words p50 s", lambda one: seconds(time_at(one, 0.5, final))),
            ("p95 s", lambda one: seconds(time_at(one, _SLOW, final))),
            ("after the flush p50 s", lambda one: seconds(time_at(one, 0.5, after_flush))),
            ("p95 s", lambda one: seconds(time_at(one, _SLOW, after_flush))),
            ("work s", lambda one: f"{one.work:.2f}"),
            ("memory MB", lambda one: f"{one.memory / 1e6:,.0f}"),
        ],
    )


def invented_table(results: Sequence[Measured]) -> Table:
    return make_table(
        results,
        [
            ("", lambda one: one.engine),
            ("clips with words", lambda one: f"{len(one.invented)} of {len(NON_SPEECH)}"),
            ("words", lambda one: f"{invented_words(one)}"),
            ("for", lambda one: ", ".join(one.invented) or "none"),
        ],
        last_is_text=True,
    )


def make_page(results: Sequence[Measured]) -> Page:
    first = results[0]
    spoken = errors(first, [PEOPLE], first.transcribed[0].channel).spoken
    return Page(
        template=Path(__file__).with_name("hearing.md"),
        pictures={"hearing.png": partial(_draw, results)},
        values={
            "goals": goals_table(make_goals(results)),
            "errors": {one.engine: errors_table(one) for one in results},
            "times": times_table(results),
            "invented": invented_table(results),
            "sentences": len(SENTENCES),
            "people_words": spoken,
            "clips": len(first.transcribed),
            "timed": len(first.timings),
        },
    )


def _draw(results: Sequence[Measured], path: Path) -> None:
    speakers = _speakers(results)
    groups = {
        "Recordings of people": [PEOPLE],
        "Synthetic voices": [speaker for speaker in speakers if speaker != PEOPLE],
    }
    with figure(path, (15, 4.6), columns=3, width_ratios=[4, 4, 3]) as (*bars, times):
        for axis, (title, group) in zip(bars, groups.items(), strict=True):
            _draw_errors(axis, title, results, group)
        lines = {
            one.engine: (
                sorted(timing.final for timing in one.timings),
                np.linspace(0, 100, len(one.timings)).tolist(),
            )
            for one in results
        }
        draw_lines(
            times, "Time to the final words", lines, xlabel="seconds after the last sound",
            ylabel="clips, %",
        )  # fmt: skip
        times.axvline(FLUSH_AFTER, color=GREY, linestyle="--", linewidth=1)
        bars[0].legend(frameon=False)


def _draw_errors(
    axis: Axes, title: str, results: Sequence[Measured], speakers: Sequence[str]
) -> None:
    width = 0.8 / len(results)
    for place, (one, colour) in enumerate(zip(results, COLOURS, strict=False)):
        shares = [100 * share(one, speakers, channel) for channel in CHANNELS]
        places = np.arange(len(CHANNELS)) + place * width
        axis.bar(places, shares, width, color=colour, label=one.engine)
    names = [channel.replace(", ", "\n") for channel in CHANNELS]
    axis.set_xticks(np.arange(len(CHANNELS)) + 0.4 - width / 2, names, rotation=35, ha="right")
    axis.set(title=title, ylabel="wrong words, %")
    add_grid(axis)
