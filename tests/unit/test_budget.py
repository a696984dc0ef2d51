"""The hedge budget, by example and over any run of requests and hedges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.routing.budget import Budget


@given(
    st.lists(st.booleans(), max_size=300),
    st.floats(0.0, 1.0),
    st.floats(0.0, 10.0),
)
def test_hedges_never_exceed_their_share_of_the_requests(
    asks: list[bool], ratio: float, reserve: float
) -> None:
    budget, requests, hedges = Budget(ratio, reserve), 0, 0
    for hedge in asks:
        if hedge:
            had_token = budget.has_token
            is_paid = budget.withdraw()
            assert is_paid == had_token
            hedges += is_paid
        else:
            requests += 1
            budget.deposit()
        assert hedges <= ratio * requests + reserve + 1e-6


def test_the_first_calls_are_covered_by_the_reserve() -> None:
    budget = Budget(ratio=0.05, reserve=3.0)
    assert [budget.withdraw() for _ in range(4)] == [True, True, True, False]


def test_twenty_requests_at_five_percent_earn_one_hedge() -> None:
    budget = Budget(ratio=0.05, reserve=1.0)
    assert budget.withdraw()
    for _ in range(19):
        budget.deposit()
    assert not budget.withdraw()
    budget.deposit()
    assert budget.withdraw()


def test_a_quiet_day_saves_up_no_more_than_the_reserve() -> None:
    budget = Budget(ratio=0.05, reserve=3.0)
    for _ in range(10_000):
        budget.deposit()
    assert sum(budget.withdraw() for _ in range(100)) == 3


@pytest.mark.parametrize("ratio", [0.0, 0.05])
def test_without_a_reserve_there_is_no_hedge(ratio: float) -> None:
    budget = Budget(ratio, reserve=0.0)
    budget.deposit()
    assert not budget.withdraw()


def test_it_shows_what_is_left() -> None:
    budget = Budget()
    budget.withdraw()
    assert repr(budget) == "Budget(2.00 of 3, 5% a request)"
