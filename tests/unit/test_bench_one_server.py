"""The first-word bench's set with one model server: its faults, goals and page."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from bench.first_word.__main__ import arguments
from bench.first_word.cases import Case
from bench.first_word.contenders import ONE_SERVER_CONTENDERS
from bench.first_word.goals import COLD, WARM, run_goals
from bench.first_word.one_server import CASES, apart, by_chance, row_goals
from bench.first_word.one_server_page import case_table, make_page, summary_table
from bench.first_word.page import Results
from bench.first_word.turn import Row, Turn
from bench.servers.reply import REPLY, script
from llm_router.testing.server import Fault

NOTHING = Turn([], 12.0, "hung up")
PLUGIN = "OpenAI plugin, warm"


def turn(first: float = 0.15, text: str = REPLY) -> Turn:
    return Turn([(first, text)], first + 0.8)


def row(name: str, *turns: Turn, contender: str = WARM) -> Row:
    case = next(case for case in CASES if case.name == name)
    return Row(case=case, contender=contender, turns=turns, generated=40 * len(turns), requests=6)


def missed(*rows: Row) -> list[str]:
    return [goal.label for goal in run_goals(rows, [], row_goals) if not goal.is_met]


@pytest.mark.parametrize("seed", range(5))
def test_three_of_any_ten_requests_fail_and_never_two_in_a_row(seed: int) -> None:
    pattern = apart(seed)
    tens = [pattern[begin : begin + 10] for begin in range(0, 100, 10)]
    assert [sum(ten) for ten in tens] == [3] * 10
    assert not any(one and other for one, other in pairwise([*pattern, *pattern]))


def test_by_chance_as_many_fail_also_several_in_a_row() -> None:
    pattern = by_chance(1)
    assert (len(pattern), sum(pattern)) == (100, 30)
    assert any(one and other for one, other in pairwise(pattern))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_fault_is_one_that_a_server_can_play(case: Case) -> None:
    assert (script(0.15, case.primary).fault is Fault.NONE) == (case.name == "healthy")
    assert case.servers == (2 if case.strikes_both else 1)


def test_names_are_different_and_so_are_titles() -> None:
    assert len({case.name for case in CASES}) == len({case.title for case in CASES}) == len(CASES)


def test_a_run_that_meets_every_goal_misses_none() -> None:
    assert not missed(*(row(case.name, *[turn(0.4)] * 6) for case in CASES))


def test_one_broken_reply_is_a_miss_where_all_must_be_whole() -> None:
    of_ten = row("empty", *[turn()] * 9, Turn([(0.2, "I'm sorry.")], 0.2))
    assert missed(of_ten) == ["empty, Patchbay, warm: broken replies ≤ 0 % ✗"]


def test_one_broken_reply_in_a_hundred_is_allowed_where_the_server_is_silent() -> None:
    assert not missed(row("hang", *[turn()] * 99, NOTHING))
    assert missed(row("hang", *[turn()] * 49, NOTHING)) == [
        "hang, Patchbay, warm: broken replies ≤ 1 % ✗"
    ]


def test_a_cold_router_may_take_a_drip_for_a_slow_server() -> None:
    goals = {
        contender: row_goals(row("drip", NOTHING, contender=contender))[0]
        for contender in (COLD, WARM)
    }
    assert [goal.is_met for goal in goals.values()] == [False, False]
    assert (goals[COLD].required, goals[WARM].required) == (False, True)


def test_a_late_first_word_is_a_miss_where_it_was_promised() -> None:
    assert missed(row("status_500", turn(0.5), contender=COLD)) == [
        "status_500, Patchbay, cold: p95 ≤ 0.45 s ✗"
    ]
    assert missed(row("drip", turn(0.7))) == ["drip, Patchbay, warm: p95 ≤ 0.6 s ✗"]
    assert not missed(row("drip", turn(0.9), contender=COLD), row("status_429_later", turn(1.2)))


def test_by_chance_only_a_repetition_is_a_miss() -> None:
    twice = Turn([(0.2, f"{REPLY} {REPLY}")], 0.9)
    assert not missed(row("reset_by_chance", turn(2.0, "Yes,")))
    assert missed(row("reset_by_chance", twice)) == [
        "reset_by_chance, Patchbay, warm: repetitions ≤ 0 ✗"
    ]


def test_goals_do_not_apply_to_peers() -> None:
    assert not missed(row("status_500", NOTHING, contender=PLUGIN))


def test_the_tables_set_ours_beside_the_plugin() -> None:
    rows = [
        row("hang", turn(0.5), contender=WARM),
        row("hang", turn(5.0), NOTHING, contender=PLUGIN),
        row("hang", turn(1.0), contender="FallbackAdapter, warm"),
    ]
    assert summary_table(rows).rows == [
        ["hangs before headers", "100%", "50%", "100%", "0.50", "never", "1.00", "–"]
    ]
    assert "1 hung up" in case_table(rows).text
    assert "6.00" in case_table(rows).text  # requests for the one reply of ours


def test_the_page_shows_every_case_and_no_path_of_the_machine(tmp_path: Path) -> None:
    rows = [
        row(case.name, turn(), contender=one.name)
        for case in CASES
        for one in ONE_SERVER_CONTENDERS
    ]
    make_page(Results(rows, [], {"a-peer": "1.2.3"}, delay=0.01)).write(tmp_path)
    shown = (tmp_path / "one_server.md").read_text()
    assert all(f"### {case.title[0].upper()}{case.title[1:]}\n" in shown for case in CASES)
    assert "a-peer 1.2.3" in shown
    assert not re.search(r"[( `]/[a-z]+/", shown)
    assert (tmp_path / "one_server.png").stat().st_size > 0


def test_the_set_is_chosen_on_the_command_line() -> None:
    chosen = arguments(["--set", "one-server", "--faults", "status_500"])
    assert chosen.set.cases is CASES
    assert arguments([]).set.cases is not CASES


def test_a_set_without_the_chosen_fault_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(["--set", "one-server", "--faults", "tail"])
    assert "none of these faults" in capsys.readouterr().err
