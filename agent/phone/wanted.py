"""Decides which SIP objects a telephone's file asks for. Pure.

LiveKit compares a called number with those of a trunk whether or not it has a plus sign, but with
those of a rule to the letter. So each assistant of a line has a trunk of its own with its numbers,
and one rule for all that comes in on it.
"""

from collections.abc import Iterator, Mapping, Sequence

from google.protobuf.duration_pb2 import Duration
from livekit.protocol.agent_dispatch import RoomAgentDispatch
from livekit.protocol.room import RoomConfiguration
from livekit.protocol.sip import (
    SIPCodec,
    SIPDispatchRule,
    SIPDispatchRuleCallee,
    SIPDispatchRuleInfo,
    SIPInboundTrunkInfo,
    SIPMediaConfig,
    SIPOutboundTrunkInfo,
)

from agent.dispatch import Dispatch
from agent.phone.caller import HEADER
from agent.phone.objects import SipObjects, mark_of
from llm_router.voice.phone.rooms import ROOM_PREFIX
from llm_router.voice.phone.setup import Media, PhoneSetup, Trunk

OTHERS = "*"
_RATES = {"G722": 8000, "PCMU": 8000, "PCMA": 8000}
"""Clock rates as RTP has them; that of G.722 is 8000 by an old mistake (RFC 3551)."""


def wanted_objects(setup: PhoneSetup, agent_name: str) -> SipObjects:
    """Returns the objects by which calls reach the agent of this name, and calls go out.

    The `trunk_ids` of rules are the names of trunks, whose ids the server chooses.
    """
    mark = mark_of(agent_name)
    inbound, rules = [], []
    for trunk in setup.trunks:
        for name, assistant, numbers in _groups(setup, trunk):
            inbound.append(_inbound(name, trunk, numbers, setup.media, mark))
            rules.append(_rule(name, trunk, assistant, agent_name, mark))
    outbound = [
        _outbound(trunk, setup.caller_ids(trunk)[0], setup.media, mark)
        for trunk in setup.trunks
        if trunk.address
    ]
    return SipObjects(inbound, outbound, rules)


def _groups(setup: PhoneSetup, trunk: Trunk) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Yields the name, the assistant and the numbers of each trunk that LiveKit needs for one."""
    numbers: dict[str, list[str]] = {}
    for each in setup.numbers_of(trunk):
        numbers.setdefault(each.assistant, []).append(each.number)
    for assistant, own in sorted(numbers.items()):
        yield f"{trunk.name}/{assistant}", assistant, sorted(own)
    if trunk.other_numbers:
        yield f"{trunk.name}/{OTHERS}", trunk.other_numbers, ()


def _inbound(
    name: str, trunk: Trunk, numbers: Sequence[str], media: Media, mark: str
) -> SIPInboundTrunkInfo:
    password = trunk.inbound_password
    return SIPInboundTrunkInfo(
        name=name,
        metadata=mark,
        numbers=numbers,
        allowed_addresses=sorted(trunk.allowed_addresses),
        auth_username=trunk.inbound_username or "",
        auth_password=password.get_secret_value() if password else "",
        headers_to_attributes=_headers(trunk),
        ringing_timeout=_duration(trunk.ring_for),
        max_call_duration=_duration(trunk.max_minutes * 60),
        media=_media(media),
    )


def _outbound(trunk: Trunk, caller_id: str, media: Media, mark: str) -> SIPOutboundTrunkInfo:
    return SIPOutboundTrunkInfo(
        name=trunk.name,
        metadata=mark,
        address=trunk.address or "",
        transport=f"SIP_TRANSPORT_{trunk.transport.upper()}",
        numbers=[caller_id],
        auth_username=trunk.username or "",
        auth_password=trunk.password.get_secret_value() if trunk.password else "",
        headers_to_attributes=_headers(trunk),
        media=_media(media),
    )


def _rule(
    name: str, trunk: Trunk, assistant: str, agent_name: str, mark: str
) -> SIPDispatchRuleInfo:
    agent = RoomAgentDispatch(
        agent_name=agent_name, metadata=Dispatch(assistant=assistant).to_metadata()
    )
    callee = SIPDispatchRuleCallee(room_prefix=ROOM_PREFIX, randomize=True)
    return SIPDispatchRuleInfo(
        name=name,
        metadata=mark,
        trunk_ids=[name],
        rule=SIPDispatchRule(dispatch_rule_callee=callee),
        hide_phone_number=trunk.hide_callers,
        room_config=RoomConfiguration(agents=[agent]),
    )


def _headers(trunk: Trunk) -> Mapping[str, str]:
    return {name: f"{HEADER}{name.lower()}" for name in trunk.headers}


def _media(media: Media) -> SIPMediaConfig:
    return SIPMediaConfig(
        only_listed_codecs=bool(media.codecs),
        codecs=[SIPCodec(name=name, rate=_RATES[name]) for name in media.codecs],
        encryption=f"SIP_MEDIA_ENCRYPT_{media.encryption.upper()}",
        media_timeout=_duration(media.timeout) if media.timeout else None,
    )


def _duration(seconds: float) -> Duration:
    whole = round(seconds * 1000)
    return Duration(seconds=whole // 1000, nanos=whole % 1000 * 1_000_000)
