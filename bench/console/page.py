"""The page of this bench."""

from collections.abc import Callable, Sequence
from pathlib import Path

from bench.console.figures import Board, PageFigures, Results, console_goals
from bench.console.stock import PERIOD, Amount
from bench.report.goals import goals_table
from bench.report.page import Page
from bench.report.table import Table, seconds


def make_page(amount: Amount, found: Sequence[Results]) -> Page:
    return Page(
        template=Path(__file__).with_name("console.md"),
        values={
            "connections": amount.connections,
            "attempts": amount.attempts,
            "days": PERIOD.days,
            "calls": amount.calls,
            "with_words": amount.with_words,
            "goals": goals_table(console_goals(found)),
            "pages": _pages(found),
            "requests": _requests(found),
            "board": _board(found),
        },
    )


def _pages(found: Sequence[Results]) -> Table:
    """A row for each page: both databases side by side, the time of a median visit first."""
    figures: list[tuple[str, Callable[[PageFigures], str]]] = [
        ("interactive, s", lambda page: seconds(page.interactive)),
        ("after its data, s", lambda page: seconds(page.after_data)),
        ("longest task, ms", lambda page: _task(page.longest_task)),
    ]
    head = ["", *(f"{one.name}: {title}" for title, _ in figures for one in found)]
    rows = [
        [title, *(cell(one.by_title[title]) for _, cell in figures for one in found)]
        for title in found[0].by_title
    ]
    return Table(head, rows)


def _requests(found: Sequence[Results]) -> Table:
    head = ["", *(part for one in found for part in (f"{one.name}, s", "request"))]
    rows = []
    for title in found[0].by_title:
        row = [title]
        for one in found:
            path, took = one.by_title[title].slowest_request
            row += [seconds(took), f"`{path}`"]
        rows.append(row)
    return Table(head, rows)


def _board(found: Sequence[Results]) -> Table:
    figures: list[tuple[str, Callable[[Board], str]]] = [
        ("calls", lambda board: str(board.calls)),
        ("changes written a second", lambda board: f"{board.written:.0f}"),
        ("changes drawn a second", lambda board: f"{board.drawn:.0f}"),
        ("longest task, ms", lambda board: _task(board.longest_task)),
        ("answer to a key press, p95, ms", lambda board: f"{board.key_p95 * 1e3:.0f}"),
    ]
    boards = [(one.name, one.board) for one in found if one.board]
    rows = [[title, *(cell(board) for _, board in boards)] for title, cell in figures]
    return Table(["", *(name for name, _ in boards)], rows)


def _task(longest: float) -> str:
    """Browsers report no task of less than 50 ms."""
    return f"{longest * 1e3:.0f}" if longest else "< 50"
