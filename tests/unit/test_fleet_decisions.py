"""The next step of a fleet, for every state that its instances and connections can be in."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.errors import ConfigurationError
from llm_router.fleet.cloud import Instance, Notice, State
from llm_router.fleet.decisions import (
    Action,
    Deactivate,
    Drain,
    FleetConnection,
    Launch,
    Publish,
    Seen,
    Terminate,
    Try,
    decide,
    hourly_cost,
    pause_after,
)
from llm_router.fleet.spec import FleetSpec

NOW = 10_000.0
SPEC = FleetSpec(name="llama", template="lt-1", size=2, max_hourly=2.0)


def instance(number: int, **fields: Any) -> Instance:
    named = {"id": f"i-{number}", "launch": number, "address": f"10.0.0.{number}"}
    usual = {"template": "lt-1", "state": "running", "launched_at": NOW - 60, "price": 0.5}
    values: dict[str, Any] = {**named, **usual, **fields}
    return Instance(**values)


def connection(number: int, **fields: Any) -> FleetConnection:
    named = {"id": f"c-{number}", "name": f"llama-{number}", "instance": f"i-{number}"}
    values: dict[str, Any] = {**named, "template": "lt-1", "is_active": True, "is_drained": False}
    return FleetConnection(**{**values, **fields})


def decided(spec: FleetSpec = SPEC, **seen: Any) -> list[Action]:
    return decide(spec, Seen(**{"now": NOW, "wanted": spec.size, **seen}))


SERVING: dict[str, Any] = {
    "instances": [instance(1), instance(2)],
    "connections": [connection(1), connection(2)],
}


def test_an_empty_fleet_starts_as_many_as_are_wanted() -> None:
    assert decided() == [Launch(), Launch()]


def test_a_fleet_that_serves_does_nothing() -> None:
    assert decided(**SERVING) == []


def test_a_launch_that_the_cloud_does_not_list_yet_is_not_repeated() -> None:
    assert decided(launched={7: NOW - 30, 8: NOW - 30}) == []
    assert decided(launched={7: NOW - 30, 8: NOW - 300}) == [Launch()]


def test_an_instance_is_tried_once_it_runs_and_has_an_address() -> None:
    coming = instance(1, state="pending")
    assert decided(instances=[coming, instance(2)]) == [Try(instance(2))]
    unnamed = Instance(id="i-1", launch=1, template="lt-1", state="running", launched_at=NOW)
    assert decided(instances=[unnamed, instance(2)]) == [Try(instance(2))]


def test_an_instance_becomes_a_connection_after_a_word_and_not_before() -> None:
    both = [instance(1), instance(2)]
    actions = decided(instances=both, answered={"i-2"})
    assert actions == [Try(instance(1)), Publish(instance(2), "llama-1")]


def test_a_replacement_takes_over_the_connection_of_an_instance_that_is_gone() -> None:
    actions = decided(
        instances=[instance(1, state="gone"), instance(2), instance(3)],
        connections=[connection(1, is_active=False), connection(2)],
        answered={"i-3"},
    )
    assert actions == [Publish(instance(3), "llama-1", "c-1")]


def test_another_launch_template_gets_a_connection_of_its_own() -> None:
    actions = decided(
        instances=[instance(2), instance(3)],
        connections=[connection(1, is_active=False, template="lt-0"), connection(2)],
        answered={"i-3"},
        taken_names={"llama-3"},
    )
    assert actions == [Publish(instance(3), "llama-4")]


def test_a_hint_drains_the_instance_and_starts_another() -> None:
    hinted = instance(1, notice=Notice("rebalance"))
    instances = [hinted, instance(2)]
    [drain, launch] = decided(instances=instances, connections=SERVING["connections"])
    assert isinstance(drain, Drain)
    assert drain.connection_id == "c-1"
    assert launch == Launch()
    drained = [connection(1, is_drained=True), connection(2)]
    coming = [*instances, instance(3, state="pending")]
    assert decided(instances=coming, connections=drained) == []


def test_an_instance_with_a_hint_leaves_once_another_serves_in_its_place() -> None:
    instances = [instance(1, notice=Notice("rebalance")), instance(2), instance(3)]
    others = [connection(2), connection(3)]
    [leave] = decided(instances=instances, connections=[connection(1, is_drained=True), *others])
    assert isinstance(leave, Deactivate)
    off = connection(1, is_active=False, changed_at=NOW - 100)
    assert decided(instances=instances, connections=[off, *others]) == []
    long_off = connection(1, is_active=False, changed_at=NOW - 130)
    [end] = decided(instances=instances, connections=[long_off, *others])
    assert isinstance(end, Terminate)


def test_a_notice_takes_the_connection_out_of_calls_and_starts_a_replacement() -> None:
    noticed = instance(1, notice=Notice("interruption", until=NOW + 120))
    actions = decided(instances=[noticed, instance(2)], connections=SERVING["connections"])
    reason = "i-1: the cloud takes the instance back at 02:48:40 UTC (two-minute notice)"
    assert actions == [Deactivate("c-1", reason), Launch()]


def test_a_connection_whose_instance_is_gone_is_deactivated_with_the_reason() -> None:
    gone = instance(1, state="gone", gone_reason="no capacity")
    actions = decided(instances=[gone, instance(2)], connections=SERVING["connections"])
    assert actions == [Deactivate("c-1", "i-1: no capacity"), Launch()]
    actions = decided(instances=[instance(2)], connections=SERVING["connections"])
    assert actions == [Deactivate("c-1", "i-1: its instance is gone"), Launch()]


def test_an_instance_that_says_no_word_in_time_is_ended() -> None:
    late = instance(1, launched_at=NOW - SPEC.start_within - 1)
    [end, launch] = decided(instances=[late, instance(2)], connections=[connection(2)])
    assert isinstance(end, Terminate)
    assert (end.instance_id, launch) == ("i-1", Launch())


def test_an_instance_whose_model_server_has_died_is_replaced() -> None:
    broken = {"c-1": NOW - SPEC.broken_after}
    end, leave, launch = decided(**SERVING, broken_since=broken)
    assert isinstance(end, Terminate)
    assert isinstance(leave, Deactivate)
    assert (end.instance_id, leave.connection_id, launch) == ("i-1", "c-1", Launch())
    assert decided(**SERVING, broken_since={"c-1": NOW - 60}) == []


def test_a_connection_that_a_person_switched_off_stays_off() -> None:
    off = [connection(1, is_active=False), connection(2)]
    assert decided(instances=SERVING["instances"], connections=off) == []


def test_a_smaller_fleet_gives_up_what_does_not_serve_yet_then_the_dearest() -> None:
    three = [instance(1, price=0.4), instance(2, price=0.6), instance(3)]
    two = [connection(1), connection(2)]
    reason = "the fleet has become smaller"
    assert decided(instances=three, connections=two) == [Terminate("i-3", reason)]
    assert decided(instances=three, connections=two, wanted=1) == [
        Deactivate("c-2", reason),
        Terminate("i-3", reason),
    ]


def test_no_launch_may_cost_more_than_the_fleet_may() -> None:
    one = [instance(1, price=1.5)]
    assert decided(instances=one, connections=[connection(1)]) == []  # 1.50 and up to 1.00
    cheap = [instance(1, price=0.9)]
    assert decided(instances=cheap, connections=[connection(1)]) == [Launch()]


def test_a_price_that_has_risen_too_far_takes_the_dearest_out() -> None:
    dear = [instance(1, price=0.9), instance(2, price=1.2)]
    [leave] = decided(instances=dear, connections=SERVING["connections"])
    assert isinstance(leave, Deactivate)
    assert leave.connection_id == "c-2"


def test_an_unknown_price_counts_as_the_highest() -> None:
    assert hourly_cost(SPEC, [instance(1, price=None), instance(2, state="gone")]) == 1.0


def test_the_end_takes_everything_out_of_calls_and_then_ends_it() -> None:
    assert decided(**SERVING, wanted=0) == [
        Deactivate("c-1", "the fleet ends"),
        Deactivate("c-2", "the fleet ends"),
    ]
    off = [connection(n, is_active=False, changed_at=NOW - 121) for n in (1, 2)]
    starting = instance(3, state="pending")
    ends = decided(instances=[*SERVING["instances"], starting], connections=off, wanted=0)
    assert ends == [Terminate(f"i-{n}", "the fleet ends") for n in (1, 2, 3)]


def test_refusals_make_launches_rare() -> None:
    assert [pause_after(n) for n in (0, 1, 2, 3, 50)] == [15, 15, 30, 60, 600]
    assert decided(may_launch_at=NOW + 1) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "Llama 3"},
        {"template": ""},
        {"size": 0},
        {"size": 101},
        {"max_hourly": 0},
        {"max_hourly": float("nan")},
        {"max_hourly": float("inf")},
        {"port": 0},
    ],
)
def test_wishes_that_cannot_come_true_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        FleetSpec(**{"name": "llama", "template": "lt-1", "max_hourly": 1.0, **fields})


# ── Whatever the state ───────────────────────────────────────────────────────────────────────────

STATES: list[State] = ["pending", "running", "gone"]
NOTICES = [None, Notice("rebalance"), Notice("interruption", NOW + 60)]


@st.composite
def seen(draw: st.DrawFn) -> Seen:
    numbers = range(1, draw(st.integers(0, 6)) + 1)
    instances = [
        instance(
            n,
            state=draw(st.sampled_from(STATES)),
            notice=draw(st.sampled_from(NOTICES)),
            price=draw(st.sampled_from([None, 0.1, 0.5, 0.9, 1.3])),
            launched_at=NOW - draw(st.sampled_from([1, 100, 5_000])),
        )
        for n in numbers
    ]
    connections = [
        connection(
            n,
            is_active=draw(st.booleans()),
            is_drained=draw(st.booleans()),
            changed_at=NOW - draw(st.sampled_from([1, 500])),
        )
        for n in range(1, 8)
        if draw(st.booleans())
    ]
    broken = [c.id for c in connections if draw(st.booleans())]
    return Seen(
        now=NOW,
        wanted=draw(st.integers(0, 4)),
        instances=instances,
        connections=connections,
        answered=frozenset(i.id for i in instances if draw(st.booleans())),
        launched=dict.fromkeys(range(20, 20 + draw(st.integers(0, 3))), NOW - 10),
        broken_since=dict.fromkeys(broken, NOW - draw(st.sampled_from([1, 900]))),
    )


@given(seen())
def test_whatever_the_state_no_launch_breaks_the_size_or_the_cap(seen: Seen) -> None:
    actions = decide(SPEC, seen)
    launches = actions.count(Launch())
    live = [i for i in seen.instances if i.state != "gone"]
    paid = [i for i in live if not (i.notice and i.notice.kind == "interruption")]
    assert launches <= seen.wanted
    if launches:
        cost = hourly_cost(SPEC, paid) + (len(seen.launched) + launches) * SPEC.max_price
        assert cost <= SPEC.max_hourly * (1 + 1e-6)


@given(seen())
def test_whatever_the_state_what_lives_and_serves_is_ended_only_out_of_calls(seen: Seen) -> None:
    actions = decide(SPEC, seen)
    active = {c.instance: c.id for c in seen.connections if c.is_active}
    taken_out = {a.connection_id for a in actions if isinstance(a, Deactivate)}
    for action in actions:
        if isinstance(action, Terminate) and action.instance_id in active:
            assert active[action.instance_id] in taken_out


@given(seen())
def test_whatever_the_state_no_connection_serves_without_an_instance(seen: Seen) -> None:
    taken_out = {a.connection_id for a in decide(SPEC, seen) if isinstance(a, Deactivate)}
    usable = {
        i.id
        for i in seen.instances
        if i.state != "gone" and not (i.notice and i.notice.kind == "interruption")
    }
    for one in seen.connections:
        if one.is_active and one.instance not in usable:
            assert one.id in taken_out


@given(seen())
def test_whatever_the_state_a_connection_is_published_once_and_after_a_word(seen: Seen) -> None:
    published = [a for a in decide(SPEC, seen) if isinstance(a, Publish)]
    assert {a.instance.id for a in published} <= seen.answered
    assert len({a.name for a in published}) == len(published)
    for action in published:
        assert action.instance.state == "running"
