"""Decides which trunk and which rule take a call, as livekit-server 1.13.5 does. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from livekit.protocol.sip import SIPDispatchRuleInfo, SIPInboundTrunkInfo

from agent.phone.objects import SipObjects
from llm_router.voice.phone.numbers import comparable


@dataclass(frozen=True, slots=True)
class Match:
    """The trunk and the rule that take a call; without a rule, why it is dropped."""

    trunk: SIPInboundTrunkInfo | None
    rule: SIPDispatchRuleInfo | None
    reasons: Sequence[str] = ()


def match_call(objects: SipObjects, called: str, calling: str, source: str) -> Match:
    """Returns what a call to a number, from a number, at an IP address comes in on."""
    reasons = []
    specific: list[SIPInboundTrunkInfo] = []
    default: list[SIPInboundTrunkInfo] = []
    for trunk in objects.inbound:
        has_number = comparable(called) in {comparable(one) for one in trunk.numbers}
        if trunk.numbers and not has_number:
            continue
        if refusal := _refusal(trunk, calling, source):
            reasons.append(f"trunk {_name(trunk)}: {refusal}")
        else:
            (specific if has_number else default).append(trunk)
    candidates = specific or default
    if len(candidates) > 1:
        names = ", ".join(map(_name, candidates))
        return Match(None, None, [f"LiveKit finds several trunks, and takes none: {names}"])
    if not candidates:
        return Match(None, None, reasons or [f"no trunk has the number {called}"])
    [found] = candidates
    rules = sorted(_rules(objects, found, called, calling), key=lambda rule: not rule.trunk_ids)
    if not rules:
        return Match(found, None, [f"no dispatch rule is for trunk {_name(found)}"])
    return Match(found, rules[0])


def _refusal(trunk: SIPInboundTrunkInfo, calling: str, source: str) -> str:
    allowed = {comparable(one) for one in trunk.allowed_numbers}
    if allowed and comparable(calling) not in allowed:
        return f"takes no calls from the number {calling}"
    if trunk.allowed_addresses and not any(_covers(one, source) for one in trunk.allowed_addresses):
        return f"takes no calls from the address {source}; it is not in allowed_addresses"
    return ""


def _covers(mask: str, source: str) -> bool:
    try:
        return ip_address(source) in ip_network(mask, strict=False)
    except ValueError:
        return False


def _rules(
    objects: SipObjects, trunk: SIPInboundTrunkInfo, called: str, calling: str
) -> Iterator[SIPDispatchRuleInfo]:
    for rule in objects.rules:
        if rule.trunk_ids and trunk.sip_trunk_id not in rule.trunk_ids:
            continue
        if rule.inbound_numbers and calling not in rule.inbound_numbers:
            continue
        if rule.numbers and called not in rule.numbers:
            continue
        yield rule


def _name(trunk: SIPInboundTrunkInfo) -> str:
    return f"{trunk.name or 'without a name'} ({trunk.sip_trunk_id})"
