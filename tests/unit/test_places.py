"""Tests the places of callers: no address takes them all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.places import PlaceLimits, refusal


@pytest.mark.parametrize(
    ("total", "per_address", "callers", "refused"),
    [
        (0, 0, ["me"] * 100, None),
        (0, 4, ["me"] * 3, None),
        (0, 4, ["me"] * 4, "address"),
        (0, 4, ["other"] * 100, None),
        (10, 4, ["other"] * 10, "site"),
        (10, 4, ["me"] * 4 + ["other"] * 6, "address"),
        (2, 4, ["me"], "address"),
        (1, 4, [], None),
        (1, 4, ["other"], "site"),
        (10, 0, ["me"] * 9, "address"),
    ],
)
def test_a_call_needs_a_place(
    total: int, per_address: int, callers: list[str], refused: str | None
) -> None:
    assert refusal(callers, "me", PlaceLimits(total=total, per_address=per_address)) == refused


@given(
    st.lists(st.sampled_from(["rude", "polite"]), max_size=200),
    st.integers(2, 50),
    st.integers(0, 50),
)
def test_one_address_alone_never_takes_the_last_place(
    arrivals: list[str], total: int, per_address: int
) -> None:
    limits = PlaceLimits(total=total, per_address=per_address)
    calls: list[str] = []
    for caller in arrivals:
        if refusal(calls, caller, limits) is None:
            calls.append(caller)
    assert len(calls) <= total
    assert calls.count("rude") < total
    if "polite" not in calls:
        assert refusal(calls, "polite", limits) is None
