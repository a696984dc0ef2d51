"""The histograms, compared with a direct Kaplan-Meier estimate of the same samples."""

import math
from fractions import Fraction
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.routing.latency import (
    DOUBT,
    HALF_LIFE,
    SIZE_CLASSES,
    Histogram,
    Latency,
    size_class,
    under_load,
)

Sample = tuple[Literal["seen", "cut", "failed"], float]
QUANTILES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
GRID = [0.004 * 1.5**step for step in range(22)]
"""4 ms to 20 s, each in its own bucket."""
SAMPLES: st.SearchStrategy[list[Sample]] = st.lists(
    st.tuples(st.sampled_from(["seen", "seen", "cut", "failed"]), st.sampled_from(GRID)),
    max_size=60,
)


def add(histogram: Histogram, sample: Sample, now: float = 0.0) -> None:
    kind, seconds = sample
    match kind:
        case "seen":
            histogram.record(seconds, now)
        case "cut":
            histogram.at_least(seconds, now)
        case "failed":
            histogram.failed(now)


def filled(samples: list[Sample]) -> Histogram:
    histogram = Histogram()
    for sample in samples:
        add(histogram, sample)
    return histogram


def by_hand(samples: list[Sample], q: float) -> float | None:
    """Returns the first time at which no more than 1 - q of all waits have not ended."""
    if not samples:
        return None
    alive = Fraction(1)
    for time in sorted({seconds for kind, seconds in samples if kind == "seen"}):
        ended = sum(kind == "seen" and seconds == time for kind, seconds in samples)
        at_risk = sum(kind == "failed" or seconds >= time for kind, seconds in samples)
        alive *= 1 - Fraction(ended, at_risk)
        if alive <= 1 - q + 1e-9:
            return time
    return math.inf


@given(SAMPLES)
def test_quantiles_are_kaplan_and_meiers_within_a_bucket(samples: list[Sample]) -> None:
    histogram = filled(samples)
    for q in QUANTILES:
        expected, got = by_hand(samples, q), histogram.quantile(q)
        if expected is None or math.isinf(expected):
            assert got == expected
        else:
            assert got is not None
            assert expected <= got * (1 + 1e-9)
            assert got <= expected * 1.1 * (1 + 1e-9)


@given(SAMPLES, st.lists(st.floats(0.001, 0.999), min_size=2))
def test_a_higher_quantile_is_never_a_shorter_time(samples: list[Sample], qs: list[float]) -> None:
    histogram = filled(samples)
    times = [histogram.quantile(q) for q in sorted(qs)]
    known = [time for time in times if time is not None]
    assert known == sorted(known)
    assert len(known) == (len(times) if samples else 0)


@given(
    st.lists(st.tuples(st.floats(0.0, 400.0), st.floats(0.0, 600.0)), min_size=1, max_size=30),
    st.sampled_from(["cut", "failed"]),
    st.floats(0.0, 400.0),
    st.floats(0.0, 600.0),
)
def test_a_wait_cut_off_or_a_failure_never_makes_an_endpoint_seem_faster(
    seen: list[tuple[float, float]],
    kind: Literal["cut", "failed"],
    seconds: float,
    later: float,
) -> None:
    histogram, now = Histogram(), 0.0
    for time, pause in seen:
        now += pause
        histogram.record(time, now)
    before = [histogram.quantile(q) for q in QUANTILES]
    add(histogram, (kind, seconds), now + later)
    after = [histogram.quantile(q) for q in QUANTILES]
    for was, is_now in zip(before, after, strict=True):
        assert was is not None
        assert is_now is not None
        assert is_now >= was


def test_nothing_is_known_before_anything_was_measured() -> None:
    assert Histogram().quantile(0.5) is None
    assert Histogram().count(0.0) == 0.0


def test_an_endpoint_that_callers_always_interrupt_is_not_taken_for_a_fast_one() -> None:
    interrupted: list[Sample] = [("cut", 1.0)] * 9
    histogram = filled([("seen", 0.2), *interrupted])
    assert histogram.quantile(0.5) == math.inf


