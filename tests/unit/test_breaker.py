"""The circuit breaker, by example and against a model over any run of events."""

import math

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llm_router.failures import CONSEQUENCES, Breaking, Failure, FailureClass
from llm_router.options import BreakerOptions
from llm_router.routing.breaker import CircuitBreaker

OPTIONS = BreakerOptions(failures=3, rest=2.0, longest_rest=10.0, long_rest=900.0)
DAYS = 86_400.0


def failing(kind: FailureClass, retry_after: float | None = None) -> Failure:
    return Failure(kind, "a reason", retry_after)


def kinds_that(breaker: Breaking) -> list[FailureClass]:
    return [kind for kind, consequence in CONSEQUENCES.items() if consequence.breaker == breaker]


SILENT = failing(FailureClass.SILENT)


def opened(times: int = 1) -> tuple[CircuitBreaker, float]:
    """Returns a breaker that has opened `times` times without a success, and the time now (s)."""
    breaker, now = CircuitBreaker(OPTIONS), 0.0
    for _ in range(OPTIONS.failures):
        breaker.failed(SILENT, now, breaker.generation)
    for _ in range(times - 1):
        now = breaker.opens_again_at()
        breaker.failed(SILENT, now, breaker.generation)
    return breaker, now


def test_it_opens_at_the_third_failure_in_a_row() -> None:
    breaker = CircuitBreaker(OPTIONS)
    for _ in range(2):
        breaker.failed(SILENT, 0.0, breaker.generation)
    assert breaker.state(0.0) == "closed"
    breaker.failed(SILENT, 0.0, breaker.generation)
    assert breaker.state(0.0) == "open"
    assert breaker.reason == "silent"


def test_a_success_between_starts_the_count_again() -> None:
    breaker = CircuitBreaker(OPTIONS)
    for _ in range(10):
        breaker.failed(SILENT, 0.0, breaker.generation)
        breaker.failed(SILENT, 0.0, breaker.generation)
        breaker.succeeded(breaker.generation)
    assert breaker.state(0.0) == "closed"


def test_it_is_half_open_once_its_rest_is_over() -> None:
    breaker, _ = opened()
    assert breaker.state(1.999) == "open"
    assert breaker.state(2.0) == "half-open"


def test_one_trial_at_a_time() -> None:
    breaker, _ = opened()
    assert not breaker.take_trial(1.0), "still resting"
    assert breaker.take_trial(2.0)
    assert not breaker.take_trial(3.9), "the first may still be under way"
    assert breaker.take_trial(4.0), "the first was lost; another may try"


def test_a_good_trial_closes_it_and_a_bad_one_doubles_the_rest() -> None:
    breaker, _ = opened()
    breaker.failed(SILENT, 2.0, breaker.generation)
    assert breaker.opens_again_at() == 2.0 + 4.0
    breaker.succeeded(breaker.generation)
    assert breaker.state(2.0) == "closed"
    for _ in range(3):
        breaker.failed(SILENT, 2.0, breaker.generation)
    assert breaker.opens_again_at() == 2.0 + 2.0, "after a success the rest is short again"


def test_the_rest_doubles_up_to_the_longest() -> None:
    rests = []
    for times in range(1, 6):
        breaker, now = opened(times)
        rests.append(breaker.opens_again_at() - now)
    assert rests == [2.0, 4.0, 8.0, 10.0, 10.0]


def test_an_endpoint_that_is_down_for_weeks_still_only_rests() -> None:
    breaker, now = opened(2_000)
    assert breaker.opens_again_at() - now == pytest.approx(10.0)


@pytest.mark.parametrize("kind", kinds_that("never"))
def test_a_callers_own_fault_never_opens_it(kind: FailureClass) -> None:
    breaker = CircuitBreaker(OPTIONS)
    for _ in range(100):
        breaker.failed(failing(kind, 5.0), 0.0, breaker.generation)
    assert breaker.state(0.0) == "closed"


@pytest.mark.parametrize("kind", kinds_that("counts"))
def test_every_class_that_counts_counts(kind: FailureClass) -> None:
    breaker = CircuitBreaker(OPTIONS)
    for _ in range(3):
        breaker.failed(failing(kind), 0.0, breaker.generation)
    assert breaker.state(0.0) == "open"


@pytest.mark.parametrize("kind", kinds_that("opens until changed"))
def test_a_rejected_key_rests_until_the_connection_is_changed(kind: FailureClass) -> None:
    breaker = CircuitBreaker(OPTIONS)
    breaker.failed(failing(kind), 0.0, breaker.generation)
    assert breaker.state(365 * DAYS) == "open"
    assert not breaker.take_trial(365 * DAYS)
    breaker.failed(failing(FailureClass.UNREACHABLE), 5.0, breaker.generation)
    assert breaker.state(365 * DAYS) == "open", "a lesser failure does not let it out"
    assert breaker.reason == str(kind)


def test_an_empty_account_rests_long() -> None:
    breaker = CircuitBreaker(OPTIONS)
    breaker.failed(failing(FailureClass.OUT_OF_CREDIT), 0.0, breaker.generation)
    assert breaker.opens_again_at() == 900.0


