"""Setting up LiveKit's SIP service from the telephone's file."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from livekit.protocol.sip import SIPDispatchRuleInfo, SIPInboundTrunkInfo

from agent.phone.objects import Kind, SipError, mark_of
from agent.phone.provision import Action, apply_plan, make_plan
from agent.phone.wanted import wanted_objects
from llm_router.voice.phone.setup import PhoneSetup
from tests.contracts.sip_service import AGENT, MemorySip, answering, brought_to, check_contract

LOCAL = {"name": "main", "allowed_addresses": ["127.0.0.1"]}


def setup(**values: Any) -> PhoneSetup:
    return PhoneSetup.model_validate(values)


async def test_a_service_in_memory_keeps_the_contract() -> None:
    await check_contract(MemorySip(), "+1555010")


def test_a_call_carries_what_the_file_says_of_its_line() -> None:
    line = {
        **LOCAL, "ring_for": 12.5, "max_minutes": 10, "headers": ["X-Account"],
        "hide_callers": True, "inbound_username": "in", "inbound_password": "s3cret",
    }  # fmt: skip
    media = {"codecs": ["G722", "PCMU"], "encryption": "require", "timeout": 20}
    objects = wanted_objects(
        setup(trunks=[line], numbers=[{"number": "+15550100", "assistant": "tea"}], media=media),
        "desk",
    )
    [trunk] = objects.inbound
    assert (trunk.name, [*trunk.numbers]) == ("main/tea", ["+15550100"])
    assert (trunk.auth_username, trunk.auth_password) == ("in", "s3cret")
    assert trunk.ringing_timeout.ToMilliseconds() == 12_500
    assert trunk.max_call_duration.seconds == 600
    assert dict(trunk.headers_to_attributes) == {"X-Account": "sip.h.x-account"}
    assert [codec.name for codec in trunk.media.codecs] == ["G722", "PCMU"]
    assert trunk.media.only_listed_codecs
    assert trunk.media.media_timeout.seconds == 20
    [rule] = objects.rules
    assert rule.hide_phone_number
    assert rule.rule.dispatch_rule_callee.room_prefix == "phone-"
    assert rule.rule.dispatch_rule_callee.randomize
    [agent] = rule.room_config.agents
    assert (agent.agent_name, json.loads(agent.metadata)) == ("desk", {"assistant": "tea"})


def test_calls_go_out_with_the_caller_id_of_the_file() -> None:
    trunk = {**LOCAL, "address": "sip.example.com", "transport": "tls"}
    numbers = [{"number": "+15550100"}]
    outbound = {"trunk": "main", "caller_id": "+15550101"}
    [own] = wanted_objects(setup(trunks=[trunk], numbers=numbers), AGENT).outbound
    assert (own.name, own.address, [*own.numbers]) == ("main", "sip.example.com", ["+15550100"])
    [chosen] = wanted_objects(
        setup(trunks=[trunk], numbers=numbers, outbound=outbound), AGENT
    ).outbound
    assert [*chosen.numbers] == ["+15550101"]


async def test_what_others_made_is_never_changed() -> None:
    sip = MemorySip()
    of_others = [
        (Kind.INBOUND, SIPInboundTrunkInfo(name="main/default", numbers=["+15550199"])),
        (Kind.INBOUND, SIPInboundTrunkInfo(name="x", numbers=["9"], metadata=mark_of("other"))),
        (Kind.RULE, SIPDispatchRuleInfo(name="main/default", trunk_ids=["ST_1"])),
    ]
    for kind, message in of_others:
        await sip.create(kind, message)
    before = await sip.read()
    shop = setup(trunks=[LOCAL], numbers=[{"number": "+15550100"}])
    await brought_to(sip, shop)
    await brought_to(sip, PhoneSetup())
    assert await sip.read() == before


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        (SIPInboundTrunkInfo(name="hand", numbers=["1 555 0100"]), "which Patchbay has not made"),
        (
            SIPInboundTrunkInfo(numbers=["+15550100"], metadata=mark_of("old")),
            "made for the agent 'old'",
        ),
        (SIPInboundTrunkInfo(name="all", allowed_addresses=["10.0.0.1"]), "other_numbers: LiveKit"),
    ],
)
async def test_a_trunk_in_the_way_is_named_and_nothing_is_changed(
    theirs: SIPInboundTrunkInfo, said: str
) -> None:
    sip = MemorySip()
    identifier = await sip.create(Kind.INBOUND, theirs)
    shop = setup(trunks=[{**LOCAL, "other_numbers": "default"}], numbers=[{"number": "+15550100"}])
    with pytest.raises(SipError) as caught:
        await brought_to(sip, shop)
    assert said in str(caught.value)
    assert f"lk sip inbound delete {identifier}" in str(caught.value)
    assert sip.changes == 1


async def test_a_rule_of_others_on_our_trunk_is_named() -> None:
    sip = MemorySip()
    shop = setup(trunks=[LOCAL], numbers=[{"number": "+15550100"}])
    await brought_to(sip, shop)
    objects = await sip.read()
    [rule] = objects.rules
    await sip.delete(Kind.RULE, rule.sip_dispatch_rule_id)
    await sip.create(Kind.RULE, SIPDispatchRuleInfo(name="hand", trunk_ids=rule.trunk_ids))
    with pytest.raises(SipError, match="takes the calls of a trunk of this file"):
        await brought_to(sip, shop)


async def test_a_plan_shows_no_password() -> None:
    sip = MemorySip()
    line = {**LOCAL, "inbound_username": "in", "inbound_password": "s3cret-1"}
    numbers = [{"number": "+15550100"}]
    first = await brought_to(sip, setup(trunks=[line], numbers=numbers))
    changed = setup(trunks=[{**line, "inbound_password": "s3cret-2"}], numbers=numbers)
    second = await brought_to(sip, changed)
    assert [*second.changes[0].changes] == ["auth_password"]
    assert "s3cret" not in f"{first}{second}{first!r}{second!r}"


async def test_ten_thousand_numbers_are_one_trunk() -> None:
    sip = MemorySip()
    numbers = [{"number": f"+1555{n:07}"} for n in range(10_000)]
    plan = await brought_to(sip, setup(trunks=[LOCAL], numbers=numbers))
    assert [step.action for step in plan.changes] == [Action.CREATE] * 2
    assert await answering(sip, "+15550009999") == "default"


ASSISTANTS = st.sampled_from(["default", "tea", "night"])
TRUNKS = ("one", "two")


@st.composite
def setups(draw: st.DrawFn) -> PhoneSetup:
    """Draws a file with two lines and up to six numbers."""
    others = draw(st.sampled_from([None, *TRUNKS]))
    trunks = [
        {**LOCAL, "name": name, "other_numbers": "night" if name == others else None}
        for name in TRUNKS
    ]
    chosen = draw(st.sets(st.integers(0, 5)))
    numbers = [
        {
            "number": f"+1555010{n}",
            "trunk": draw(st.sampled_from(TRUNKS)),
            "assistant": draw(ASSISTANTS),
        }
        for n in sorted(chosen)
    ]
    return setup(trunks=trunks, numbers=numbers)


def expected(phone: PhoneSetup, called: str) -> str:
    number = phone.find(called)
    others = [trunk.other_numbers for trunk in phone.trunks if trunk.other_numbers]
    return number.assistant if number else next(iter(others), "dropped")


@given(st.lists(setups(), min_size=1, max_size=4), st.integers(0, 12))
@settings(max_examples=200)
async def test_any_file_can_follow_any_other_even_after_a_failure(
    files: list[PhoneSetup], fails_after: int
) -> None:
    sip = MemorySip()
    for phone in files:
        sip.fails_after = sip.changes + fails_after
        try:
            await brought_to(sip, phone)
        except SipError:
            sip.fails_after = None
            await brought_to(sip, phone)
        sip.fails_after = None
        plan = make_plan(await sip.read(), wanted_objects(phone, AGENT), AGENT)
        assert [*plan.changes] == []
        assert [*plan.conflicts] == []
        for n in range(7):
            assert await answering(sip, f"1555010{n}") == expected(phone, f"+1555010{n}")


async def test_a_failed_step_is_named() -> None:
    sip = MemorySip()
    sip.fails_after = 1
    plan = make_plan(
        await sip.read(),
        wanted_objects(setup(trunks=[LOCAL], numbers=[{"number": "100"}]), AGENT),
        AGENT,
    )
    done: list[str] = []
    with pytest.raises(SipError, match="dispatch rule main/default: it is away"):
        await apply_plan(plan, sip, lambda step: done.append(step.name))
    assert done == ["main/default"]
