"""The soak beside hostile neighbours: it names who was slowed, lost or left without a word."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bench.soak.calls import Load
from bench.soak.figures import Idle, Sample, Soak
from bench.soak.hostile.calls import Noticed
from bench.soak.hostile.goals import HostileSoak, hostile_goals, most_held
from bench.soak.hostile.page import hostile_page
from bench.soak.hostile.servers import ATTACKS, next_attack

IDLE = Sample(at=0.0, megabytes=170.0, tasks=3, sockets=13, threads=4, objects=400, streams=0)


def run(
    *,
    beside: float = 0.16,
    minutes: float = 10.0,
    growth: float = 0.0,
    most: float = 180.0,
    **noticed: int,
) -> HostileSoak:
    """Returns a run in which first words take `beside` seconds, without neighbours 0.15."""
    seconds = 60 * minutes
    samples = [
        replace(IDLE, at=at, megabytes=170.0 + growth * at / 60)
        for at in (seconds * place / 50 for place in range(50))
    ]
    soak = Soak(
        load=Load(seconds=seconds, rate=5.0, seed=7),
        turns=3000,
        samples=samples,
        idle=Idle(closed=(IDLE, IDLE), open=(IDLE, IDLE)),
        attempts=Counter({"won": 3000, "broken stream": 400}),
        replies=Counter(),
    )
    times = Noticed(without=[0.15] * 100, beside=[beside] * 100, neighbours=600, **noticed)
    return HostileSoak(soak=soak, noticed=times, most=most)


def missed(found: HostileSoak, *, required: bool = True) -> list[str]:
    goals = hostile_goals(found)
    return [goal.name for goal in goals if not goal.is_met and goal.required is required]


def test_a_run_in_which_others_noticed_nothing_meets_its_goals() -> None:
    assert missed(run()) == []


@pytest.mark.parametrize(
    ("found", "named"),
    [
        (run(lost=1), "replies of others that were not whole"),
        (run(unanswered=1), "neighbours without a word"),
        (run(growth=0.6), "growth of memory in a minute"),
        (run(most=240.0), "most memory at any moment, above that before"),
    ],
)
def test_a_goal_that_is_missed_is_named(found: HostileSoak, named: str) -> None:
    assert missed(found) == [named]


@pytest.mark.parametrize("first_word", [0.17, float("inf")])
def test_first_words_that_come_later_beside_neighbours_are_named(first_word: float) -> None:
    assert missed(run(beside=first_word)) == [
        "p50 of others' first words, against without",
        "p95 of others' first words, against without",
    ]


def test_a_short_run_is_held_to_replies_and_only_aims_at_times() -> None:
    short = run(beside=0.3, growth=5.0, minutes=0.5, lost=1)
    assert missed(short) == ["replies of others that were not whole"]
    assert len(missed(short, required=False)) == 3


def test_turns_count_by_spell_but_those_at_its_beginning_do_not() -> None:
    noticed = Noticed()
    for at in (0.5, 4.0, 5.5, 9.0, 10.2, 11.5):
        noticed.note(at, at)
    assert noticed.without == [4.0, 11.5]
    assert noticed.beside == [9.0]


def test_the_attacks_take_turns_and_each_begins_anew() -> None:
    played = [next_attack(number) for number in range(2 * len(ATTACKS))]
    assert all(script.raw for script in played)
    trickle = list(ATTACKS).index("a trickle after the end")
    for number in (trickle, trickle + len(ATTACKS)):
        assert b"We open at nine." in next(iter(played[number].raw or ()))


def test_the_most_that_a_process_held_is_no_less_than_it_holds() -> None:
    assert most_held() > 10.0


def test_the_page_shows_the_goals_and_the_times(tmp_path: Path) -> None:
    hostile_page(run(beside=0.17)).write(tmp_path)
    shown = (tmp_path / "soak_hostile.md").read_text(encoding="utf-8")
    assert (tmp_path / "soak_hostile.png").stat().st_size > 0
    for cell in ("MISSED", "170.00", "600", "endless words", "broken stream"):
        assert cell in shown
