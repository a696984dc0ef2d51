"""Describes the SIP objects of a LiveKit server: trunks and dispatch rules, and which are ours.

Objects are LiveKit's own messages. Those that Patchbay makes have a mark in their metadata, so that
it never changes or deletes one that it has not made.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from livekit.protocol.sip import SIPDispatchRuleInfo, SIPInboundTrunkInfo, SIPOutboundTrunkInfo

MASK = "**********"
"""Text that is shown for a password."""
_VOLATILE = frozenset(
    {"sip_trunk_id", "sip_dispatch_rule_id", "created_at", "updated_at", "media_encryption"}
)
"""Fields that the server sets; the last is the older form of one in `media`."""
_UNORDERED = frozenset({"numbers", "allowed_addresses"})
_SECRETS = frozenset({"auth_password"})


class Kind(StrEnum):
    """A kind of object, as people call it."""

    INBOUND = "trunk for calls in"
    OUTBOUND = "trunk for calls out"
    RULE = "dispatch rule"


@dataclass(frozen=True, slots=True)
class SipObjects:
    """All objects of a server, or all that there should be."""

    inbound: Sequence[SIPInboundTrunkInfo] = ()
    outbound: Sequence[SIPOutboundTrunkInfo] = ()
    rules: Sequence[SIPDispatchRuleInfo] = ()

    def of(self, kind: Kind) -> Sequence[Any]:
        by_kind = {Kind.INBOUND: self.inbound, Kind.OUTBOUND: self.outbound, Kind.RULE: self.rules}
        return by_kind[kind]


class SipApi(Protocol):
    """The server's side. Every method raises SipError."""

    async def read(self) -> SipObjects: ...

    async def create(self, kind: Kind, message: Any) -> str:
        """Makes an object and returns its id."""
        ...

    async def replace(self, kind: Kind, identifier: str, message: Any) -> None: ...

    async def delete(self, kind: Kind, identifier: str) -> None: ...


class SipError(Exception):
    """LiveKit's SIP service cannot do its part. The message says what to do next, and no secret."""


def mark_of(agent_name: str) -> str:
    """Returns the metadata of objects that belong to the workers of this name."""
    return json.dumps({"patchbay": agent_name})


def marked_agent(metadata: str) -> str:
    """Returns the name of the agent that an object was made for; empty for one of others."""
    try:
        return str(json.loads(metadata)["patchbay"])
    except (ValueError, KeyError, TypeError):
        return ""


def identifier_of(message: Any) -> str:
    """Returns the id of an object."""
    if isinstance(message, SIPDispatchRuleInfo):
        return message.sip_dispatch_rule_id
    return str(message.sip_trunk_id)


def plain(message: Message) -> dict[str, Any]:
    """Returns the fields that a person sets, as JSON values; the order of numbers says nothing."""
    values = MessageToDict(message, preserving_proto_field_name=True)
    return {
        name: sorted(value) if name in _UNORDERED else value
        for name, value in values.items()
        if name not in _VOLATILE and value not in ({}, [], "")
    }


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> Mapping[str, tuple[Any, Any]]:
    """Returns each field that differs with both values; a password is masked."""
    found = {}
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old != new:
            found[name] = (_masked(name, old), _masked(name, new))
    return found


def _masked(name: str, value: Any) -> Any:
    return MASK if name in _SECRETS and value else value
