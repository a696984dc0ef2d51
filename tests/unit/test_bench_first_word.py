"""The figures, the goals and the page of the first-word bench."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.first_word.__main__ import arguments
from bench.first_word.added_time import Times
from bench.first_word.cases import CASES, FAULTS, HEALTHY
from bench.first_word.contenders import CONTENDERS
from bench.first_word.goals import COLD, WARM, added_goals, run_goals
from bench.first_word.page import Results, added_table, case_table, make_page
from bench.first_word.turn import Row, Turn
from bench.servers.reply import REPLY

WORDS = [word if place == 0 else f" {word}" for place, word in enumerate(REPLY.split())]
HANG = next(case for case in CASES if case.name == "hang")
RESET = next(case for case in CASES if case.name == "reset")


def turn(first: float = 0.15, words: Sequence[str] = WORDS, ended: float | None = None) -> Turn:
    """Words 20 ms apart, from `first` on."""
    pieces = [(first + 0.02 * place, word) for place, word in enumerate(words)]
    return Turn(pieces, pieces[-1][0] if ended is None else ended)


def row(*turns: Turn, contender: str = COLD, generated: int | None = None) -> Row:
    received = sum(len(one.pieces) for one in turns)
    return Row(
        case=HANG,
        contender=contender,
        turns=turns,
        generated=received if generated is None else generated,
    )


def missed(rows: Sequence[Row]) -> list[str]:
    """Returns the goals that the rows miss, as a table shows them."""
    return [goal.label for goal in run_goals(rows, []) if not goal.is_met]


def missed_added(times: Sequence[Times], *, required: bool) -> list[str]:
    goals = [goal for goal in added_goals(times) if goal.required == required]
    return [goal.label for goal in goals if not goal.is_met]


# ── One turn ─────────────────────────────────────────────────────────────────────────────────────


def test_the_first_word_is_the_first_piece_that_can_be_said() -> None:
    assert Turn([(0.1, ""), (0.2, " \n"), (0.3, "Yes,")], 0.3).first_word == 0.3


def test_a_reply_without_a_word_never_had_a_first_one() -> None:
    assert Turn([], 6.0).first_word == math.inf
    assert Turn([(0.1, " ")], 6.0).first_word == math.inf


def test_a_reply_is_whole_only_if_every_word_came_once_and_in_order() -> None:
    assert turn().is_whole
    assert not turn(words=WORDS[:-1]).is_whole
    assert not turn(words=WORDS + WORDS[-1:]).is_whole
    assert not turn(words=WORDS[::-1]).is_whole


def test_a_word_said_twice_is_found() -> None:
    assert turn(words=WORDS[:13] + WORDS[12:]).repeats
    assert not turn().repeats
    assert not turn(words=WORDS[:13]).repeats


def test_a_gap_is_the_longest_wait_between_two_words() -> None:
    pieces = [(0.1, WORDS[0]), (0.2, WORDS[1]), (0.9, "".join(WORDS[2:]))]
    assert Turn(pieces, ended=5.0).longest_gap == pytest.approx(0.7)


def test_the_wait_for_words_that_never_came_is_a_gap_too() -> None:
    assert turn(words=WORDS[:3], ended=5.0).longest_gap == pytest.approx(5.0 - 0.19)


def test_a_voice_that_still_has_words_to_say_hides_a_gap() -> None:
    begin = "".join(WORDS[:8])
    rest = "".join(WORDS[8:])
    assert Turn([(0.15, begin), (2.0, rest)], 2.0).longest_silence == 0.0


def test_a_voice_that_has_run_out_of_words_is_silent() -> None:
    begin = "".join(WORDS[:8])
    voice_ends = 0.15 + len(begin) / 15.0
    later = Turn([(0.15, begin), (voice_ends + 1.5, "".join(WORDS[8:]))], voice_ends + 1.5)
    assert later.longest_silence == pytest.approx(1.5)


def test_a_reply_that_breaks_off_ends_in_silence() -> None:
    begin = "".join(WORDS[:8])
    voice_ends = 0.15 + len(begin) / 15.0
    assert Turn([(0.15, begin)], ended=voice_ends + 2).longest_silence == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        (Turn([(0.1, REPLY)], 1.0), "whole"),
        (Turn([(0.1, "Yes, your")], 1.0), "cut off"),
        (Turn([], 1.0), "nothing"),
        (Turn([(0.1, "Yes, your… Sorry, I lost my thread.")], 1.0), "phrase"),
        (Turn([(0.1, "Yes, your"), (0.3, f" {REPLY}")], 1.0), "repeated"),
        (Turn([(0.1, "Yes, your")], 1.0, "ConnectionError"), "error"),
        (Turn([(0.1, "Yes, your")], 6.1, "hung up"), "hung up"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_outcome_of_a_reply_has_a_name(result: Turn, outcome: str) -> None:
    assert result.outcome == outcome


# ── Many turns ───────────────────────────────────────────────────────────────────────────────────


def test_one_slow_turn_in_ten_shows_in_the_p95_of_thirty() -> None:
    turns = [turn(4.0 if number % 10 == 9 else 0.15) for number in range(30)]
    assert row(*turns).first_word(0.95) == 4.0
    assert row(*turns).first_word(0.5) == 0.15


def test_words_that_no_caller_received_are_a_cost() -> None:
    assert row(turn(), generated=60).cost == pytest.approx(1.5)
    assert row(Turn([], 6.0), generated=40).cost == math.inf


def test_whole_replies_and_repetitions_are_counted() -> None:
    of_four = row(turn(), turn(), turn(words=WORDS[:5]), turn(words=WORDS + WORDS))
    assert (of_four.whole, of_four.repeats) == (0.5, 1)
    assert of_four.outcomes == {"whole": 2, "cut off": 1, "repeated": 1}


# ── Goals ────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_that_meets_every_goal_misses_none() -> None:
    rows = [
        Row(case=case, contender=contender, turns=[turn(0.24)] * 5, generated=200)
        for case in CASES
        for contender in (COLD, WARM)
    ]
    assert not missed(rows)


def test_a_late_first_word_is_a_miss() -> None:
    late = [row(*[turn(0.9)] * 5)]
    assert missed(late) == ["hang, Patchbay, cold: p95 ≤ 0.5 s ✗"]


def test_a_warm_router_has_three_turns_to_learn_that_a_server_hangs() -> None:
    learnt = [row(*[turn(0.44)] * 3, *[turn(0.21)] * 5, contender=WARM)]
    assert not missed(learnt)
    slow = [row(*[turn(0.44)] * 4, *[turn(0.21)] * 5, contender=WARM)]
    assert missed(slow) == ["hang, Patchbay, warm: later p95 ≤ 0.25 s ✗"]


def test_a_broken_or_repeated_reply_is_a_miss() -> None:
    twice = turn(words=WORDS[:13] + WORDS[12:])
    of_reset = Row(case=RESET, contender=COLD, turns=[turn(), twice], generated=80)
    assert missed([of_reset]) == [
        "reset, Patchbay, cold: broken replies ≤ 0 ✗",
        "reset, Patchbay, cold: repetitions ≤ 0 ✗",
    ]


def test_goals_do_not_apply_to_peers() -> None:
    others = [contender.name for contender in CONTENDERS if contender.name not in {COLD, WARM}]
    assert others
    assert not missed([row(Turn([], 6.0), contender=name) for name in others])


def test_a_turn_without_a_word_is_a_miss_even_if_both_servers_fail() -> None:
    both = next(case for case in CASES if case.name == "hang_both")
    apology = turn(4.0, words=["I'm", " sorry."])
    silent = Row(case=both, contender=COLD, turns=[apology, Turn([], 6.0)], generated=0)
    assert missed([silent]) == ["hang_both, Patchbay, cold: latest ≤ 4.2 s ✗"]
    assert not missed([replace(silent, turns=[apology])])


def test_time_added_is_held_to_its_limits() -> None:
    bare = Times("bare", [0.150] * 10, [0.001] * 10)
    quick = Times("ours", [0.1505] * 10, [0.0015] * 10)
    waits = Times("ours", [0.153] * 10, [0.0015] * 10)
    works = Times("ours", [0.1505] * 10, [0.0015] * 9 + [0.004])
    assert not missed_added([bare, quick], required=True)
    assert not missed_added([bare, quick], required=False)
    assert missed_added([bare, waits], required=True) == ["p50 ≤ 2 ms ✗"]
    assert missed_added([bare, works], required=True) == ["work p99 ≤ 2 ms ✗"]
    assert not missed_added([], required=True)


def test_noise_of_other_processes_is_reported_but_fails_no_run() -> None:
    bare = Times("bare", [0.150] * 10, [0.001] * 10)
    held_up = Times("ours", [0.1505] * 9 + [0.160], [0.0015] * 10)
    assert not missed_added([bare, held_up], required=True)
    assert missed_added([bare, held_up], required=False)


# ── What is shown ────────────────────────────────────────────────────────────────────────────────


def test_the_tables_say_whether_a_goal_was_reached() -> None:
    met, failed = row(*[turn(0.44)] * 5), row(*[turn(1.3)] * 5)
    assert "p95 ≤ 0.5 s ✓" in case_table([met]).text
    assert "p95 ≤ 0.5 s ✗" in case_table([failed]).text
    bare, ours = Times("bare", [0.150], [0.001]), Times("ours", [0.157], [0.0015])
    assert "7.00" in added_table([bare, ours]).text
    assert "p99 ≤ 2 ms ✗" in added_table([bare, ours]).text


def test_the_page_shows_every_fault_and_no_path_of_the_machine(tmp_path: Path) -> None:
    rows = [
        Row(case=case, contender=one.name, turns=[turn(), Turn([], 6.0)] * 2, generated=80)
        for case in CASES
        for one in CONTENDERS
    ]
    measured = [Times(name, [0.15], [0.001]) for name in ("bare httpx2", "Patchbay")]
    page = tmp_path / "first_word.md"
    make_page(Results(rows, measured, {"a-peer": "1.2.3"}, delay=0.01)).write(tmp_path)
    shown = page.read_text()
    one, both = shown.split("## The spare fails too")
    headings = [f"### {case.title[0].upper()}{case.title[1:]}\n" for case in FAULTS]
    assert all(heading in one and heading in both for heading in headings)
    assert "a-peer 1.2.3" in shown
    assert not re.search(r"[( `]/[a-z]+/", shown)
    assert all((tmp_path / name).stat().st_size > 0 for name in re.findall(r"\w+\.png", shown))


def test_help_names_every_fault_and_every_contender(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert all(case.name in shown for case in (HEALTHY, *FAULTS))
    assert all(contender.product in shown for contender in CONTENDERS)


@pytest.mark.parametrize("part", [["--faults", "hang"], ["--rounds", "0"], ["--healthy-spare"]])
def test_a_partial_run_cannot_be_written(
    part: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert arguments(["--write"]).write
    with pytest.raises(SystemExit):
        arguments(["--write", *part])
    assert "leave out --faults" in capsys.readouterr().err


def test_too_few_turns_for_the_goals_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(["--turns", "3"])
    assert "3 is below 4" in capsys.readouterr().err
