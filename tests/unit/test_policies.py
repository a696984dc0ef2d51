"""The order of each policy; the promises that all share are tested in `contracts`."""

import pytest

from llm_router.connections.record import Connection
from llm_router.routing.policies import (
    affinity,
    cheapest,
    latency,
    least_pending,
    p2c,
    priority,
    round_robin,
    weighted,
)
from llm_router.routing.policies.base import Policy, RankContext, RoutingContext
from tests.candidates import FakeCandidate, rank_candidates

RANK_CONTEXT = RankContext(size=0, target=0.8)
LATENCY, PRIORITY, CHEAPEST = latency.create(), priority.create(), cheapest.create()
LEAST_PENDING, P2C, ROUND_ROBIN = least_pending.create(), p2c.create(), round_robin.create()
WEIGHTED, AFFINITY = weighted.create(), affinity.create()


def candidate(
    name: str,
    predicted: float | None = None,
    priority: int = 0,
    *,
    in_flight: int = 0,
    weight: float = 1.0,
    prices: tuple[float, float] = (0.0, 0.0),
) -> FakeCandidate:
    connection = Connection(
        name=name, priority=priority, weight=weight, price_in=prices[0], price_out=prices[1]
    )
    return FakeCandidate(connection, in_flight, [predicted] * 4)


def order(
    policy: Policy,
    *candidates: FakeCandidate,
    last: str = "",
    number: int = 1,
    chance: float = 0.0,
    session_id: str = "",
) -> str:
    turn = RoutingContext(RANK_CONTEXT, session_id, last, number, chance)
    return "".join(
        one.name for one in policy.choose(rank_candidates(policy, candidates, RANK_CONTEXT), turn)
    )


def test_priority_is_the_users_order_however_slow() -> None:
    slow, fast = candidate("a", 9.0, priority=1), candidate("b", 0.1, priority=2)
    assert order(PRIORITY, fast, slow, last="b") == "ab"


def test_priority_leaves_equals_as_they_came() -> None:
    assert order(PRIORITY, candidate("b"), candidate("a"), candidate("c")) == "bac"


def test_latency_keeps_the_users_order_while_it_is_fast_enough() -> None:
    slower, faster = candidate("a", 0.7, priority=1), candidate("b", 0.1, priority=2)
    assert order(LATENCY, faster, slower) == "ab"


def test_latency_puts_endpoints_that_miss_the_target_last_the_fastest_of_them_first() -> None:
    assert (
        order(
            LATENCY,
            candidate("a", 3.0, priority=1),
            candidate("b", 1.0, priority=2),
            candidate("c", 0.5, priority=3),
        )
        == "cba"
    )


def test_latency_puts_the_fastest_first_among_equals() -> None:
    assert order(LATENCY, candidate("a", 0.5), candidate("b", 0.2)) == "ba"


def test_latency_trusts_an_unmeasured_endpoint_or_it_would_never_be_tried() -> None:
    assert order(LATENCY, candidate("a", 0.2), candidate("b", None)) == "ba"


def test_latency_goes_by_the_size_of_the_prompt() -> None:
    short, even = FakeCandidate(Connection(name="a"), 0, (0.1, 0.7)), candidate("b", 0.4)
    for size, first in ((0, "a"), (1, "b")):
        aim = RankContext(size, 0.8)
        assert (
            LATENCY.choose(rank_candidates(LATENCY, [short, even], aim), RoutingContext(aim))[
                0
            ].name
            == first
        )


@pytest.mark.parametrize(("other", "first"), [(0.39, "a"), (0.37, "b"), (0.3, "b"), (0.5, "a")])
def test_latency_moves_a_session_for_a_clear_margin_only(other: float, first: str) -> None:
    assert order(LATENCY, candidate("a", 0.5), candidate("b", other), last="a")[0] == first


def test_latency_lets_the_session_stay_where_it_is_only_just_late() -> None:
    assert order(LATENCY, candidate("a", 1.0), candidate("b", 0.79), last="a")[0] == "a"
    assert order(LATENCY, candidate("a", 1.1), candidate("b", 0.79), last="a")[0] == "b"


def test_latency_brings_a_session_back_to_a_better_priority() -> None:
    assert order(LATENCY, candidate("a", 0.7, 1), candidate("b", 0.1, 2), last="b")[0] == "a"


def test_cheapest_goes_by_the_price_of_a_prompt_and_its_reply() -> None:
    reads_dear, writes_dear = candidate("a", prices=(2, 4)), candidate("b", prices=(1, 6))
    assert order(CHEAPEST, reads_dear, writes_dear, candidate("c", prices=(9, 9))) == "bac"


