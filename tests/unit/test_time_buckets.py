"""Tests the buckets of times: their accuracy, and that they never change."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.store.time_buckets import bucket_of, quantile


@given(st.floats(0.001, 180))
def test_a_quantile_is_accurate_to_a_twentieth(seconds: float) -> None:
    bucket = bucket_of(seconds)
    assert bucket is not None
    assert math.isclose(quantile({bucket: 1}, 0.5), seconds, rel_tol=0.053)


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(None, None), (0.0, 0), (0.001, 0), (0.25, 58), (1.0, 73), (1e9, 130)]
)
def test_buckets_never_change_since_databases_contain_them(
    seconds: float | None, bucket: int | None
) -> None:
    assert bucket_of(seconds) == bucket


@pytest.mark.parametrize(("q", "bucket"), [(0.01, 5), (0.5, 5), (0.51, 9), (0.99, 9), (1.0, 20)])
def test_a_quantile_is_the_time_within_which_that_share_came(q: float, bucket: int) -> None:
    assert quantile({9: 49, 5: 50, 20: 1}, q) == quantile({bucket: 1}, 0.5)