def test_a_rate_limit_rests_as_long_as_the_server_says_and_trips_nothing() -> None:
    breaker = CircuitBreaker(OPTIONS)
    for now in range(0, 100, 10):
        breaker.failed(failing(FailureClass.RATE_LIMITED, 7.0), now, breaker.generation)
        assert breaker.opens_again_at() == now + 7.0, "it does not double"
    breaker = CircuitBreaker(OPTIONS)
    breaker.failed(failing(FailureClass.RATE_LIMITED), 0.0, breaker.generation)
    assert breaker.opens_again_at() == 1.0, "a server that does not say gets a second"


def test_an_overloaded_server_that_names_a_time_is_left_alone_until_then() -> None:
    breaker = CircuitBreaker(OPTIONS)
    breaker.failed(failing(FailureClass.OVERLOADED, 30.0), 0.0, breaker.generation)
    assert breaker.opens_again_at() == 30.0


def test_results_of_attempts_begun_before_the_last_change_are_ignored() -> None:
    breaker, _ = opened()
    stale = breaker.generation - 1
    breaker.succeeded(stale)
    assert breaker.state(0.0) == "open"
    breaker.succeeded(breaker.generation)
    for _ in range(9):
        breaker.failed(SILENT, 0.0, stale)
    assert breaker.state(0.0) == "closed"


def test_it_shows_its_state() -> None:
    breaker = CircuitBreaker(OPTIONS)
    breaker.failed(SILENT, 0.0, breaker.generation)
    assert repr(breaker) == "CircuitBreaker(closed, 1 failed in a row)"
    breaker.failed(failing(FailureClass.REJECTED_KEY), 0.0, breaker.generation)
    assert repr(breaker) == "CircuitBreaker(open until changed, rejected key)"
    assert repr(opened()[0]) == "CircuitBreaker(open until 2.0 s, silent)"


class AnyRun(RuleBasedStateMachine):
    """Compares the breaker with a plain model, over any run of present and outdated results."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = CircuitBreaker(OPTIONS)
        self.now = 0.0
        self.in_a_row = 0
        self.openings = 0
        self.open_until: float | None = None
        self.trial_over = -math.inf

    @rule(seconds=st.floats(0.01, 30.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def succeeds(self) -> None:
        self.breaker.succeeded(self.breaker.generation)
        self.in_a_row = 0
        if self.open_until is not None:
            self.openings = 0
            self.open_until = None

    @rule(kind=st.sampled_from(kinds_that("counts")))
    def fails(self, kind: FailureClass) -> None:
        self.breaker.failed(failing(kind), self.now, self.breaker.generation)
        self.in_a_row += 1
        if self.open_until is not None or self.in_a_row == OPTIONS.failures:
            self._opens(min(2.0 * 2**self.openings, 10.0))
            self.openings += 1

    @rule(kind=st.sampled_from(kinds_that("never")))
    def fails_by_the_callers_fault(self, kind: FailureClass) -> None:
        before = repr(self.breaker)
        self.breaker.failed(failing(kind, 9.0), self.now, self.breaker.generation)
        assert repr(self.breaker) == before

    @rule(seconds=st.floats(0.0, 20.0))
    def is_rate_limited(self, seconds: float) -> None:
        failure = failing(FailureClass.RATE_LIMITED, seconds)
        self.breaker.failed(failure, self.now, self.breaker.generation)
        self._opens(seconds)

    @precondition(lambda self: self.openings > 1)
    @rule(kind=st.sampled_from(kinds_that("opens until changed")))
    def is_refused(self, kind: FailureClass) -> None:
        self.breaker.failed(failing(kind), self.now, self.breaker.generation)
        self._opens(math.inf)

    @precondition(lambda self: self.breaker.generation > 0)
    @rule(kind=st.sampled_from(FailureClass), back=st.integers(1, 5))
    def an_outdated_result_arrives(self, kind: FailureClass, back: int) -> None:
        before, generation = repr(self.breaker), self.breaker.generation
        self.breaker.failed(failing(kind, 5.0), self.now, generation - back)
        self.breaker.succeeded(generation - back)
        assert (repr(self.breaker), self.breaker.generation) == (before, generation)

    @rule()
    def a_trial_is_asked_for(self) -> None:
        free = self._state() == "half-open" and self.now >= self.trial_over
        assert self.breaker.take_trial(self.now) == free
        if free:
            self.trial_over = self.now + OPTIONS.rest

    @invariant()
    def the_state_is_that_of_the_model(self) -> None:
        assert self.breaker.state(self.now) == self._state()

    def _opens(self, seconds: float) -> None:
        before = -math.inf if self.open_until is None else self.open_until
        self.open_until = max(before, self.now + seconds)
        self.in_a_row = 0

    def _state(self) -> str:
        if self.open_until is None:
            return "closed"
        return "open" if self.now < self.open_until else "half-open"


TestAnyRun = AnyRun.TestCase
