"""Which trunk and rule take a call: as livekit-server chooses."""

from typing import Any

import pytest
from livekit.protocol.sip import SIPDispatchRuleInfo, SIPInboundTrunkInfo

from agent.phone.matching import match_call
from agent.phone.objects import SipObjects


def trunk(name: str, *numbers: str, **fields: Any) -> SIPInboundTrunkInfo:
    return SIPInboundTrunkInfo(name=name, sip_trunk_id=f"ST_{name}", numbers=numbers, **fields)


def rule(name: str, *trunks: str, **fields: Any) -> SIPDispatchRuleInfo:
    ids = [f"ST_{one}" for one in trunks]
    return SIPDispatchRuleInfo(name=name, trunk_ids=ids, **fields)


SHOP = trunk("shop", "+15550100", allowed_addresses=["10.0.0.0/8", "192.0.2.1"])
REST = trunk("rest", allowed_addresses=["10.0.0.0/8"])
OBJECTS = SipObjects([SHOP, REST], [], [rule("all"), rule("shop", "shop")])


@pytest.mark.parametrize(
    ("called", "source", "expected"),
    [
        ("+15550100", "10.1.2.3", ("shop", "shop")),
        ("1 555 0100", "192.0.2.1", ("shop", "shop")),
        ("+15550101", "10.1.2.3", ("rest", "all")),
    ],
)
def test_a_call_is_taken_by_its_number_and_its_address(
    called: str, source: str, expected: tuple[str, str]
) -> None:
    match = match_call(OBJECTS, called, "", source)
    assert match.trunk
    assert match.rule
    assert (match.trunk.name, match.rule.name) == expected


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        (SipObjects(), "no trunk has the number +15550100"),
        (SipObjects([SHOP]), "no dispatch rule is for trunk shop (ST_shop)"),
        (SipObjects([SHOP], [], [rule("other", "rest")]), "no dispatch rule is for trunk shop"),
        (
            SipObjects([trunk("a", "1"), REST, trunk("b", allowed_addresses=["10.0.0.1"])]),
            "several",
        ),
        (SipObjects([trunk("a", "+15550100", allowed_addresses=["10.9.9.9"])]), "10.0.0.1; it is"),
        (
            SipObjects([trunk("a", "+15550100", allowed_numbers=["+1"])]),
            "from the number +15550123",
        ),
    ],
)
def test_a_dropped_call_has_its_reason(objects: SipObjects, said: str) -> None:
    match = match_call(objects, "+15550100", "+15550123", "10.0.0.1")
    assert match.rule is None
    assert said in match.reasons[0]


def test_rules_may_ask_for_the_numbers_of_both_sides() -> None:
    rules = [
        rule("theirs", "shop", inbound_numbers=["+15550123"], numbers=["+15550100"]),
        rule("others"),
    ]
    objects = SipObjects([SHOP], [], rules)
    for calling, name in (("+15550123", "theirs"), ("+15550124", "others")):
        match = match_call(objects, "+15550100", calling, "10.0.0.1")
        assert match.rule
        assert match.rule.name == name
