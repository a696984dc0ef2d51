"""The sets of this bench: which cases are run against which contenders, and how they are shown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.first_word import cases, contenders, goals, one_server, one_server_page, page
from bench.first_word.cases import Case
from bench.first_word.contender_process import Callers
from bench.first_word.contenders import Contender
from bench.first_word.page import Results
from bench.first_word.turn import Row
from bench.report.goals import Goal
from bench.report.page import Page
from bench.report.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSet:
    """`turns`: of each contender with each case, unless the command line says otherwise.
    `adds_time`: the time added while all is well is measured too.
    """

    cases: Sequence[Case]
    contenders: Sequence[Contender]
    callers: Callers
    turns: int
    row_goals: Callable[[Row], list[Goal]]
    case_table: Callable[[Sequence[Row]], Table]
    make_page: Callable[[Results], Page]
    adds_time: bool = False


SETS = {
    "two-servers": BenchSet(
        cases=cases.CASES,
        contenders=contenders.CONTENDERS,
        callers=Callers(),
        turns=60,
        row_goals=goals.row_goals,
        case_table=page.case_table,
        make_page=page.make_page,
        adds_time=True,
    ),
    "one-server": BenchSet(
        cases=one_server.CASES,
        contenders=contenders.ONE_SERVER_CONTENDERS,
        callers=one_server.CALLERS,
        turns=40,
        row_goals=one_server.row_goals,
        case_table=one_server_page.case_table,
        make_page=one_server_page.make_page,
    ),
}
"""By the name to choose one on the command line."""
