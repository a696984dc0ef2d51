"""The figures of the bench of the console."""

import math
from dataclasses import replace

import pytest

from bench.console.figures import Board, Key, PageFigures, Results, Visit, console_goals
from bench.console.page import make_page
from bench.console.stock import Amount
from bench.report.table import Table

QUICK = [Key(0.1 * place, 0.1 * place + 0.02) for place in range(20)]
VISIT = Visit(
    shown=0.55,
    requests=[("/api/me", 0.02, 0.3), ("/api/connections", 0.2, 0.5)],
    keys=QUICK,
    tasks=[0.06, 0.08],
)
BOARD = Board(calls=100, seconds=30.0, written=100.0, drawn=80.0, tasks=[], keys=QUICK)
WELL = Results(
    dialect="sqlite", pages=[PageFigures("Usage", [VISIT])], first_page=150_000, board=BOARD
)


def test_a_page_is_interactive_once_it_is_drawn_with_its_data_and_answers_keys() -> None:
    assert VISIT.data == 0.5
    assert VISIT.interactive == 0.55
    late_picture = replace(VISIT, shown=1.5)
    assert late_picture.after_data == pytest.approx(1.0)


def test_a_page_is_not_interactive_before_the_last_key_that_it_answers_late() -> None:
    busy = replace(VISIT, keys=[*QUICK[:6], Key(0.6, 1.4), Key(0.7, 1.4), Key(1.5, 1.52)])
    assert busy.interactive == 1.4
    slow_before_its_data = replace(VISIT, keys=[Key(0.0, 0.4), *QUICK[1:]])
    assert slow_before_its_data.interactive == 0.55
    assert replace(VISIT, keys=QUICK[:3]).interactive == math.inf


def test_a_request_that_was_given_up_is_the_slowest_and_brings_no_data() -> None:
    never = replace(VISIT, requests=[*VISIT.requests, ("/api/models", math.inf, math.inf)])
    assert never.data == 0.5
    assert never.slowest_request == ("/api/models", math.inf)


def test_goals_are_met_by_quick_pages_and_a_calm_board() -> None:
    assert all(goal.is_met for goal in console_goals([WELL]))


def test_slow_pages_a_large_first_page_and_a_board_that_blocks_miss_their_goals() -> None:
    slow = PageFigures("Chat", [VISIT, replace(VISIT, shown=2.0)])
    late = PageFigures("Calls", [replace(VISIT, requests=[("/api/calls", 1.2, 0.5)])])
    bad = replace(
        WELL,
        pages=[*WELL.pages, slow, late],
        first_page=200_001,
        board=replace(BOARD, tasks=[0.12]),
    )
    missed = [goal.name for goal in console_goals([bad]) if not goal.is_met]
    assert missed == [
        "SQLite: interactive after its data, slowest page (Chat)",
        "SQLite: slowest request (Calls)",
        "SQLite: first page, compressed",
        "SQLite: longest task of the live board",
    ]


def test_a_board_that_draws_nothing_has_no_figure() -> None:
    still = replace(WELL, board=replace(BOARD, drawn=0.0))
    assert [goal.measured_text for goal in console_goals([still])][-1] == "not measured"


def test_the_page_has_both_databases_side_by_side() -> None:
    other = replace(WELL, dialect="postgresql", board=replace(BOARD, tasks=[0.07]))
    shown = make_page(Amount(10_000, 1_000_000), [WELL, other])
    assert shown.values["calls"] == 50_000
    assert "SQLite: interactive, s  PostgreSQL: interactive, s" in shown.text
    board = shown.values["board"]
    assert isinstance(board, Table)
    assert ["longest task, ms", "< 50", "70"] in board.rows
