"""Tests the store of planned calls on each database: one attempt at a time, in the limits."""

import asyncio
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from llm_router.connections.access import SYSTEM, Actor
from llm_router.errors import (
    ConfigurationError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    QuotaError,
)
from llm_router.store import planned_calls
from llm_router.store.audit import read
from llm_router.store.database import Database
from llm_router.store.planned_calls import CallRates, PlannedCalls
from llm_router.testing import ManualClock
from llm_router.voice.phone.plan import CallPlan, PlannedCall, after_outcome, taken_back

OPERATOR = Actor("dialer", "operator", team="red")
RATES = CallRates(at_once=2, per_second=100.0)
NUMBER = "+15550123456"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def calls(database: Database, clock: ManualClock) -> PlannedCalls:
    return PlannedCalls(database, clock)


def at(clock: ManualClock, seconds: float = 0.0) -> datetime:
    return datetime.fromtimestamp(clock.wall() + seconds, UTC)


NUMBERS = itertools.count(int(NUMBER))


async def plan(calls: PlannedCalls, **fields: Any) -> PlannedCall:
    """Plans a call to a number that no other call of the tests has."""
    number = f"+{next(NUMBERS)}"
    (call,) = await calls.plan(OPERATOR, [CallPlan(**{"number": number, **fields})])
    return call


async def claimed(calls: PlannedCalls, clock: ManualClock, holder: str = "p1") -> PlannedCall:
    call = await calls.claim(await plan(calls), holder, "phone-1", at(clock), RATES)
    assert call
    return call


async def ids(found: Sequence[PlannedCall]) -> list[str]:
    return [call.id for call in found]


async def test_a_plan_for_a_time_beyond_a_year_is_refused_with_all_beside_it(
    calls: PlannedCalls, clock: ManualClock
) -> None:
    later = at(clock) + timedelta(days=400)
    plans = [CallPlan(number=NUMBER), CallPlan(number=NUMBER, earliest=later)]
    with pytest.raises(ConfigurationError, match="earliest: is more than a year ahead"):
        await calls.plan(OPERATOR, plans)
    assert await calls.find(OPERATOR) == ([], 0)
    call = await plan(calls, earliest=later - timedelta(days=40))
    assert (call.status, call.next_at) == ("waiting", later - timedelta(days=40))


async def test_a_plan_comes_back_as_it_was_given(calls: PlannedCalls, clock: ManualClock) -> None:
    call = await plan(
        calls, assistant="desk", variables={"name": "Ann"}, voicemail="Call us.",
        timezone="Europe/Berlin", hours="00:00-24:00", retry_after_minutes=[5, 60],
    )  # fmt: skip
    assert await calls.get(OPERATOR, call.id) == call
    assert (call.variables, call.retry_after_minutes) == ({"name": "Ann"}, (5, 60))
    assert (call.author, call.status, call.next_at) == ("dialer", "waiting", at(clock))


async def test_the_same_key_plans_one_call_however_often_it_comes(
    calls: PlannedCalls, database: Database
) -> None:
    plans = [CallPlan(number=NUMBER, idempotency_key="k")]
    found = await asyncio.gather(*(calls.plan(OPERATOR, plans) for _ in range(5)))
    assert len({call.id for (call,) in found}) == 1
    other, again = await calls.plan(SYSTEM, plans * 2)
    assert other.id == again.id != found[0][0].id
    async with database.reading() as db:
        entries = await read(db, None, 10, 0)
    assert [(entry.action, entry.kind) for entry in entries] == [("plan", "call")] * 2
    assert NUMBER not in str(entries)


async def test_a_known_key_is_answered_as_before_though_no_more_calls_may_wait(
    calls: PlannedCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planned_calls, "MOST_WAITING", 2)
    first = await plan(calls, idempotency_key="a")
    await plan(calls, idempotency_key="b")
    assert await plan(calls, idempotency_key="a") == first
    with pytest.raises(QuotaError, match="cancel some"):
        await plan(calls, idempotency_key="c")
    assert (await calls.find(OPERATOR))[1] == 2


async def test_only_operators_plan_and_read(calls: PlannedCalls) -> None:
    viewer = Actor("eve", "viewer")
    limited = Actor("shop", "operator", pools=frozenset({"shop"}))
    for actor in (viewer, limited):
        with pytest.raises(ForbiddenError, match="ask an admin"):
            await calls.plan(actor, [CallPlan(number=NUMBER)])
        with pytest.raises(ForbiddenError):
            await calls.find(actor)


async def test_of_many_processes_one_claims_an_attempt(
    calls: PlannedCalls, clock: ManualClock
) -> None:
    call = await plan(calls)
    claims = [calls.claim(call, f"p{n}", f"r{n}", at(clock), RATES) for n in range(6)]
    (winner,) = [one for one in await asyncio.gather(*claims) if one]
    assert (winner.status, winner.attempt) == ("preparing", 1)
    assert await calls.due(at(clock), 10) == []


