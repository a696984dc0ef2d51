"""The figures of the bench of the widget."""

import math
from collections import Counter
from dataclasses import replace

from bench.widget.figures import Crowd, Flood, Results, Waits, statuses, widget_goals
from bench.widget.page import make_page, sizes_table, waits_table

TYPED = Waits(title="typed", times=[0.2, 0.3])
WELL = Results(
    typed=[TYPED],
    voice=Waits(title="voice", times=[0.9, 1.1]),
    crowd=Crowd(
        waits=Waits(title="crowd", times=[1.0] * 50),
        in_pages=Waits(title="crowd in pages", times=[7.0] * 50),
        jobs=0,
        memory=0.4,
    ),
    flood=Flood(answers=Counter({429: 7, 403: 3}), page=[0.01] * 20, rooms=0, seconds=30.0),
    sizes={"at once": 664},
)


def test_goals_are_met_by_quick_answers_and_a_flood_that_opens_no_room() -> None:
    assert all(goal.is_met for goal in widget_goals(WELL))


def test_a_visitor_who_waits_in_vain_a_room_and_a_page_that_is_away_miss_their_goals() -> None:
    assert WELL.flood
    assert WELL.crowd
    bad = replace(
        WELL,
        typed=[Waits(title="typed", times=[0.2, math.inf])],
        voice=Waits(title="voice", times=[1.6]),
        crowd=replace(WELL.crowd, jobs=50),
        flood=replace(WELL.flood, rooms=1, page=[math.inf]),
    )
    missed = [goal.name for goal in widget_goals(bad) if not goal.is_met]
    assert missed == [
        "first word read, p95: typed",
        "first sound from the press, p95",
        "call processes for typed words",
        "rooms opened by a flood",
        "page during a flood, p95",
    ]


def test_parts_that_were_not_measured_have_no_goals() -> None:
    alone = Results(typed=[TYPED], voice=WELL.voice)
    assert len(widget_goals(alone)) == 2
    assert "not measured" not in make_page(WELL).text


def test_the_page_has_a_row_of_each_kind_of_visitor_and_each_size() -> None:
    assert waits_table(WELL).rows[0] == ["typed", "2", "0.20", "0.30", "0.30"]
    assert [row[0] for row in waits_table(WELL).rows] == [
        "typed",
        "voice",
        "crowd",
        "crowd in pages",
    ]
    assert sizes_table(WELL).rows == [["at once", "664"]]


def test_statuses_are_listed_the_most_frequent_first() -> None:
    assert WELL.flood
    assert statuses(WELL.flood) == "7 × 429, 3 × 403"