def test_cheapest_uses_the_price_list_where_a_connection_has_no_price() -> None:
    mini = Connection(name="a", connection_type="openai", model_name="gpt-4.1-mini")
    nano = Connection(name="b", connection_type="openai", model_name="gpt-4.1-nano")
    mine = Connection(name="c", model_name="of-my-own")
    assert (
        order(CHEAPEST, *(FakeCandidate(one, 0, [0.2] * 4) for one in (mini, nano, mine))) == "cba"
    )


def test_cheapest_pays_for_speed_only_where_the_cheap_is_late() -> None:
    cheap, dear = candidate("a", 0.9, prices=(1, 1)), candidate("b", 0.7, prices=(9, 9))
    assert order(CHEAPEST, cheap, dear) == "ba"
    assert order(CHEAPEST, candidate("a", 0.8, prices=(1, 1)), dear) == "ab"


def test_cheapest_puts_the_late_last_the_fastest_of_them_first() -> None:
    late = [candidate("a", 3.0), candidate("b", 2.0, prices=(9, 9))]
    assert order(CHEAPEST, *late, candidate("c", 0.1, prices=(5, 5))) == "cba"


def test_cheapest_goes_by_priority_and_then_time_where_prices_are_the_same() -> None:
    three = [candidate("a", 0.2, 1), candidate("b", 0.7), candidate("c", 0.6)]
    assert order(CHEAPEST, *three) == "cba"


def test_round_robin_begins_with_each_in_turn() -> None:
    three = [candidate(name) for name in "abc"]
    starts = [order(ROUND_ROBIN, *three, number=number) for number in range(4)]
    assert starts == ["abc", "bca", "cab", "abc"]


def test_least_pending_asks_the_least_busy_for_its_weight() -> None:
    busy, large = candidate("a", in_flight=2), candidate("b", in_flight=4, weight=4)
    assert order(LEAST_PENDING, busy, large, candidate("c", in_flight=1)) == "bca"


def test_least_pending_goes_by_priority_among_the_equally_busy() -> None:
    assert order(LEAST_PENDING, candidate("a", priority=1), candidate("b")) == "ba"


@pytest.mark.parametrize(
    ("chance", "first_two"), [(0.0, "ab"), (0.3, "ac"), (0.4, "ab"), (0.5, "bc"), (0.99, "bc")]
)
def test_p2c_asks_the_less_busy_of_two_and_then_the_other(chance: float, first_two: str) -> None:
    three = [candidate(name, in_flight=load) for load, name in enumerate("abc")]
    assert order(P2C, *three, chance=chance)[:2] == first_two


def test_p2c_draws_every_pair_as_often() -> None:
    four, draws = [candidate(name) for name in "abcd"], 1_200
    pairs = [order(P2C, *four, chance=(n + 0.5) / draws)[:2] for n in range(draws)]
    assert {pair: pairs.count(pair) for pair in set(pairs)} == dict.fromkeys(
        ["ab", "ac", "ad", "bc", "bd", "cd"], draws // 6
    )


def test_p2c_leaves_the_others_by_how_busy_they_are() -> None:
    four = [candidate(name, in_flight=9 - place) for place, name in enumerate("abcd")]
    assert order(P2C, *four, chance=0.999) == "badc"


def test_weighted_goes_by_the_users_order_where_no_weight_is_left() -> None:
    assert order(WEIGHTED, candidate("a", weight=0), candidate("b", weight=0), chance=0.9) == "ab"


@pytest.mark.parametrize("chance", [0.0, 0.5, 1 - 2**-53])
def test_weighted_survives_weights_that_do_not_add_up_exactly(chance: float) -> None:
    arms = [candidate("a", weight=0.1), candidate("b", weight=0.2), candidate("c", weight=0.7)]
    assert sorted(order(WEIGHTED, *arms, chance=chance)) == ["a", "b", "c"]


def test_affinity_sends_a_turn_without_a_session_to_the_least_busy() -> None:
    assert order(AFFINITY, candidate("a", in_flight=2), candidate("b", in_flight=1)) == "ba"


def test_affinity_holds_whatever_the_load_and_the_time() -> None:
    quiet, busy = candidate("a"), candidate("a", 5.0, in_flight=9)
    other = candidate("b", 0.1, in_flight=3)
    assert order(AFFINITY, quiet, other, session_id="a call") == order(
        AFFINITY, busy, other, session_id="a call"
    )