async def test_as_many_calls_as_may_be_are_under_way_however_many_processes_claim(
    calls: PlannedCalls, clock: ManualClock
) -> None:
    waiting = [await plan(calls) for _ in range(6)]
    claims = [calls.claim(one, f"p{n}", "r", at(clock), RATES) for n, one in enumerate(waiting)]
    begun = [one for one in await asyncio.gather(*claims) if one]
    assert len(begun) == RATES.at_once
    assert await calls.settle(begun[0], after_outcome(begun[0], "busy", at(clock)))
    rest = await calls.due(at(clock), 10)
    assert len(rest) == 4
    assert await calls.claim(rest[0], "p9", "r", at(clock), RATES)


async def test_a_number_is_not_called_twice_at_a_time(
    calls: PlannedCalls, clock: ManualClock
) -> None:
    first, second = await plan(calls, number=NUMBER), await plan(calls, number=NUMBER)
    begun = await calls.claim(first, "p1", "r1", at(clock), RATES)
    assert begun
    assert await calls.claim(second, "p1", "r2", at(clock), RATES) is None
    assert await calls.settle(begun, after_outcome(begun, "busy", at(clock)))
    assert await calls.claim(second, "p1", "r2", at(clock), RATES)


async def test_many_calls_to_a_number_that_is_in_a_call_hide_no_other(
    calls: PlannedCalls, clock: ManualClock
) -> None:
    first, again = [await plan(calls, number=NUMBER) for _ in range(2)]
    clock.advance(1.0)
    other = await plan(calls)
    begun = await calls.claim(first, "p1", "r1", at(clock), RATES)
    assert begun
    assert await ids(await calls.due(at(clock), 1)) == [other.id]
    assert await calls.settle(begun, after_outcome(begun, "busy", at(clock)))
    assert again.id in await ids(await calls.due(at(clock), 10))


async def test_a_window_closes_though_the_number_is_in_a_call(
    calls: PlannedCalls, clock: ManualClock
) -> None:
    first = await plan(calls, number=NUMBER)
    short = await plan(calls, number=NUMBER, latest=at(clock, 60))
    assert await calls.claim(first, "p1", "r1", at(clock), RATES)
    assert await calls.due(at(clock, 59), 10) == []
    assert await ids(await calls.due(at(clock, 60), 10)) == [short.id]


async def test_no_more_numbers_are_dialed_in_a_second_than_may_be(
    calls: PlannedCalls, clock: ManualClock
) -> None:
    rates = CallRates(at_once=10, per_second=2.0)
    begun = [await calls.claim(await plan(calls), "p1", "r", at(clock), rates) for _ in range(4)]
    dialed = [one for one in begun if one]
    answers = await asyncio.gather(*(calls.begin_dialing(c, at(clock), rates) for c in dialed))
    turn = at(clock, 1.0)
    assert [answers.count("dial"), answers.count(turn)] == [2, 2]
    late = next(one for one, answer in zip(dialed, answers, strict=True) if answer == turn)
    assert await calls.begin_dialing(late, at(clock, 0.9), rates) == turn
    assert await calls.begin_dialing(late, turn, rates) == "dial"
    assert await calls.begin_dialing(late, at(clock, 5.0), rates) == "lost"


async def test_less_than_one_call_in_a_second_waits_as_long(
    calls: PlannedCalls, clock: ManualClock
) -> None:
    slow = CallRates(at_once=10, per_second=0.1)
    first, second = await claimed(calls, clock), await claimed(calls, clock)
    assert await calls.begin_dialing(first, at(clock), slow) == "dial"
    assert await calls.begin_dialing(second, at(clock, 9.9), slow) == at(clock, 10.0)
    assert await calls.begin_dialing(second, at(clock, 10.1), slow) == "dial"


@pytest.mark.parametrize(("per_second", "claims"), [(0.5, 5), (2.0, 20), (0.01, 1)])
async def test_only_numbers_that_can_be_dialed_within_seconds_are_claimed(
    calls: PlannedCalls, clock: ManualClock, per_second: float, claims: int
) -> None:
    rates = CallRates(at_once=100, per_second=per_second)
    waiting = [await plan(calls) for _ in range(claims + 1)]
    begun = [await calls.claim(one, "p1", "r", at(clock), rates) for one in waiting]
    assert [one is not None for one in begun] == [True] * claims + [False]


async def test_a_number_whose_turn_is_far_away_is_not_claimed_before(
    calls: PlannedCalls, clock: ManualClock
) -> None:
    slow = CallRates(at_once=10, per_second=0.01)
    first = await calls.claim(await plan(calls), "p1", "r", at(clock), slow)
    assert first
    assert await calls.begin_dialing(first, at(clock), slow) == "dial"
    second = await plan(calls)
    assert await calls.claim(second, "p1", "r", at(clock, 89.0), slow) is None
    assert await calls.claim(second, "p1", "r", at(clock, 91.0), slow)


