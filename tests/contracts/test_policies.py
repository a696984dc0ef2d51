"""The contract of a policy, for every module in the folder."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_router.assembly import POLICIES
from llm_router.clock import SystemRng
from llm_router.connections.record import Connection
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.policies.base import Policy, RankContext, RoutingContext
from llm_router.routing.pool import Pool
from llm_router.testing import HANG, ScriptedProvider
from llm_router.types import ChatRequest
from tests.candidates import FakeCandidate, rank_candidates

CONNECTIONS = st.builds(
    Connection,
    name=st.sampled_from([f"connection {number}" for number in range(8)]),
    priority=st.integers(-2, 2),
    weight=st.sampled_from([0.0, 0.5, 1.0, 10.0]),
    price_in=st.sampled_from([0.0, 0.5, 3.0]),
    price_out=st.sampled_from([0.0, 1.5]),
)
TIMES = st.none() | st.sampled_from([0.0, 0.1, 0.6, 0.8, 5.0, math.inf])
SHOWN = st.builds(
    FakeCandidate,
    connection=CONNECTIONS,
    in_flight=st.integers(0, 9),
    times=st.tuples(TIMES, TIMES, TIMES, TIMES),
)
CANDIDATES = st.lists(SHOWN, max_size=8, unique_by=lambda candidate: candidate.name)
CONTEXTS = st.builds(
    RoutingContext,
    rank_context=st.builds(RankContext, size=st.integers(0, 3), target=st.sampled_from([0.2, 0.8])),
    session_id=st.sampled_from(["", "s1", "s2"]),
    last_connection=st.sampled_from(["", "connection 1", "connection 2", "gone"]),
    turn_number=st.integers(1, 1_000_000),
    chance=st.floats(0, 1, exclude_max=True),
)
RANK_CONTEXT = RankContext(size=0, target=0.8)
SESSIONS = [f"session {number}" for number in range(4_000)]
WEIGHTS = [(1, 1), (1, 9), (1, 3, 6), (0, 1, 1), (2.5,) * 7]

every = pytest.mark.parametrize("name", POLICIES.names())
sharing = pytest.mark.parametrize("name", ["affinity", "weighted"])
enough = settings(deadline=None, max_examples=50)


def load(name: str) -> Policy:
    return POLICIES.load(name)()


def order(
    policy: Policy, candidates: Sequence[FakeCandidate], context: RoutingContext
) -> list[str]:
    return names(policy.choose(rank_candidates(policy, candidates, context.rank_context), context))


def names(candidates: Sequence[FakeCandidate]) -> list[str]:
    return [candidate.name for candidate in candidates]


def test_there_are_policies() -> None:
    assert {
        *("affinity", "cheapest", "latency", "least_pending"),
        *("p2c", "priority", "round_robin", "weighted"),
    } <= set(POLICIES.names())


@every
@given(candidates=CANDIDATES, context=CONTEXTS)
@enough
def test_each_candidate_is_ordered_exactly_once(
    name: str, candidates: list[FakeCandidate], context: RoutingContext
) -> None:
    assert sorted(order(load(name), candidates, context)) == sorted(names(candidates))


@every
@given(candidates=CANDIDATES, context=CONTEXTS)
@enough
def test_the_same_question_has_the_same_answer_and_changes_nothing(
    name: str, candidates: list[FakeCandidate], context: RoutingContext
) -> None:
    policy = load(name)
    shown = rank_candidates(policy, candidates, context.rank_context)
    before = shown.ordered()
    first = policy.choose(shown, context)
    assert shown.ordered() == before
    assert policy.choose(shown, context) == first, "asked again"
    first.clear()
    afresh = order(load(name), candidates, context)
    assert names(policy.choose(shown, context)) == afresh, "asked afresh"


@every
@given(candidates=CANDIDATES, context=CONTEXTS)
@enough
def test_candidates_are_sorted_by_rank_and_equals_as_listed(
    name: str, candidates: list[FakeCandidate], context: RoutingContext
) -> None:
    policy = load(name)
    by_rank = sorted(candidates, key=lambda one: policy.rank(one, context.rank_context))
    assert rank_candidates(policy, candidates, context.rank_context).ordered() == by_rank


@every
@given(
    candidates=CANDIDATES,
    changes=st.lists(st.tuples(st.integers(0, 7), st.none() | st.integers(0, 9), TIMES)),
    context=CONTEXTS,
)
@enough
def test_an_order_that_was_updated_equals_a_new_one(
    name: str,
    candidates: list[FakeCandidate],
    changes: list[tuple[int, int | None, float | None]],
    context: RoutingContext,
) -> None:
    policy = load(name)
    updated = rank_candidates(policy, candidates, context.rank_context)
    now = dict(enumerate(candidates))
    for place, in_flight, time in changes:
        policy.choose(updated, context)  # results cached here must not outlive a change
        if place >= len(candidates):
            continue
        if in_flight is None:
            updated.discard(candidates[place])
            now.pop(place, None)
        else:
            now[place] = replace(candidates[place], in_flight=in_flight, times=[time] * 4)
            updated.put(now[place], place)
    afresh = [now[place] for place in sorted(now)]
    assert names(policy.choose(updated, context)) == order(policy, afresh, context)


@every
@given(
    weights=st.lists(st.sampled_from([0.0, 1.0, 5.0]), min_size=1, max_size=6),
    session=st.sampled_from(["", "s1", "s2", "s3"]),
    seed=st.integers(0, 100),
)
@enough
def test_a_weight_of_nothing_drains_an_endpoint_while_there_are_others(
    name: str, weights: list[float], session: str, seed: int
) -> None:
    endpoints = [
        Endpoint(Connection(name=f"{place}", weight=weight), ScriptedProvider([[HANG]]))
        for place, weight in enumerate(weights)
    ]
    pool = Pool(endpoints, load(name), 0.8, rng=SystemRng(seed))
    request = ChatRequest(messages=[], session_id=session)
    for _ in weights:
        ordered = [endpoint.connection.weight for endpoint in pool.plan(request, 0.0).ready]
        assert ordered[: len(weights) - weights.count(0)].count(0) == 0


@sharing
@given(
    candidates=CANDIDATES,
    sessions=st.lists(st.text(min_size=1), max_size=20),
    gone=st.integers(0, 7),
)
@enough
def test_when_an_endpoint_goes_only_its_sessions_move_each_to_its_second(
    name: str, candidates: list[FakeCandidate], sessions: list[str], gone: int
) -> None:
    policy, left = load(name), [c for place, c in enumerate(candidates) if place != gone]
    for session in sessions:
        context = RoutingContext(RANK_CONTEXT, session)
        before, after = order(policy, candidates, context), order(policy, left, context)
        assert after == [one for one in before if one in names(left)]


@sharing
@pytest.mark.parametrize("weights", WEIGHTS)
def test_sessions_are_shared_by_weight_among_first_and_second_endpoints(
    name: str, weights: Sequence[float]
) -> None:
    policy = load(name)
    shown = rank_candidates(policy, arms(weights), RANK_CONTEXT)
    orders = [
        names(policy.choose(shown, RoutingContext(RANK_CONTEXT, session))) for session in SESSIONS
    ]
    assert_shared(Counter(first for first, *_ in orders), weights)
    of_the_last = [second for first, second, *_ in orders if first == f"arm {len(weights) - 1}"]
    assert_shared(Counter(of_the_last), weights[:-1])


@pytest.mark.parametrize("weights", WEIGHTS)
def test_turns_without_a_session_are_shared_by_weight_among_first_and_second_endpoints(
    weights: Sequence[float],
) -> None:
    policy, rng = load("weighted"), SystemRng(7)
    shown = rank_candidates(policy, arms(weights), RANK_CONTEXT)
    orders = [
        names(policy.choose(shown, RoutingContext(RANK_CONTEXT, chance=rng.random())))
        for _ in range(4_000)
    ]
    assert_shared(Counter(first for first, *_ in orders), weights)
    of_the_last = [second for first, second, *_ in orders if first == f"arm {len(weights) - 1}"]
    assert_shared(Counter(of_the_last), weights[:-1])


@sharing
def test_a_session_has_the_same_arm_in_every_release(name: str) -> None:
    orders = (
        order(load(name), arms([1, 1, 1]), RoutingContext(RANK_CONTEXT, f"call {n}"))
        for n in range(12)
    )
    assert "".join(first[-1] for first, *_ in orders) == "211201112211"


@every
def test_a_policys_docstring_begins_with_its_name(name: str) -> None:
    described = import_module(f"{POLICIES.package}.{name}").__doc__ or ""
    assert described.startswith(f"`{name}`"), "the first word of its docstring is its name"


def arms(weights: Sequence[float]) -> list[FakeCandidate]:
    return [FakeCandidate(Connection(name=f"arm {n}", weight=w)) for n, w in enumerate(weights)]


def assert_shared(counts: Counter[str], weights: Sequence[float]) -> None:
    """Checks each share within 4.5 standard deviations of a binomial: a false alarm in 100,000."""
    turns = counts.total()
    assert turns >= 500
    for place, weight in enumerate(weights):
        share = weight / sum(weights)
        spread = math.sqrt(turns * share * (1 - share))
        assert abs(counts[f"arm {place}"] - turns * share) <= 4.5 * spread
