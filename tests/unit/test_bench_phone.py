"""The figures of the bench of telephones."""

import math

import pytest

from bench.phone.figures import Cost, Death, PhoneCall, PhoneFigures, PhoneSet, phone_goals
from bench.phone.page import costs_table, hellos_table, make_page, times_table

WELL = PhoneCall(answered=0.4, greeted=0.2, replies=[0.7, 0.8], lasted=60, received=60.1)
BAD = PhoneCall(answered=3.0, greeted=2.0, replies=[math.inf], lasted=60, received=48)
SURVIVED, LOST = ([Death(title="killed", silences=[1.0, longest])] for longest in (3.9, math.inf))
COSTS = [Cost(program="livekit-sip", processor=12, memory=6)]


def one(*calls: PhoneCall) -> PhoneSet:
    return PhoneSet(title="so many", calls=calls, costs=COSTS)


def figures(calls: PhoneSet, hellos: list[float], deaths: list[Death]) -> PhoneFigures:
    return PhoneFigures(single=calls, crowds=[calls], hellos=hellos, deaths=deaths)


WORKS = figures(one(WELL), [0.7, 0.9, 1.2], SURVIVED)


def test_lost_sound_is_what_the_recording_lacks_of_the_call() -> None:
    assert WELL.lost == 0
    assert BAD.lost == pytest.approx(0.2)
    assert one(WELL, BAD).most_lost == BAD.lost


def test_goals_are_missed_by_late_answers_and_by_calls_that_were_not_made() -> None:
    nothing = figures(one(), [], [Death(title="killed", silences=[])])
    assert all(goal.is_met for goal in phone_goals(WORKS))
    assert not any(goal.is_met for goal in phone_goals(figures(one(BAD), [math.inf], LOST)))
    assert not any(goal.is_met for goal in phone_goals(nothing))


def test_costs_are_shown_for_one_call() -> None:
    assert costs_table(one(WELL, WELL)).rows == [["livekit-sip", "10%", "3"]]


def test_the_page_has_both_sets() -> None:
    assert len(times_table([one(WELL), one(BAD)]).rows) == 2
    assert "so many" in make_page(WORKS).text


def test_hellos_are_shown_by_their_middle_and_their_worst() -> None:
    assert hellos_table(WORKS).rows == [["3", "0.90", "1.20"]]