async def test_an_attempt_is_settled_once_and_by_its_number(
    calls: PlannedCalls, clock: ManualClock
) -> None:
    call = await claimed(calls, clock)
    ended = after_outcome(call, "busy", at(clock), reason="the line is busy")
    assert await calls.settle(call, ended)
    assert not await calls.settle(call, after_outcome(call, "person", at(clock)))
    stored = await calls.get(OPERATOR, call.id)
    assert (stored.status, stored.outcome, stored.reason) == ("done", "busy", "the line is busy")
    assert not await calls.note(call, "answered", at(clock))


async def test_an_attempt_taken_back_can_be_claimed_again(
    calls: PlannedCalls, clock: ManualClock
) -> None:
    call = await claimed(calls, clock)
    assert await calls.settle(call, taken_back(call, at(clock, 2)))
    assert await calls.due(at(clock, 1), 10) == []
    (waiting,) = await calls.due(at(clock, 2), 10)
    again = await calls.claim(waiting, "p2", "phone-2", at(clock, 2), RATES)
    assert again
    assert (again.attempt, again.room) == (1, "phone-2")


async def test_what_a_dead_process_has_begun_is_found_and_what_lives_is_not(
    calls: PlannedCalls, clock: ManualClock
) -> None:
    dead, alive = await claimed(calls, clock, "dead"), await claimed(calls, clock, "alive")
    await calls.beat("alive", [alive.id, dead.id], at(clock, 30))
    assert await ids(await calls.abandoned(at(clock, 10))) == [dead.id]
    assert await calls.note(dead, "answered", at(clock))
    assert await calls.abandoned(at(clock, 10)) == []
    assert await ids(await calls.answered()) == [dead.id]


async def test_an_attempt_of_which_its_process_does_not_know_is_abandoned(
    calls: PlannedCalls, clock: ManualClock
) -> None:
    lost, known = await claimed(calls, clock), await claimed(calls, clock)
    await calls.beat("p1", [known.id], at(clock, 30))
    assert await ids(await calls.abandoned(at(clock, 10))) == [lost.id]


async def test_a_process_that_wakes_changes_nothing_of_what_another_has_taken_over(
    calls: PlannedCalls, clock: ManualClock
) -> None:
    old = await claimed(calls, clock, "paused")
    taken = await calls.adopt(old, "p2", at(clock, 30))
    assert taken
    assert not await calls.settle(old, taken_back(old, at(clock, 30)))
    assert not await calls.note(old, "answered", at(clock, 30))
    assert await calls.settle(taken, taken_back(taken, at(clock, 30)))
    waiting = await calls.get(OPERATOR, old.id)
    again = await calls.claim(waiting, "paused", "phone-2", at(clock, 31), RATES)
    assert again
    assert again.attempt == old.attempt
    assert not await calls.settle(old, after_outcome(old, "failed", at(clock, 32)))


async def test_an_attempt_that_has_moved_since_it_was_read_is_not_taken_over(
    calls: PlannedCalls, clock: ManualClock
) -> None:
    read = await claimed(calls, clock)
    await calls.beat("p1", [read.id], at(clock, 30))
    assert await calls.adopt(read, "p2", at(clock, 31)) is None
    beaten = await calls.get(OPERATOR, read.id)
    assert await calls.begin_dialing(read, beaten.updated_at, RATES) == "dial"
    assert await calls.adopt(beaten, "p2", at(clock, 31)) is None


async def test_a_call_that_waits_is_cancelled_and_one_under_way_is_not(
    calls: PlannedCalls, clock: ManualClock
) -> None:
    waiting = await plan(calls)
    assert (await calls.cancel(OPERATOR, waiting.id)).status == "cancelled"
    assert await calls.claim(waiting, "p1", "r", at(clock), RATES) is None
    with pytest.raises(ConflictError, match="is preparing"):
        await calls.cancel(OPERATOR, (await claimed(calls, clock)).id)
    with pytest.raises(NotFoundError):
        await calls.cancel(OPERATOR, "none")


async def test_the_last_tries_are_those_of_calls_that_are_not_over(
    calls: PlannedCalls, clock: ManualClock
) -> None:
    begun = await claimed(calls, clock)
    waiting, cancelled, unasked = [await plan(calls) for _ in range(3)]
    await calls.cancel(OPERATOR, cancelled.id)
    asked = [begun.id, waiting.id, cancelled.id, "none"]
    assert await calls.last_tries(asked) == {(begun.id, "phone-1"), (waiting.id, "")}
    assert await calls.last_tries([unasked.id]) == {(unasked.id, "")}
    await calls.settle(begun, after_outcome(begun, "busy", at(clock)))
    assert await calls.last_tries([begun.id]) == set()


async def test_calls_that_are_over_are_removed_with_time(
    calls: PlannedCalls, clock: ManualClock
) -> None:
    call = await claimed(calls, clock)
    waiting = await plan(calls)
    await calls.settle(call, after_outcome(call, "busy", at(clock)))
    assert not await calls.prune(at(clock))
    assert not await calls.prune(at(clock, 1))
    found, total = await calls.find(OPERATOR)
    assert (await ids(found), total) == ([waiting.id], 1)
