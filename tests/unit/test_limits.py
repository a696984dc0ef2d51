"""The limits of a connection: when they are reached, and when it may be asked again."""

import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.connections.record import Connection
from llm_router.errors import StoreError
from llm_router.routing.limits import (
    MINUTE,
    SLOT,
    Amount,
    Counted,
    Limits,
    Period,
    counts,
    next_month,
)
from llm_router.sync.limits import EVERY, LimitSync
from llm_router.testing import ManualClock

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
PAUSES = st.lists(st.floats(0.0, 30.0), min_size=1, max_size=60)


def limits(**fields: Any) -> Limits:
    return Limits(Connection(name="a", **fields), zero=NOON)


def reason(one: Limits, now: float) -> str:
    reached = one.reached(now)
    return reached.reason if reached else ""


def until(one: Limits, now: float) -> float:
    reached = one.reached(now)
    assert reached
    return reached.until


def test_a_connection_without_limits_never_reaches_one() -> None:
    one = limits(price_out=1e6)
    for _ in range(1_000):
        one.request_started(10**6, 0.0)
        one.request_ended(10**6, 1e6, 0.0)
    assert one.reached(0.0) is None


def test_a_limit_on_requests_is_reached_and_expires() -> None:
    one = limits(rate_limit_rpm=2)
    one.request_started(0, 1.0)
    assert one.reached(1.0) is None
    one.request_started(0, 7.0)
    assert reason(one, 7.0) == "its limit of 2 requests a minute"
    assert until(one, 7.0) == pytest.approx(SLOT + MINUTE, abs=0.01)
    assert one.reached(until(one, 7.0)) is None


@given(limit=st.integers(1, 5), pauses=PAUSES)
def test_no_sixty_seconds_see_more_requests_than_the_limit(limit: int, pauses: list[float]) -> None:
    one, now, started = limits(rate_limit_rpm=limit), 0.0, []
    for pause in pauses:
        now += pause
        if reached := one.reached(now):
            assert now < reached.until <= now + MINUTE + SLOT + 0.01
        else:
            one.request_started(0, now)
            started.append(now)
    for first in started:
        assert sum(first <= moment < first + MINUTE for moment in started) <= limit


@given(pauses=PAUSES)
def test_a_connection_at_its_limit_may_be_asked_again_at_the_time_it_named(
    pauses: list[float],
) -> None:
    one, now = limits(rate_limit_rpm=2, rate_limit_tpm=100), 0.0
    for pause in pauses:
        now += pause
        if reached := one.reached(now):
            assert one.reached(reached.until - 0.01)
            assert one.reached(reached.until) is None
        else:
            one.request_started(60, now)


def test_a_prompts_tokens_count_at_once_and_are_corrected_at_the_end() -> None:
    one = limits(rate_limit_tpm=100)
    one.request_started(100, 0.0)
    assert reason(one, 0.0) == "its limit of 100 tokens a minute"
    one.request_ended(-40, 0.0, 1.0)
    assert one.reached(1.0) is None
    one.request_ended(40, 0.0, 2.0)
    assert one.reached(2.0)


def test_a_budget_holds_until_the_month_is_over() -> None:
    one = limits(monthly_budget=2.5)
    one.request_ended(0, 2.0, 0.0)
    assert one.reached(0.0) is None
    one.request_ended(0, 0.5, 0.0)
    assert reason(one, 86_400.0) == "its monthly budget of 2.5"
    end = until(one, 0.0)
    assert end == pytest.approx(DECEMBER - NOON, abs=0.01)
    assert one.reached(end) is None


def test_a_budget_of_zero_is_a_budget() -> None:
    assert reason(limits(monthly_budget=0.0), 0.0) == "its monthly budget of 0"


def test_a_budget_set_in_the_middle_of_a_month_counts_all_that_was_spent_in_it() -> None:
    one = limits()
    one.request_ended(0, 2.0, 0.0)
    one.connection = Connection(name="a", monthly_budget=2.0)
    assert one.reached(0.0)


def test_of_several_limits_the_longest_is_named() -> None:
    one = limits(rate_limit_rpm=1, monthly_budget=1.0)
    one.request_started(0, 0.0)
    assert "requests" in reason(one, 0.0)
    one.request_ended(0, 1.0, 0.0)
    assert "budget" in reason(one, 0.0)


def test_december_is_followed_by_january() -> None:
    assert next_month(DECEMBER) == datetime(2027, 1, 1, tzinfo=UTC).timestamp()


