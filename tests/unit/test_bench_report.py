"""The shared parts of the benches: figures, tables, goals, pages and the command line."""

import importlib
import math
import subprocess
import sys
from pathlib import Path

import pytest

from bench.report.command import BenchParser, finish
from bench.report.goals import Goal, goals_cell, goals_table
from bench.report.page import Page, Picture, Section
from bench.report.quantiles import quantile
from bench.report.table import Table, microseconds, milliseconds, percent, ratio, seconds

ROOT = Path(__file__).parents[2]
BENCHES = sorted(path.parent.name for path in (ROOT / "bench").glob("*/__main__.py"))
MET = Goal("wait", 0.5, 1.0, "s")
MISSED = Goal("wait", 1.5, 1.0, "s", hint="ask the server")


def test_a_quantile_is_one_of_the_values() -> None:
    values = [3.0, 1.0, 2.0, math.inf]
    assert [quantile(values, q) for q in (0.0, 0.25, 0.5, 0.75, 1.0)] == [1, 1, 2, 3, math.inf]
    assert quantile([float(n) for n in range(1, 101)], 0.99) == 99


def test_figures_are_short_and_never_is_a_word() -> None:
    assert (seconds(0.4567), seconds(math.inf), seconds(math.nan)) == ("0.46", "never", "–")
    assert (milliseconds(0.00123), microseconds(0.00123)) == ("1.23", "1,230.0")
    assert (percent(0.875), ratio(1.0), ratio(math.inf)) == ("88%", "1.00", "–")


def test_a_table_lines_up_its_figures() -> None:
    table = Table(["", "s", "goal"], [["a", "0.15", "met"], ["long", "12.00", ""]], True)
    assert table.text.split("\n") == [
        "          s  goal",
        "────  ─────  ────",
        "a      0.15  met",
        "long  12.00",
    ]


def test_a_table_of_figures_alone_has_its_last_column_on_the_right() -> None:
    table = Table(["", "s"], [["a", "0.15"]])
    assert table.text.split("\n") == ["      s", "─  ────", "a  0.15"]
    assert table.markdown == "|  | s |\n| --- | ---: |\n| a | 0.15 |"


def test_a_table_for_a_page_has_a_column_for_each_figure() -> None:
    table = Table(["", "s", "goal"], [["a", "0.15", "met"]], last_is_text=True)
    assert table.markdown == "|  | s | goal |\n| --- | ---: | --- |\n| a | 0.15 | met |"


def test_a_goal_is_met_up_to_its_limit_and_never_by_a_figure_that_is_missing() -> None:
    assert Goal("wait", 1.0, 1.0).is_met
    assert not Goal("wait", 1.01, 1.0).is_met
    assert not Goal("wait", math.nan, 1.0).is_met
    assert not Goal("wait", math.inf, 1.0).is_met


def test_a_goal_says_what_was_measured_what_was_promised_and_where_to_search() -> None:
    assert str(MISSED) == "wait: 1.50 s, at most 1 s; ask the server"
    assert str(Goal("wait", math.inf, 0.5, "s")) == "wait: never, at most 0.5 s"
    assert goals_cell([MET, MISSED]) == "wait ≤ 1 s ✓; wait ≤ 1 s ✗"
    assert goals_table([MET, MISSED]).rows == [
        ["wait", "0.50 s", "1 s", "met"],
        ["wait", "1.50 s", "1 s", "MISSED"],
    ]


def a_page() -> Page:
    def draw(path: Path) -> None:
        path.write_bytes(b"a picture")

    return Page(
        title="A bench",
        summary="What it measures.",
        command="bench.one --write",
        conditions="load 1.0.",
        pictures=[Picture("all", draw), Picture("more", draw, suffix="_more")],
        sections=[
            Section("Words", ["Prose alone."]),
            Section("Goals", ["About goals.", goals_table([MET])]),
        ],
    )


def test_a_page_has_its_command_pictures_machine_and_sections_in_order(tmp_path: Path) -> None:
    page = tmp_path / "docs" / "one.md"
    a_page().write(page)
    parts = page.read_text(encoding="utf-8").split("\n\n")
    assert parts[:4] == [
        "# A bench",
        "What it measures. Written by `python -m bench.one --write`.",
        "![all](one.png)",
        "![more](one_more.png)",
    ]
    assert parts[4].startswith("Measured on ")
    assert parts[4].endswith("; load 1.0.")
    assert parts[5:8] == ["## Words", "Prose alone.", "## Goals"]
    assert (page.parent / "one.png").exists()
    assert (page.parent / "one_more.png").exists()


def test_a_terminal_shows_the_tables_of_a_page_without_its_prose() -> None:
    assert a_page().text == f"Goals\n{goals_table([MET]).text}"


@pytest.mark.parametrize(
    ("words", "goals", "code"),
    [
        (["--check"], [MET], 0),
        (["--check"], [MET, MISSED], 1),
        (["--check"], [Goal("aim", 2.0, 1.0, required=False)], 0),
        ([], [MISSED], 0),
    ],
)
def test_a_run_fails_only_when_it_is_checked_and_missed_a_required_goal(
    words: list[str], goals: list[Goal], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = BenchParser("bench.one", "A bench.", page="one.md").parse_args(words)
    assert finish(chosen, a_page, goals) == code
    printed = capsys.readouterr().out
    assert all((str(goal) in printed) == (not goal.is_met) for goal in goals)


def test_a_page_is_written_only_when_that_was_asked_for(tmp_path: Path) -> None:
    parser = BenchParser("bench.one", "A bench.", page="one.md", has_goals=False)
    parser.set_defaults(page=tmp_path / "one.md")
    assert finish(parser.parse_args([]), a_page) == 0
    assert not (tmp_path / "one.md").exists()
    assert finish(parser.parse_args(["--write"]), a_page) == 0
    assert (tmp_path / "one.md").exists()


def test_a_number_below_its_least_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    parser = BenchParser("bench.one", "A bench.", page="one.md")
    parser.add_number("--rounds", 5, "rounds", least=2)
    assert parser.parse_args(["--rounds", "2"]).rounds == 2
    with pytest.raises(SystemExit):
        parser.parse_args(["--rounds", "1"])
    assert "1 is below 2" in capsys.readouterr().err


@pytest.mark.parametrize("name", BENCHES)
def test_every_bench_explains_itself_by_the_command_that_runs_it(name: str) -> None:
    module = importlib.import_module(f"bench.{name}.__main__")
    assert module.__doc__
    shown = subprocess.run(
        [sys.executable, "-m", f"bench.{name}", "--help"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert shown.startswith(f"usage: python -m bench.{name} ")
    assert module.__doc__.strip().splitlines()[0] in shown
    page = next(word for word in shown.split() if word.startswith("docs/bench/"))
    assert (ROOT / page).exists()


def test_benches_do_not_import_each_other() -> None:
    for name in BENCHES:
        for file in (ROOT / "bench" / name).glob("*.py"):
            for other in set(BENCHES) - {name}:
                assert f"bench.{other}" not in file.read_text(), file
