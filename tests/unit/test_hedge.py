"""The waits for a first word, and the race that decides which endpoint is asked next."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.connections.record import Connection
from llm_router.options import PatienceOptions, RouterOptions
from llm_router.routing.attempt import Attempt
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.hedge import (
    GiveUp,
    Late,
    Patience,
    Race,
    Step,
    TimedOut,
    Wait,
    patience,
    usual_pause,
    usual_wait,
)
from llm_router.routing.latency import Histogram
from llm_router.routing.mailbox import Mailbox
from llm_router.testing import HANG, ManualClock, ScriptedProvider
from llm_router.types import ChatRequest

OPTIONS = PatienceOptions()
COLD = Patience(OPTIONS.cold_hedge, OPTIONS.cold_silent, OPTIONS.cold_silent)


def measured(*seconds: float, failures: int = 0, cut: tuple[float, ...] = ()) -> Histogram:
    histogram = Histogram()
    for time in seconds:
        histogram.record(time, 0.0)
    for time in cut:
        histogram.at_least(time, 0.0)
    for _ in range(failures):
        histogram.failed(0.0)
    return histogram


# ── Patience ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "histogram",
    [measured(), measured(0.1, 0.1), measured(failures=9), measured(0.1, failures=9)],
    ids=["nothing measured", "too little measured", "all failed", "nearly all failed"],
)
def test_an_unmeasured_endpoint_gets_the_default_wait(histogram: Histogram) -> None:
    assert patience(histogram, 0.0, OPTIONS) == COLD


def test_old_measurements_are_not_used() -> None:
    assert patience(measured(0.1, 0.1, 0.1), 3_600.0, OPTIONS) == COLD


def test_a_steady_endpoint_is_late_a_little_past_its_usual_time() -> None:
    waits = patience(measured(*[0.4] * 20), 0.0, OPTIONS)
    median = measured(0.4).quantile(0.5)
    assert median is not None
    assert waits.hedge_after == pytest.approx(median + 0.03)
    assert waits.silent_after == pytest.approx(median * 1.3 + 0.03)


def test_measurements_are_used_from_three_samples_on() -> None:
    assert patience(measured(0.1, 0.1), 0.0, OPTIONS) == COLD
    assert patience(measured(0.1, 0.1, 0.1), 0.0, OPTIONS) != COLD


def test_a_quick_endpoint_is_given_the_shortest_wait() -> None:
    waits = patience(measured(*[0.02] * 20), 0.0, OPTIONS)
    assert waits.silent_after == OPTIONS.shortest
    assert waits.hedge_after < OPTIONS.shortest


def test_a_slow_endpoint_is_given_the_longest_wait_and_no_more() -> None:
    assert patience(measured(*[5.0] * 20), 0.0, OPTIONS).silent_after == OPTIONS.longest


def test_a_tail_of_one_in_ten_does_not_make_the_wait_longer() -> None:
    waits = patience(measured(*[0.15] * 18, 4.0, 4.0), 0.0, OPTIONS)
    assert waits.silent_after < 0.3
    assert waits.hedge_after == waits.silent_after


def test_an_endpoint_that_hangs_one_time_in_five_is_not_waited_for_longer() -> None:
    for histogram in (measured(*[0.15] * 16, failures=4), measured(*[0.15] * 16, cut=(0.3,) * 4)):
        assert patience(histogram, 0.0, OPTIONS).silent_after < 0.3


def test_an_endpoint_that_varies_by_nature_is_waited_for() -> None:
    waits = patience(measured(*[0.3] * 15, *[0.8] * 5), 0.0, OPTIONS)
    assert waits.silent_after == pytest.approx(0.83, rel=0.1)


@given(st.lists(st.floats(0.0, 100.0), max_size=30), st.integers(0, 10), st.floats(0.0, 7_200.0))
def test_whatever_was_measured_both_moments_are_in_bounds_and_in_order(
    seconds: list[float], failures: int, now: float
) -> None:
    waits = patience(measured(*seconds, failures=failures), now, OPTIONS)
    assert 0 < waits.hedge_after <= waits.silent_after
    assert OPTIONS.shortest <= waits.silent_after <= OPTIONS.longest


def test_the_usual_wait_of_an_unmeasured_endpoint_is_taken_to_be_long() -> None:
    assert usual_wait(measured(), OPTIONS) == OPTIONS.cold_silent
    assert usual_wait(measured(0.1, failures=9), OPTIONS) == OPTIONS.cold_silent
    assert usual_wait(measured(0.3), OPTIONS) == pytest.approx(0.3, rel=0.1)


def test_a_server_that_sends_its_words_in_bursts_is_given_its_usual_pause() -> None:
    longest = RouterOptions().longest_stall
    assert usual_pause(measured(0.5, 0.5), 0.0, RouterOptions()) == 0.0, "too little measured"
    known = usual_pause(measured(0.4, 0.4, 0.4, 0.4, 0.02), 0.0, RouterOptions())
    assert 0.4 < known < longest
    assert usual_pause(measured(5.0, 5.0, 5.0), 0.0, RouterOptions()) == longest


def test_a_server_given_up_at_every_pause_gets_the_longest_wait_so_that_it_is_measured() -> None:
    outlasted = measured(cut=(0.25, 0.25, 0.25))
    assert usual_pause(outlasted, 0.0, RouterOptions()) == RouterOptions().longest_stall


# ── The race ─────────────────────────────────────────────────────────────────────────────────────


class Course:
    """A race among endpoints that never answer, on a clock that jumps.

    Every attempt may be hedged after 1 s and is late after 2 s.
    """

    def __init__(
        self,
        names: str,
        *,
        hedges: int = 9,
        max_attempts: int = 9,
        give_up_at: float = 100.0,
        careful: str = "",
        resort: str = "",
        timeout: float = 1_000.0,
    ) -> None:
        self.clock = ManualClock()
        self.hedges_left = hedges
        self.mailbox = Mailbox[Attempt](self.clock)
        self.attempts: dict[str, Attempt] = {}
        endpoints = [
            Endpoint(
                Connection(
                    name=name,
                    hedge="never" if name in careful else "allowed",
                    timeout=timeout,
                ),
                ScriptedProvider([[HANG]], clock=self.clock, last_resort=name in resort),
            )
            for name in names
        ]
        self.race = Race(endpoints, max_attempts=max_attempts, give_up_at=give_up_at)

    def at(self, now: float) -> str:
        """Carries out every step at that time; returns them as `hedge b, wait 3` or `give up`."""
        self.clock.advance(now - self.clock.now())
        steps = []
        while not isinstance(step := self._next_step(now), Wait | GiveUp):
            if isinstance(step, Late):
                step.attempt.late()
                continue
            if isinstance(step, TimedOut):
                steps.append(f"end {step.attempt.name}")
                self.race.ended(step.attempt)
                continue
            self.hedges_left -= step.reason == "hedge"
            steps.append(f"{step.reason} {step.endpoint.name}")
            self.race.started(self._start(step.endpoint))
        return ", ".join([*steps, f"wait {step.until:g}" if isinstance(step, Wait) else "give up"])

    def _next_step(self, now: float) -> Step:
        return self.race.next_step(now, may_hedge=self.hedges_left > 0)

    def fails(self, name: str) -> None:
        self.race.ended(self.attempts[name])

    def _start(self, endpoint: Endpoint) -> Attempt:
        attempt = Attempt(
            endpoint,
            ChatRequest(messages=[]),
            role="first",
            size=0,
            hedge_after=1.0,
            silent_after=2.0,
            mailbox=self.mailbox,
            clock=self.clock,
        )
        self.attempts[endpoint.name] = attempt
        return attempt

    def run(self, script: Callable[["Course"], None]) -> None:
        async def main() -> None:
            script(self)
            for attempt in self.attempts.values():
                attempt.cancel()
                await attempt.wait()

        self.clock.run(main())


def test_a_request_whose_connection_allows_it_no_more_time_is_ended() -> None:
    def script(course: Course) -> None:
        assert course.at(0) == "failover a, wait 1"
        assert course.at(1) == "hedge b, wait 1.5"
        assert course.at(1.5) == "end a, wait 2"
        assert course.at(2.5) == "end b, failover c, wait 3.5"

    Course("abc", timeout=1.5).run(script)


def test_the_first_in_order_starts_alone() -> None:
    def script(course: Course) -> None:
        assert course.at(0) == "failover a, wait 1"

    Course("abc").run(script)


def test_a_hedge_is_started_beside_one_that_is_slow_and_each_hedge_once() -> None:
    def script(course: Course) -> None:
        course.at(0)
        assert course.at(1) == "hedge b, wait 2"
        assert course.at(1.5) == "wait 2"
        assert course.attempts["a"].is_late is False

    Course("abc").run(script)


def test_without_budget_the_next_waits_until_the_first_is_late() -> None:
    def script(course: Course) -> None:
        course.at(0)
        assert course.at(1) == "wait 2"
        assert course.at(2) == "failover b, wait 3"
        assert course.attempts["a"].is_late

    Course("abc", hedges=0).run(script)


def test_a_late_attempt_runs_on_and_counts_once_against_its_endpoint() -> None:
    def script(course: Course) -> None:
        course.at(0)
        for now in (2, 2.5, 3):
            course.at(now)
        assert "1 failed in a row" in repr(course.attempts["a"].endpoint.breaker)

    Course("a").run(script)


def test_while_an_endpoint_loads_its_model_the_next_is_asked_and_no_failure_is_counted() -> None:
    def script(course: Course) -> None:
        course.at(0)
        course.attempts["a"].is_loading = True
        assert course.at(0.01) == "failover b, wait 1.01"
        assert course.hedges_left == 9
        assert "0 failed in a row" in repr(course.attempts["a"].endpoint.breaker)

    Course("abc").run(script)


def test_an_endpoint_that_loads_its_model_is_waited_for_where_no_other_is_left() -> None:
    def script(course: Course) -> None:
        course.at(0)
        course.attempts["a"].is_loading = True
        assert course.at(0.01) == "wait 4"

    Course("a", give_up_at=4.0).run(script)


def test_a_failure_starts_the_next_at_once_and_costs_no_hedge() -> None:
    def script(course: Course) -> None:
        course.at(0)
        course.fails("a")
        assert course.at(0.1) == "failover b, wait 1.1"
        assert course.hedges_left == 9

    Course("ab").run(script)


def test_a_failure_beside_an_attempt_that_is_on_time_starts_no_other() -> None:
    def script(course: Course) -> None:
        course.at(0)
        course.at(1)
        course.fails("a")
        assert course.at(1.5) == "wait 2"
        assert set(course.attempts) == {"a", "b"}

    Course("abc").run(script)


def test_the_next_takes_the_place_of_a_hedge_that_fails() -> None:
    def script(course: Course) -> None:
        course.at(0)
        course.at(1)
        course.fails("b")
        assert course.at(1.5) == "failover c, wait 2"

    Course("abc").run(script)


def test_two_hung_servers_cost_two_deadlines() -> None:
    def script(course: Course) -> None:
        assert [course.at(now) for now in (0, 2, 4)] == [
            "failover a, wait 1",
            "failover b, wait 3",
            "failover c, wait 5",
        ]

    Course("abc", hedges=0).run(script)


def test_no_more_attempts_are_started_than_allowed() -> None:
    def script(course: Course) -> None:
        course.at(0)
        course.fails("a")
        course.at(0)
        course.fails("b")
        assert course.at(0) == "give up"

    Course("abc", max_attempts=2).run(script)


def test_an_endpoint_that_reached_its_limit_or_was_removed_meanwhile_is_passed_over() -> None:
    def script(course: Course) -> None:
        course.at(0)
        limited, gone, _ = course.race.queue
        limited.reconfigure(Connection(name="b", monthly_budget=0.0))
        gone.withdraw(lambda: None)
        assert course.at(1) == "hedge d, wait 2"

    Course("abcd").run(script)


def test_when_all_have_failed_the_race_is_given_up() -> None:
    def script(course: Course) -> None:
        course.at(0)
        course.fails("a")
        assert course.at(0.1) == "give up"

    Course("a").run(script)


def test_late_attempts_are_waited_for_until_the_deadline() -> None:
    def script(course: Course) -> None:
        course.at(0)
        assert course.at(2) == "wait 4"
        assert course.at(4) == "give up"

    Course("a", give_up_at=4.0).run(script)


def test_past_the_deadline_no_model_is_started() -> None:
    def script(course: Course) -> None:
        course.at(0)
        assert course.at(4) == "give up"
        assert set(course.attempts) == {"a"}

    Course("abc", give_up_at=4.0).run(script)


def test_a_connection_with_hedge_never_is_a_failover_only() -> None:
    def script(course: Course) -> None:
        course.at(0)
        assert course.at(1) == "wait 2"
        assert course.hedges_left == 9, "a hedge that is not started is not paid for"
        assert course.at(2) == "failover b, wait 3"

    Course("ab", careful="b").run(script)


def test_a_last_resort_waits_until_every_endpoint_has_failed() -> None:
    def script(course: Course) -> None:
        course.at(0)
        assert course.at(1) == "wait 2"
        assert course.at(2) == "wait 100", "late is not failed: a model's words are worth a wait"
        course.fails("a")
        assert course.at(3) == "failover z, wait 4"

    Course("az", resort="z").run(script)


def test_a_last_resort_is_asked_when_time_is_up_and_given_a_moment() -> None:
    def script(course: Course) -> None:
        course.at(0)
        assert course.at(4) == "failover z, wait 5"
        assert course.at(5) == "give up"

    Course("abz", resort="z", hedges=0, give_up_at=4.0).run(script)


def test_a_last_resort_is_asked_when_the_attempts_are_used_up() -> None:
    def script(course: Course) -> None:
        course.at(0)
        course.fails("a")
        assert course.at(0) == "failover z, wait 1"

    Course("abz", resort="z", max_attempts=1).run(script)


def test_a_last_resort_is_not_asked_while_a_model_may_still_answer() -> None:
    def script(course: Course) -> None:
        course.at(0)
        assert course.at(2) == "wait 100"

    Course("abz", resort="z", max_attempts=1).run(script)


def test_the_last_attempt_allowed_may_be_a_hedge() -> None:
    def script(course: Course) -> None:
        course.at(0)
        assert course.at(1) == "hedge b, wait 2"
        assert course.at(2) == "wait 3"

    Course("abc", max_attempts=2).run(script)


def test_a_last_resort_alone_is_simply_asked() -> None:
    def script(course: Course) -> None:
        assert course.at(0) == "failover z, wait 1"

    Course("z", resort="z").run(script)


def test_a_race_without_endpoints_is_given_up_at_once() -> None:
    assert isinstance(
        Race([], max_attempts=4, give_up_at=math.inf).next_step(0.0, may_hedge=True), GiveUp
    )


def test_deciding_changes_nothing_but_the_race() -> None:
    def script(course: Course) -> None:
        course.at(0)
        attempt = course.attempts["a"]
        before = repr(attempt.endpoint)
        assert course.race.next_step(2.0, may_hedge=True) == Late(attempt)
        assert not attempt.is_late, "the caller carries the step out"
        assert repr(attempt.endpoint) == before

    Course("ab").run(script)


def test_endpoints_that_a_failure_rules_out_are_not_asked_in_this_race() -> None:
    def script(course: Course) -> None:
        course.at(0)
        course.fails("a")
        course.race.retain(lambda endpoint: endpoint.name != "b")
        assert not course.race.has_only_last_resorts
        assert course.at(0) == "failover c, wait 1"
        assert course.race.has_only_last_resorts

    Course("abcz", resort="z").run(script)


def test_a_race_goes_on_with_the_endpoints_that_replace_its_queue() -> None:
    def script(course: Course) -> None:
        course.at(0)
        course.fails("a")
        _, other = course.race.queue
        course.race.requeue([other])
        assert course.at(0) == "failover c, wait 1"

    Course("abc").run(script)


@given(
    st.integers(1, 5),
    st.integers(0, 4),
    st.integers(0, 3),
    st.lists(st.tuples(st.floats(0.01, 1.0), st.sampled_from("     abcde")), max_size=30),
)
def test_any_race_ends_in_bounds(
    endpoints: int, most: int, hedges: int, events: list[tuple[float, str]]
) -> None:
    course = Course("abcde"[:endpoints], max_attempts=most, hedges=hedges, give_up_at=6.0)

    def script(course: Course) -> None:
        now, over = 0.0, False
        for pause, failing in [(0.0, " "), *events, (6.0, " ")]:
            now += pause
            if failing in course.attempts:
                course.fails(failing)
            said = course.at(now)
            over = over or said.endswith("give up")
            if said.startswith("wait"):
                assert float(said.removeprefix("wait ")) > now - 1e-4, "no busy waiting"
        assert over
        assert len(course.attempts) <= min(most, endpoints)

    course.run(script)
