"""What every policy promises, whichever modules the folder holds."""

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
from llm_router.routing.policies.base import Policy, RankContext, RoutingContext, rank_candidates
from llm_router.routing.pool import Pool
from llm_router.testing import HANG, ScriptedProvider
from llm_router.types import ChatRequest
from tests.candidates import Shown

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
    Shown,
    connection=CONNECTIONS,
    in_flight=st.integers(0, 9),
    times=st.tuples(TIMES, TIMES, TIMES, TIMES),
)
CANDIDATES = st.lists(SHOWN, max_size=8, unique_by=lambda candidate: candidate.name)
TURNS = st.builds(
    RoutingContext,
    rank_context=st.builds(RankContext, size=st.integers(0, 3), target=st.sampled_from([0.2, 0.8])),
    session_id=st.sampled_from(["", "s1", "s2"]),
    last_connection=st.sampled_from(["", "connection 1", "connection 2", "gone"]),
    turn_number=st.integers(1, 1_000_000),
    chance=st.floats(0, 1, exclude_max=True),
)
AIM = RankContext(size=0, target=0.8)
SESSIONS = [f"session {number}" for number in range(4_000)]
WEIGHTS = [(1, 1), (1, 9), (1, 3, 6), (0, 1, 1), (2.5,) * 7]

every = pytest.mark.parametrize("name", POLICIES.names())
sharing = pytest.mark.parametrize("name", ["affinity", "weighted"])
enough = settings(deadline=None, max_examples=50)


def load(name: str) -> Policy:
    return POLICIES.load(name)()


def order(policy: Policy, candidates: Sequence[Shown], turn: RoutingContext) -> list[str]:
    return names(policy.choose(rank_candidates(policy, candidates, turn.rank_context), turn))


def names(candidates: Sequence[Shown]) -> list[str]:
    return [candidate.name for candidate in candidates]


def test_there_are_policies() -> None:
    assert {
        *("affinity", "cheapest", "latency", "least_pending"),
        *("p2c", "priority", "round_robin", "weighted"),
    } <= set(POLICIES.names())


@every
@given(candidates=CANDIDATES, turn=TURNS)
@enough
def test_everyone_is_ordered_and_nobody_twice(
    name: str, candidates: list[Shown], turn: RoutingContext
) -> None:
    assert sorted(order(load(name), candidates, turn)) == sorted(names(candidates))


@every
@given(candidates=CANDIDATES, turn=TURNS)
@enough
def test_the_same_question_has_the_same_answer_and_changes_nothing(
    name: str, candidates: list[Shown], turn: RoutingContext
) -> None:
    policy = load(name)
    shown = rank_candidates(policy, candidates, turn.rank_context)
    before = shown.ordered()
    first = policy.choose(shown, turn)
    assert shown.ordered() == before
    assert policy.choose(shown, turn) == first, "asked again"
    first.clear()
    assert names(policy.choose(shown, turn)) == order(load(name), candidates, turn), "asked afresh"


@every
@given(candidates=CANDIDATES, turn=TURNS)
@enough
def test_they_stand_by_rank_and_equals_as_they_were_listed(
    name: str, candidates: list[Shown], turn: RoutingContext
) -> None:
    policy = load(name)
    by_rank = sorted(candidates, key=lambda one: policy.rank(one, turn.rank_context))
    assert rank_candidates(policy, candidates, turn.rank_context).ordered() == by_rank


@every
@given(
    candidates=CANDIDATES,
    changes=st.lists(st.tuples(st.integers(0, 7), st.none() | st.integers(0, 9), TIMES)),
    turn=TURNS,
)
@enough
def test_an_order_that_was_kept_is_the_order_made_afresh(
    name: str,
    candidates: list[Shown],
    changes: list[tuple[int, int | None, float | None]],
    turn: RoutingContext,
) -> None:
    policy = load(name)
    kept, now = rank_candidates(policy, candidates, turn.rank_context), dict(enumerate(candidates))
    for place, in_flight, time in changes:
        policy.choose(kept, turn)  # what it notes of this must not outlive a change
        if place >= len(candidates):
            continue
        if in_flight is None:
            kept.discard(candidates[place])
            now.pop(place, None)
        else:
            now[place] = replace(candidates[place], in_flight=in_flight, times=[time] * 4)
            kept.put(now[place], place)
    afresh = [now[place] for place in sorted(now)]
    assert names(policy.choose(kept, turn)) == order(policy, afresh, turn)


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
def test_when_one_goes_only_its_own_sessions_move_each_to_its_second(
    name: str, candidates: list[Shown], sessions: list[str], gone: int
) -> None:
    policy, left = load(name), [c for place, c in enumerate(candidates) if place != gone]
    for session in sessions:
        turn = RoutingContext(AIM, session)
        before, after = order(policy, candidates, turn), order(policy, left, turn)
        assert after == [one for one in before if one in names(left)]


@sharing
@pytest.mark.parametrize("weights", WEIGHTS)
def test_sessions_are_shared_by_weight_and_so_are_those_who_stand_in(
    name: str, weights: Sequence[float]
) -> None:
    policy = load(name)
    shown = rank_candidates(policy, arms(weights), AIM)
    orders = [names(policy.choose(shown, RoutingContext(AIM, session))) for session in SESSIONS]
    assert_shared(Counter(first for first, *_ in orders), weights)
    of_the_last = [second for first, second, *_ in orders if first == f"arm {len(weights) - 1}"]
    assert_shared(Counter(of_the_last), weights[:-1])


@pytest.mark.parametrize("weights", WEIGHTS)
def test_turns_of_no_session_are_shared_by_weight_and_so_are_those_who_stand_in(
    weights: Sequence[float],
) -> None:
    policy, rng = load("weighted"), SystemRng(7)
    shown = rank_candidates(policy, arms(weights), AIM)
    orders = [
        names(policy.choose(shown, RoutingContext(AIM, chance=rng.random()))) for _ in range(4_000)
    ]
    assert_shared(Counter(first for first, *_ in orders), weights)
    of_the_last = [second for first, second, *_ in orders if first == f"arm {len(weights) - 1}"]
    assert_shared(Counter(of_the_last), weights[:-1])


@sharing
def test_a_session_keeps_its_arm_from_release_to_release(name: str) -> None:
    orders = (
        order(load(name), arms([1, 1, 1]), RoutingContext(AIM, f"call {n}")) for n in range(12)
    )
    assert "".join(first[-1] for first, *_ in orders) == "211201112211"


@every
def test_a_policy_says_what_it_is_for(name: str) -> None:
    described = import_module(f"{POLICIES.package}.{name}").__doc__ or ""
    assert described.startswith(f"`{name}`"), "the first word of its docstring is its name"


def arms(weights: Sequence[float]) -> list[Shown]:
    return [Shown(Connection(name=f"arm {n}", weight=w)) for n, w in enumerate(weights)]


def assert_shared(counts: Counter[str], weights: Sequence[float]) -> None:
    """Within four and a half standard deviations of a binomial: by chance once in 100,000 times."""
    turns = counts.total()
    assert turns >= 500
    for place, weight in enumerate(weights):
        share = weight / sum(weights)
        spread = math.sqrt(turns * share * (1 - share))
        assert abs(counts[f"arm {place}"] - turns * share) <= 4.5 * spread
