"""The plan of a pool: endpoints to ask, their order, and the reasons against the others."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_router.assembly import POLICIES
from llm_router.connections.record import Connection
from llm_router.failures import Failure, FailureClass
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.latency import DOUBT
from llm_router.routing.policies.base import C, RankContext, RankedCandidates, RoutingContext
from llm_router.routing.policies.latency import LatencyPolicy
from llm_router.routing.policies.least_pending import LeastPending
from llm_router.routing.policies.priority import Priority
from llm_router.routing.pool import Pool
from llm_router.testing import HANG, ScriptedProvider
from llm_router.types import ChatRequest

HELLO = ChatRequest(messages=[{"role": "user", "content": "hello"}])
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
SILENT = Failure(FailureClass.SILENT, "no word by the deadline")
REJECTED = Failure(FailureClass.REJECTED_KEY, "HTTP 401")


def endpoint(name: str = "a", *, last_resort: bool = False, **fields: Any) -> Endpoint:
    provider = ScriptedProvider([[HANG]], last_resort=last_resort)
    return Endpoint(Connection(name=name, **fields), provider)


def pool(*endpoints: Endpoint) -> Pool:
    return Pool(endpoints, Priority(), target=0.8)


def rest(one: Endpoint, failure: Failure = SILENT, now: float = 0.0) -> Endpoint:
    for _ in range(3):
        one.breaker.failed(failure, now, one.breaker.generation)
    return one


def names(endpoints: list[Endpoint]) -> str:
    return "".join(one.name for one in endpoints)


@pytest.mark.parametrize(
    ("connection", "request_", "reason"),
    [
        ({"is_active": False}, {}, "not active"),
        ({"use_in_livekit": False}, {"integration": "livekit"}, "not flagged for livekit"),
        ({"use_in_mcp": False}, {"integration": "mcp"}, "not flagged for mcp"),
        ({"use_in_automation": False}, {"integration": "automation"}, "not flagged for automation"),
        ({"pool": "day"}, {"pool": "night"}, "not in pool 'night'"),
    ],
)
def test_an_endpoint_that_cannot_serve_is_left_out_with_the_reason(
    connection: Mapping[str, Any], request_: Mapping[str, Any], reason: str
) -> None:
    request = replace(HELLO, **request_)
    plan = pool(
        endpoint("a", **connection), endpoint("b", supports_images=True, pool="night")
    ).plan(request, 0.0)
    assert names(plan.ready) == "b"
    assert list(plan.reasons) == [("a", reason)]


@pytest.mark.parametrize(
    ("connection", "request_"),
    [
        ({"supports_tools": False}, {"tools": [{"type": "function"}]}),
        ({"supports_json": False}, {"response_format": {"type": "json_object"}}),
        ({"supports_images": False}, {"messages": [{"role": "user", "content": [PICTURE]}]}),
        ({"context_length": 10}, {"messages": [{"role": "user", "content": "x" * 31}]}),
    ],
)
def test_an_endpoint_that_can_serve_a_part_comes_after_those_that_can_serve_all(
    connection: Mapping[str, Any], request_: Mapping[str, Any]
) -> None:
    request = replace(HELLO, **request_)
    able = endpoint("b", supports_images=True, priority=5, hedge="never")
    part = endpoint("a", **connection)
    plan = pool(part, able).plan(request, 0.0)
    assert names(plan.ready) == "ba"
    assert {*plan.reduced} == {part}


@pytest.mark.parametrize(
    ("connection", "request_"),
    [
        ({"use_in_livekit": False}, {"integration": "mcp"}),
        ({"use_in_livekit": False}, {}),
        ({"pool": "day"}, {}),
        ({"supports_tools": False, "supports_json": False}, {}),
        ({"supports_images": True}, {"messages": [{"role": "user", "content": [PICTURE]}]}),
        ({"context_length": 10}, {"messages": [{"role": "user", "content": "x" * 30}]}),
    ],
)
def test_features_that_a_request_does_not_need_rule_no_endpoint_out(
    connection: Mapping[str, Any], request_: Mapping[str, Any]
) -> None:
    assert names(pool(endpoint(**connection)).plan(replace(HELLO, **request_), 0.0).ready) == "a"


def test_the_policys_order_holds_within_each_kind() -> None:
    plan = pool(
        endpoint("z", last_resort=True, priority=0),
        endpoint("n", hedge="never", priority=1),
        endpoint("b", priority=3),
        endpoint("a", priority=2),
    ).plan(HELLO, 0.0)
    assert names(plan.ready) == "abnz"


def test_an_open_breaker_leaves_an_endpoint_out_until_its_trial_beside_the_first() -> None:
    both = pool(rest(endpoint("a")), endpoint("b"))
    plan = both.plan(HELLO, 1.0)
    assert (names(plan.ready), names(plan.trials)) == ("b", "")
    assert list(plan.reasons) == [("a", "resting: silent")]
    plan = both.plan(HELLO, 2.0)
    assert (names(plan.ready), names(plan.trials), [*plan.reasons]) == ("b", "a", [])


def test_an_endpoint_with_hedge_never_has_no_trial_and_comes_back_by_a_failover() -> None:
    both = pool(rest(endpoint("a", hedge="never")), endpoint("b"), endpoint("z", last_resort=True))
    assert names(both.plan(HELLO, 1.0).ready) == "bz"
    plan = both.plan(HELLO, 2.0)
    assert (names(plan.ready), names(plan.trials)) == ("baz", "")


def test_when_every_breaker_is_open_all_are_asked_the_soonest_back_first() -> None:
    everyone = pool(
        rest(endpoint("a"), REJECTED),
        rest(endpoint("b"), now=0.5),
        rest(endpoint("c", hedge="never")),
        endpoint("z", last_resort=True),
    )
    for now in (1.0, 2.2):
        plan = everyone.plan(HELLO, now)
        assert (names(plan.ready), plan.trials, [*plan.reasons]) == ("cbaz", [], [])


def test_an_endpoint_at_its_own_limit_is_not_asked_even_when_no_other_is_left() -> None:
    one, other = endpoint("a", rate_limit_rpm=1), rest(endpoint("b", monthly_budget=0.0))
    both = pool(one, other, endpoint("z", last_resort=True))
    assert names(both.plan(HELLO, 0.0).ready) == "az"
    one.limits.request_started(1, 0.0)
    plan = both.plan(HELLO, 0.0)
    assert (names(plan.ready), plan.trials) == ("z", [])
    assert list(plan.reasons) == [
        ("a", "at its limit of 1 requests a minute"),
        ("b", "at its monthly budget of 0"),
    ]
    assert both.saturation(0.0) == 1.0
    assert names(both.plan(HELLO, 70.0).ready) == "az"


def test_an_endpoint_at_its_own_limit_has_no_trial_either() -> None:
    one = rest(endpoint("a", rate_limit_rpm=1))
    one.limits.request_started(1, 0.0)
    plan = pool(one, endpoint("b")).plan(HELLO, 30.0)
    assert (names(plan.ready), plan.trials) == ("b", [])


def test_a_thousand_at_their_limits_come_back_each_in_its_time() -> None:
    everyone = [endpoint(f"e{n}", rate_limit_rpm=1) for n in range(1_000)]
    many = pool(*everyone)
    for number, one in enumerate(everyone):
        one.limits.request_started(1, number / 100)
    assert many.plan(HELLO, 10.0).ready == []
    assert many.plan(HELLO, 65.5).ready == everyone[:500]
    assert many.plan(HELLO, 70.5).ready == everyone


def test_replaced_endpoints_are_asked_from_the_next_plan_on() -> None:
    one, other = endpoint("a"), endpoint("b", context_length=10)
    changing = pool(one)
    assert names(changing.plan(HELLO, 0.0).ready) == "a"
    changing.set_endpoints([other, one])
    assert names(changing.plan(HELLO, 0.0).ready) == "ba"
    rest(other)
    assert names(changing.plan(HELLO, 0.0).ready) == "a", "its changes are noticed"
    changing.set_endpoints([other])
    assert names(changing.plan(HELLO, 0.0).ready) == "b"


def test_a_plan_without_an_able_endpoint_is_empty_and_has_reasons() -> None:
    plan = pool(endpoint("a", is_active=False), rest(endpoint("z", last_resort=True))).plan(
        HELLO, 0.0
    )
    assert plan.ready == []
    assert list(plan.reasons) == [("a", "not active"), ("z", "resting: silent")]


def test_a_session_stays_where_it_was_answered() -> None:
    one, other = endpoint("a"), endpoint("b")
    both = Pool([one, other], LatencyPolicy(), target=0.8)
    for who in (one, other):
        who.latency.record_first_clause(0, 0.2, 0.0)
    mine = replace(HELLO, session_id="mine")
    both.record_answer("mine", other)
    assert names(both.plan(mine, 0.0).ready) == "ba"
    assert names(both.plan(replace(HELLO, session_id="yours"), 0.0).ready) == "ab"
    both.record_answer("", other)
    assert names(both.plan(HELLO, 0.0).ready) == "ab", "no session, nowhere to stay"


def test_the_oldest_of_very_many_sessions_is_forgotten() -> None:
    one, other = endpoint("a"), endpoint("b")
    both = Pool([one, other], LatencyPolicy(), target=0.8)
    for who in (one, other):
        who.latency.record_first_clause(0, 0.2, 0.0)
    for number in range(10_001):
        both.record_answer(f"s{number}", other)
    assert names(both.plan(replace(HELLO, session_id="s0"), 0.0).ready) == "ab"
    assert names(both.plan(replace(HELLO, session_id="s1"), 0.0).ready) == "ba"


class Half:
    """An Rng that always returns the same number."""

    def random(self) -> float:
        return 0.5


class Recording(Priority):
    """A policy that records its turns."""

    def __init__(self) -> None:
        self.turns: list[RoutingContext] = []

    def choose(self, ranked: RankedCandidates[C], context: RoutingContext) -> list[C]:
        self.turns.append(context)
        return super().choose(ranked, context)


def test_a_policy_gets_the_session_its_last_connection_and_the_turns_number() -> None:
    policy, one = Recording(), endpoint("a")
    only = Pool([one], policy, target=0.8, rng=Half())
    only.record_answer("s", one)
    for session in ("s", "new"):
        only.plan(replace(HELLO, session_id=session), 0.0)
    assert policy.turns == [
        RoutingContext(
            RankContext(0, 0.8), session_id="s", last_connection="a", turn_number=1, chance=0.5
        ),
        RoutingContext(
            RankContext(0, 0.8), session_id="new", last_connection="", turn_number=2, chance=0.5
        ),
    ]


def test_an_idle_pool_is_not_saturated() -> None:
    assert pool().saturation(0.0) == 0.0
    assert pool(endpoint("a"), endpoint("z", last_resort=True)).saturation(0.0) == 0.0


def test_saturation_is_half_where_the_best_takes_all_of_the_target_time() -> None:
    one, other = endpoint("a"), endpoint("b")
    for who, seconds in ((one, 0.8), (other, 5.0)):
        who.latency.record_first_clause(0, seconds, 0.0)
    assert pool(one, other).saturation(0.0) == pytest.approx(0.5, rel=0.1)
    one.in_flight = 10
    assert pool(one, other).saturation(0.0) == pytest.approx(1.0, rel=0.1)


def test_a_pool_whose_breakers_are_all_open_is_saturated() -> None:
    everyone = pool(rest(endpoint("a")), endpoint("z", last_resort=True))
    assert everyone.saturation(1.0) == 1.0


def test_a_pool_may_have_a_policy_of_its_own() -> None:
    fast, first = endpoint("a", priority=2), endpoint("b", priority=1)
    first.latency.record_first_clause(0, 0.5, 0.0)
    both = Pool([fast, first], Priority(), 0.8, by_pool={"default": LeastPending()})
    first.in_flight = 1
    assert names(both.plan(HELLO, 0.0).ready) == "ba"
    assert names(both.plan(replace(HELLO, pool="default"), 0.0).ready) == "ab"


def test_endpoints_that_the_caller_leaves_out_are_neither_asked_nor_given_a_reason() -> None:
    one, other, away = endpoint("a"), endpoint("b"), endpoint("c", is_active=False)
    plan = pool(one, other, away).plan(HELLO, 0.0, without={one})
    assert (names(plan.ready), [*plan.reasons]) == ("b", [("c", "not active")])


def test_endpoints_with_an_open_breaker_are_asked_when_all_healthy_ones_are_left_out() -> None:
    well, resting = endpoint("a"), rest(endpoint("b"))
    plan = pool(well, resting, endpoint("z", last_resort=True)).plan(HELLO, 1.0, without={well})
    assert names(plan.ready) == "bz"


# ── The stored order, compared with a new one ────────────────────────────────────────────────────

KINDS: list[dict[str, Any]] = [
    {},
    {"priority": 1},
    {"weight": 0.0},
    {"hedge": "never"},
    {"context_length": 1_000},
    {"supports_tools": False, "pool": "day"},
    {"rate_limit_rpm": 1},
    {"rate_limit_rpm": 2, "hedge": "never"},
]
REQUESTS = [
    HELLO,
    replace(HELLO, tools=[{"type": "function"}], session_id="mine"),
    replace(HELLO, messages=[{"role": "user", "content": "x" * 9_000}], pool="day"),
]
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(
            ["clause", "word", "fail", "mend", "busy", "idle", "answer", "spend", "wait"]
        ),
        st.integers(0, 7),
        st.sampled_from([0.05, 0.3, 0.9, 2.0, 40.0]),
    ),
    max_size=25,
)


def change(whole: Pool, what: str, one: Endpoint, seconds: float, now: float) -> None:
    match what:
        case "clause":
            one.latency.record_first_clause(0, seconds, now)
        case "word":
            one.latency.record_at_least(1, seconds, now)
        case "fail":
            rest(one, now=now)
        case "mend":
            one.breaker.succeeded(one.breaker.generation)
        case "busy":
            one.in_flight += 1
        case "idle":
            one.in_flight = 0
        case "spend":
            one.limits.request_started(1, now)
        case "answer":
            whole.record_answer("mine", one)


@pytest.mark.parametrize("name", POLICIES.names())
@given(kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=8), changes=CHANGES)
@settings(deadline=None, max_examples=40)
def test_a_plan_after_any_changes_equals_that_of_a_new_pool(
    name: str, kinds: list[dict[str, Any]], changes: list[tuple[str, int, float]]
) -> None:
    policy = POLICIES.load(name)()
    everyone = [endpoint(chr(97 + n), **kind) for n, kind in enumerate(kinds)]
    everyone.append(endpoint("z", last_resort=True))
    long_lived, now, answered = Pool(everyone, policy, 0.8, rng=Half()), 0.0, None
    for what, who, seconds in changes:
        one = everyone[who % len(everyone)]
        now += seconds if what == "wait" else 0.0
        answered = one if what == "answer" else answered
        change(long_lived, what, one, seconds, now)
        for request in REQUESTS[: who % 3]:
            long_lived.plan(request, now)
    plans = [long_lived.plan(request, now) for request in REQUESTS]
    fresh = Pool(everyone, policy, 0.8, rng=Half())
    fresh.turns = long_lived.turns - len(REQUESTS)
    if answered:
        fresh.record_answer("mine", answered)
    for plan, request in zip(plans, REQUESTS, strict=True):
        expected = fresh.plan(request, now)
        assert names(plan.ready) == names(expected.ready)
        assert names(plan.trials) == names(expected.trials)


def test_more_kinds_of_request_than_the_pool_has_queues_for_are_planned_too() -> None:
    lengths = range(1, 60)
    everyone = pool(*(endpoint(f"e{n}", context_length=n) for n in lengths))
    for _ in range(2):
        for length in lengths:
            request = replace(HELLO, messages=[{"role": "user", "content": "x" * 3 * length}])
            plan = everyone.plan(request, 0.0)
            assert len(plan.ready) - len(plan.reduced) == len(lengths) - length + 1


def test_a_pool_shows_its_endpoints() -> None:
    assert repr(pool()) == "no connection"
    assert repr(pool(endpoint("a"), endpoint("b"))).count("\n") == 1


def first_asked(pool_: Pool, now: float, turns: int = 1) -> str:
    """Plans so many turns and returns the first endpoint of each."""
    return "".join(pool_.plan(HELLO, now).ready[0].name for _ in range(turns))


@pytest.mark.parametrize("policy", ["latency", "cheapest"])
def test_an_endpoint_whose_first_attempts_failed_is_asked_first_again_after_a_minute(
    policy: str,
) -> None:
    a, b = endpoint("a", priority=0), endpoint("b", priority=1, price_out=1.0)
    by_times = Pool([a, b], POLICIES.load(policy)(), target=0.8)
    a.latency.record_failure(0, 0.0)
    a.latency.record_failure(0, 1.0)
    b.latency.record_first_clause(0, 0.4, 1.0)
    assert first_asked(by_times, 1.0 + DOUBT - 1, turns=4) == "bbbb"
    assert first_asked(by_times, 1.0 + DOUBT, turns=4).endswith("aaa")


def test_an_endpoint_that_still_fails_is_asked_first_once_a_minute_and_no_more() -> None:
    a, b = endpoint("a", priority=0), endpoint("b", priority=1)
    by_times = Pool([a, b], LatencyPolicy(), target=0.8)
    asked = ""
    for second in range(600):
        now = float(second)
        first = by_times.plan(HELLO, now).ready[0]
        asked += first.name
        if first is a:
            a.latency.record_failure(0, now)
        else:
            b.latency.record_first_clause(0, 0.4, now)
    assert 8 <= asked.count("a") <= 11