def test_a_server_that_fails_fast_is_not_taken_for_a_fast_one() -> None:
    failed: list[Sample] = [("failed", 0.0)] * 6
    seen: list[Sample] = [("seen", 0.2)] * 4
    histogram = filled(failed + seen)
    assert histogram.quantile(0.3) == pytest.approx(0.2, rel=0.1)
    assert histogram.quantile(0.5) == math.inf


def test_samples_fade_by_half_in_a_half_life() -> None:
    histogram = Histogram(half_life=600.0)
    for _ in range(8):
        histogram.record(0.2, 0.0)
    assert [histogram.count(now) for now in (0.0, 600.0, 1200.0, 1800.0)] == pytest.approx(
        [8.0, 4.0, 2.0, 1.0]
    )


def test_new_samples_outweigh_old_ones() -> None:
    histogram = Histogram(half_life=600.0)
    for _ in range(100):
        histogram.record(2.0, 0.0)
    for _ in range(10):
        histogram.record(0.1, 6_000.0)
    assert histogram.quantile(0.9) == pytest.approx(0.1, rel=0.1)


@given(st.lists(st.sampled_from([1.0, 600.0, 20_000.0, 1e6, 1e9]), min_size=1, max_size=8))
def test_the_numbers_hold_however_long_no_call_comes(pauses: list[float]) -> None:
    histogram, now = Histogram(), 0.0
    for pause in pauses:
        now += pause
        histogram.record(0.2, now)
        assert histogram.quantile(0.5) == pytest.approx(0.2, rel=0.1)
        assert 1.0 <= histogram.count(now) <= len(pauses)
        assert histogram.count(now + 1e9) == 0.0


@pytest.mark.parametrize(
    ("characters", "size"),
    [(0, 0), (2_000, 0), (2_001, 1), (8_000, 1), (32_000, 2), (32_001, 3), (10**7, 3)],
)
def test_prompts_are_sized_in_four_classes(characters: int, size: int) -> None:
    assert size_class(characters) == size
    assert size <= len(SIZE_CLASSES)


def test_a_size_without_a_sample_borrows_from_the_nearest_the_smaller_first() -> None:
    latency = Latency()
    latency.record_first_word(0, 0.1, 0.0)
    assert latency.first_word(3).quantile(0.5) == pytest.approx(0.1, rel=0.1)
    latency.record_first_word(2, 0.9, 0.0)
    assert latency.first_word(3).quantile(0.5) == pytest.approx(0.9, rel=0.1)
    assert latency.first_word(1).quantile(0.5) == pytest.approx(0.1, rel=0.1)


def test_a_failure_and_a_cut_wait_count_for_word_and_clause_alike() -> None:
    latency = Latency()
    latency.record_failure(0, 0.0)
    latency.record_at_least(0, 0.5, 0.0)
    assert latency.first_word(0).count(0.0) == latency.first_clause(0).count(0.0) == 2.0


def test_word_and_clause_are_measured_apart() -> None:
    latency = Latency()
    latency.record_first_word(0, 0.1, 0.0)
    latency.record_first_clause(0, 0.8, 0.0)
    assert latency.first_word(0).quantile(0.5) == pytest.approx(0.1, rel=0.1)
    assert latency.first_clause(0).quantile(0.5) == pytest.approx(0.8, rel=0.1)


def test_a_reply_in_flight_weighs_as_much_as_the_least_difference_that_is_measured() -> None:
    assert under_load(0.5, 0) == 0.5
    first, second = Histogram(), Histogram()
    first.record(0.5, 0.0)
    second.record(0.5 * 1.1, 0.0)
    expected = first.quantile(0.5)
    assert expected is not None
    assert under_load(expected, 1) == pytest.approx(second.quantile(0.5))


