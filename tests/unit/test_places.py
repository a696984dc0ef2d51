"""Tests the places of callers: no address takes them all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.places import PlaceLimits, place_for


@pytest.mark.parametrize(
    ("total", "per_address", "callers", "place"),
    [
        (0, 0, ["me"] * 100, "call"),
        (0, 4, ["me"] * 3, "call"),
        (0, 4, ["me"] * 4, "address"),
        (0, 4, ["other"] * 100, "call"),
        (10, 4, ["other"] * 10, "total"),
        (10, 4, ["me"] * 4 + ["other"] * 6, "address"),
        (2, 4, ["me"], "address"),
        (1, 4, [], "call"),
        (1, 4, ["other"], "total"),
        (10, 0, ["me"] * 9, "address"),
    ],
)
def test_a_call_needs_a_place(total: int, per_address: int, callers: list[str], place: str) -> None:
    limits = PlaceLimits(total=total, per_address=per_address)
    assert place_for("me", callers, [], limits, is_full=False) == place


@pytest.mark.parametrize(
    ("callers", "waiting", "is_full", "place"),
    [
        (["other"] * 5, [], False, "queue"),
        ([], [], True, "queue"),
        ([], ["other"], False, "queue"),
        (["other"] * 5, ["other"] * 2, False, "total"),
        ([], ["me"] * 3, False, "address"),
        (["me"] * 2, ["me"], False, "address"),
        (["other"] * 4, [], False, "call"),
    ],
)
def test_a_visitor_waits_where_no_line_is_free_or_others_wait(
    callers: list[str], waiting: list[str], is_full: bool, place: str
) -> None:
    limits = PlaceLimits(total=5, per_address=3, queue=2)
    assert place_for("me", callers, waiting, limits, is_full=is_full) == place


@given(
    st.lists(st.sampled_from(["rude", "polite"]), max_size=200),
    st.integers(2, 50),
    st.integers(0, 50),
)
def test_one_address_alone_never_takes_the_last_place(
    arrivals: list[str], total: int, per_address: int
) -> None:
    limits = PlaceLimits(total=total, per_address=per_address, queue=3)
    calls: list[str] = []
    waiting: list[str] = []
    for caller in arrivals:
        place = place_for(caller, calls, waiting, limits, is_full=False)
        if place in {"call", "queue"}:
            (calls if place == "call" else waiting).append(caller)
    assert len(waiting) <= limits.queue
    assert len(calls) <= total
    assert calls.count("rude") < total
    assert [*calls, *waiting].count("rude") < total
    if "polite" not in [*calls, *waiting]:
        assert place_for("polite", calls, waiting, limits, is_full=False) in {"call", "queue"}
