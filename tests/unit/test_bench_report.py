"""The shared parts of the benches: figures, tables, goals, pages and the command line."""

import importlib
import math
import re
import sys
from pathlib import Path

import pytest

from bench.report.command import BenchParser, finish
from bench.report.goals import Goal, goals_cell, goals_table
from bench.report.page import Page
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
    assert str(Goal("wait", math.nan, 0.5, "s")) == "wait: not measured, at most 0.5 s"
    assert goals_cell([MET, MISSED]) == "wait ≤ 1 s ✓; wait ≤ 1 s ✗"
    assert goals_table([MET, MISSED]).rows == [
        ["wait", "0.50 s", "1 s", "met"],
        ["wait", "1.50 s", "1 s", "MISSED"],
    ]


def a_page(folder: Path) -> Page:
    def draw(path: Path) -> None:
        path.write_bytes(b"a picture")

    template = folder / "one.md"
    template.write_text(
        "# A bench\n\n![all](one.png)\n\nMeasured on {machine}; {turns:,} turns.\n\n"
        "## Goals\n\nAbout goals.\n\n{goals}\n\n## Engines\n\n{engines}\n"
    )
    return Page(
        template=template,
        pictures={"one.png": draw},
        values={
            "turns": 9000,
            "goals": goals_table([MET]),
            "engines": {"A 1.0": Table(["", "s"], [["a", "0.1"]]), "A: plan": "SCAN"},
        },
    )


def test_a_page_is_its_template_with_figures_tables_and_pictures(tmp_path: Path) -> None:
    a_page(tmp_path).write(tmp_path / "docs")
    parts = (tmp_path / "docs" / "one.md").read_text(encoding="utf-8").split("\n\n")
    assert parts[:2] == ["# A bench", "![all](one.png)"]
    assert re.fullmatch(r"Measured on \d+ cores, .+, \d{4}-\d\d-\d\d; 9,000 turns\.", parts[2])
    assert parts[3:6] == ["## Goals", "About goals.", goals_table([MET]).markdown]
    assert parts[6:9] == ["## Engines", "### A 1.0", "|  | s |\n| --- | ---: |\n| a | 0.1 |"]
    assert parts[9:] == ["### A: plan", "SCAN\n"]
    assert (tmp_path / "docs" / "one.png").read_bytes() == b"a picture"


def test_a_terminal_shows_the_tables_of_a_page_below_their_headings(tmp_path: Path) -> None:
    engines = "A 1.0\n     s\n─  ───\na  0.1"
    assert a_page(tmp_path).text == f"Goals\n{goals_table([MET]).text}\n\n{engines}"


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
    words: list[str],
    goals: list[Goal],
    code: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chosen = BenchParser("bench.one", "A bench.").parse_args(words)
    assert finish(chosen, lambda: a_page(tmp_path), goals) == code
    printed = capsys.readouterr().out
    assert all((str(goal) in printed) == (not goal.is_met) for goal in goals)


def test_a_page_is_written_only_when_that_was_asked_for(tmp_path: Path) -> None:
    parser = BenchParser("bench.one", "A bench.", has_goals=False)
    docs = tmp_path / "docs"
    assert finish(parser.parse_args([]), lambda: a_page(tmp_path), folder=docs) == 0
    assert not docs.exists()
    assert finish(parser.parse_args(["--write"]), lambda: a_page(tmp_path), folder=docs) == 0
    assert (docs / "one.md").exists()


def test_a_number_below_its_least_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    parser = BenchParser("bench.one", "A bench.")
    parser.add_number("--rounds", 5, "rounds", least=2)
    assert parser.parse_args(["--rounds", "2"]).rounds == 2
    with pytest.raises(SystemExit):
        parser.parse_args(["--rounds", "1"])
    assert "1 is below 2" in capsys.readouterr().err


@pytest.mark.parametrize("name", BENCHES)
def test_every_bench_explains_itself_by_the_command_that_runs_it(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module(f"bench.{name}.__main__")
    monkeypatch.setattr(sys, "argv", ["bench", "--help"])
    with pytest.raises(SystemExit):
        module.main()
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: python -m bench.{name} ")
    assert module.__doc__ is not None
    assert module.__doc__.strip().splitlines()[0] in shown


@pytest.mark.parametrize(
    "template", sorted((ROOT / "bench").glob("*/*.md")), ids=lambda path: str(path.stem)
)
def test_the_page_in_the_docs_has_the_words_of_its_template(template: Path) -> None:
    words = re.split(r"\{[^}]*\}", template.read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "bench" / template.name).read_text(encoding="utf-8")
    place = 0
    for part in words:
        found = page.find(part, place)
        assert found >= 0, part
        place = found + len(part)
    assert page.startswith(words[0])
    assert page.endswith(words[-1])


def test_benches_do_not_import_each_other() -> None:
    for name in BENCHES:
        for file in (ROOT / "bench" / name).glob("*.py"):
            for other in set(BENCHES) - {name}:
                assert f"bench.{other}" not in file.read_text(), file