def test_on_change_is_called_after_each_change() -> None:
    latency, calls = Latency(), list[int]()
    latency.on_change = lambda: calls.append(latency.samples)
    latency.record_first_word(0, 0.1, 0.0)
    latency.record_first_clause(0, 0.4, 0.0)
    latency.record_at_least(0, 0.4, 0.0)
    latency.record_failure(0, 0.0)
    latency.record_no_clause(0, 0.4, 0.0)
    latency.record_pause(0.1, 0.0)
    latency.record_stall(0.4, 0.0)
    latency.add_weights({0: 1.0}, 0.0)
    assert calls == [1, 2, 3, 4, 5, 6, 7, 7]


def test_words_that_make_no_clause_leave_the_first_word_as_fast_as_it_was() -> None:
    latency = Latency()
    for _ in range(2):
        latency.record_first_word(0, 0.1, 0.0)
        latency.record_no_clause(0, 0.5, 0.0)
    assert latency.first_word(0).quantile(0.5) == pytest.approx(0.1, rel=0.1)
    assert latency.first_clause(0).quantile(0.5) == math.inf


def test_pauses_are_shared_with_other_processes_too() -> None:
    mine, others = Latency(), Latency()
    mine.record_pause(0.5, 0.0)
    others.add_weights(mine.weights(0.0), 0.0)
    assert others.pauses.quantile(0.5) == pytest.approx(0.5, rel=0.1)
    assert others.first_word(0).quantile(0.5) is None


def test_on_change_is_called_once_the_change_is_made() -> None:
    latency, found = Latency(), list[float | None]()
    latency.on_change = lambda: found.append(latency.first_clause(0).quantile(0.5))
    latency.record_first_clause(0, 0.4, 0.0)
    latency.record_failure(1, 0.0)
    latency.record_at_least(0, 9.0, 0.0)
    assert found == [pytest.approx(0.4, rel=0.1)] * 3
    latency.record_failure(0, 0.0)
    assert found[-1] == math.inf


def known(latency: Latency, now: float) -> float | None:
    latency.fade(now)
    return latency.first_clause(0).quantile(0.5)


def test_a_prediction_holds_until_its_samples_weigh_next_to_nothing() -> None:
    latency = Latency()
    for _ in range(4):
        latency.record_first_clause(0, 0.4, 0.0)
    assert known(latency, 3 * HALF_LIFE - 1) == pytest.approx(0.4, rel=0.1)
    assert known(latency, 3 * HALF_LIFE + 1) is None


@pytest.mark.parametrize("kind", ["failed", "cut"])
def test_a_prediction_of_never_holds_for_a_minute_after_the_last_sample(kind: str) -> None:
    latency = Latency()
    for now in (0.0, 1.0, 2.0):
        if kind == "failed":
            latency.record_failure(0, now)
        else:
            latency.record_at_least(0, 0.5, now)
    assert known(latency, 2.0 + DOUBT - 1) == math.inf
    assert known(latency, 2.0 + DOUBT) is None
    latency.record_first_clause(0, 0.4, 100.0)
    assert known(latency, 100.0) == pytest.approx(0.4, rel=0.1), "measured again"


def test_a_few_failures_among_many_answers_are_not_forgotten_after_a_minute() -> None:
    latency = Latency()
    for _ in range(4):
        latency.record_first_clause(0, 0.4, 0.0)
    for _ in range(3):
        latency.record_failure(0, 0.0)
    latency.fade(2 * DOUBT)
    assert latency.first_clause(0).count(0.0) == 7.0


def test_on_change_is_called_when_samples_expire_and_not_otherwise() -> None:
    latency, calls = Latency(), list[str]()
    latency.record_failure(0, 0.0)
    latency.on_change = lambda: calls.append("changed")
    latency.fade(DOUBT - 1)
    assert calls == []
    latency.fade(DOUBT)
    latency.fade(DOUBT)
    assert calls == ["changed"]
    assert latency.first_word(0).count(0.0) == 1.0, "times to first word stay"