def test_reaching_a_limit_is_logged_once_and_not_for_every_turn(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = limits(rate_limit_rpm=1)
    with caplog.at_level(logging.WARNING, "llm_router"):
        for second in range(4):
            one.request_started(0, float(second))
    (said,) = caplog.messages
    assert said.startswith("connection a is at its limit of 1 requests a minute: not asked for")


# ── Between processes ────────────────────────────────────────────────────────────────────────────


class Sums:
    """Counters in memory; `is_away`: they cannot be reached."""

    def __init__(self) -> None:
        self.total: dict[tuple[str, Period], Amount] = {}
        self.is_away = False

    async def exchange(
        self, counted: Mapping[str, Counted], wanted: Iterable[str], at: float
    ) -> Mapping[str, Counted]:
        if self.is_away:
            raise StoreError("database sqlite: away")
        for name, periods in counted.items():
            for period, amount in periods.items():
                key = name, period
                self.total[key] = self.total.get(key, Amount()).plus(amount)
        return {
            name: {p: a for (n, p), a in self.total.items() if n == name and counts(p, at)}
            for name in wanted
        }


STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["ask", "step", "wait", "away", "back"])),
    max_size=60,
)


@given(STEPS)
def test_several_processes_exceed_a_limit_by_no_more_than_they_start_between_two_steps(
    steps: list[tuple[int, str]],
) -> None:
    clock, sums, limit = ManualClock(), Sums(), 4
    zero = clock.wall()
    processes = [Limits(Connection(name="a", rate_limit_rpm=limit), zero) for _ in range(3)]
    tallies = [LimitSync(sums, {"a": one}, clock) for one in processes]
    started: list[float] = []
    overshoot = 0

    async def main() -> None:
        nonlocal overshoot
        for who, what in steps:
            now = clock.now()
            if what == "ask" and processes[who].reached(now) is None:
                processes[who].request_started(0, now)
                started.append(now)
                recent = sum(now - MINUTE < moment for moment in started)
                overshoot = max(overshoot, recent - limit)
            elif what == "wait":
                clock.advance(3.0)
            elif what in {"away", "back"}:
                sums.is_away = what == "away"
            elif what == "step":
                await tallies[who].step()
        sums.is_away = False
        for tally in [*tallies, *tallies]:
            await tally.step()

    clock.run(main())
    assert overshoot <= 2 * limit, "each process alone stays within the limit"
    assert sum(
        amount.requests for (_, p), amount in sums.total.items() if p.unit == "month"
    ) == len(started)
    for one in processes:
        recent = sum(moment // SLOT * SLOT + SLOT + MINUTE > clock.now() for moment in started)
        assert (one.reached(clock.now()) is not None) == (recent >= limit)


def test_amounts_that_other_processes_spent_count_from_the_start() -> None:
    clock, sums = ManualClock(), Sums()
    connection = Connection(name="a", monthly_budget=1.0)
    mine, yours = (Limits(connection, clock.wall()) for _ in range(2))

    async def main() -> None:
        mine.request_ended(0, 1.0, 0.0)
        await LimitSync(sums, {"a": mine}, clock).step()
        tally = LimitSync(sums, {"a": yours}, clock)
        await tally.start()
        assert yours.reached(clock.now())
        await tally.aclose()

    clock.run(main())


def test_counts_are_exchanged_periodically() -> None:
    clock, sums = ManualClock(), Sums()
    connection = Connection(name="a", rate_limit_rpm=1)
    both = [Limits(connection, clock.wall()) for _ in range(2)]

    async def main() -> None:
        tallies = [LimitSync(sums, {"a": one}, clock) for one in both]
        for tally in tallies:
            await tally.start()
        both[0].request_started(0, clock.now())
        await clock.sleep(2.5 * EVERY)
        assert both[1].reached(clock.now())
        for tally in tallies:
            await tally.aclose()

    clock.run(main())


def test_no_count_is_lost_while_the_store_is_unavailable_and_that_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, sums = ManualClock(), Sums()
    one = Limits(Connection(name="a", rate_limit_rpm=3), clock.wall())

    async def main() -> None:
        tally = LimitSync(sums, {"a": one}, clock)
        sums.is_away = True
        for _ in range(2):
            one.request_started(5, 0.0)
            await tally.step()
        assert one.reached(0.0) is None
        one.request_started(5, 0.0)
        assert one.reached(0.0), "its own counts apply meanwhile"
        sums.is_away = False
        await tally.aclose()

    with caplog.at_level(logging.INFO, "llm_router"):
        clock.run(main())
    assert {amount for (_, _), amount in sums.total.items()} == {Amount(3, 15)}
    assert sum("enforces the limits it knows of" in line for line in caplog.messages) == 1
    assert caplog.messages[-1] == "limits are counted together again"
