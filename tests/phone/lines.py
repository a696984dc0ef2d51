"""Telephone lines at LiveKit, made for one test: numbers that lead to the agent, and ways out."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from livekit import api

from agent.dispatch import Dispatch
from agent.phone.livekit_sip import LiveKitSip
from agent.phone.objects import Kind, SipObjects, identifier_of
from agent.phone.provision import apply_plan, make_plan
from agent.phone.wanted import wanted_objects
from deploy.services import LiveKit
from llm_router.voice.phone.rooms import ROOM_PREFIX
from llm_router.voice.phone.setup_file import read_phone


@asynccontextmanager
async def opened_api(livekit: LiveKit) -> AsyncIterator[api.LiveKitAPI]:
    async with api.LiveKitAPI(livekit.url, livekit.key, livekit.secret) as server:
        yield server


@asynccontextmanager
async def inbound_line(
    livekit: LiveKit,
    number: str,
    agent_name: str,
    *,
    trunk: Mapping[str, Any] | None = None,
    dispatch: Dispatch | None = None,
) -> AsyncIterator[str]:
    """Leads calls to a number to the agent, in rooms of their own; yields the id of its trunk."""
    metadata = (dispatch or Dispatch()).to_metadata()
    agent = api.RoomAgentDispatch(agent_name=agent_name, metadata=metadata)
    callee = api.SIPDispatchRuleCallee(room_prefix=ROOM_PREFIX, randomize=True)
    async with opened_api(livekit) as server:
        info = api.SIPInboundTrunkInfo(name=number, numbers=[number], **(trunk or {}))
        made = await server.sip.create_inbound_trunk(api.CreateSIPInboundTrunkRequest(trunk=info))
        rule = await server.sip.create_dispatch_rule(
            api.CreateSIPDispatchRuleRequest(
                dispatch_rule=api.SIPDispatchRuleInfo(
                    name=number,
                    trunk_ids=[made.sip_trunk_id],
                    rule=api.SIPDispatchRule(dispatch_rule_callee=callee),
                    room_config=api.RoomConfiguration(agents=[agent]),
                )
            )
        )
        try:
            yield made.sip_trunk_id
        finally:
            await server.sip.delete_dispatch_rule(
                api.DeleteSIPDispatchRuleRequest(sip_dispatch_rule_id=rule.sip_dispatch_rule_id)
            )
            await server.sip.delete_trunk(api.DeleteSIPTrunkRequest(sip_trunk_id=made.sip_trunk_id))


@asynccontextmanager
async def file_lines(livekit: LiveKit, agent_name: str, text: str) -> AsyncIterator[None]:
    """Makes the lines of a telephone's file beside those that there are."""
    setup = read_phone(text, "phone.toml", {})
    async with LiveKitSip(livekit.url, livekit.key, livekit.secret) as sip:
        before = await sip.read()
        wanted = wanted_objects(setup, agent_name)
        await apply_plan(make_plan(SipObjects(), wanted, agent_name), sip)
        try:
            yield
        finally:
            after = await sip.read()
            for kind in (Kind.RULE, Kind.INBOUND, Kind.OUTBOUND):
                known = [identifier_of(each) for each in before.of(kind)]
                for made in map(identifier_of, after.of(kind)):
                    if made not in known:
                        await sip.delete(kind, made)


@asynccontextmanager
async def outbound_line(
    livekit: LiveKit, address: str, caller_id: str, *, name: str = "", **trunk: Any
) -> AsyncIterator[str]:
    """Lets calls out to a host and port, in place of the trunk of that name; yields its id."""
    async with opened_api(livekit) as server:
        stored = await server.sip.list_outbound_trunk(api.ListSIPOutboundTrunkRequest())
        for other in stored.items:
            if other.name == name:
                old = api.DeleteSIPTrunkRequest(sip_trunk_id=other.sip_trunk_id)
                await server.sip.delete_trunk(old)
        info = api.SIPOutboundTrunkInfo(
            name=name or address, address=address, numbers=[caller_id], **trunk
        )
        made = await server.sip.create_outbound_trunk(api.CreateSIPOutboundTrunkRequest(trunk=info))
        try:
            yield made.sip_trunk_id
        finally:
            await server.sip.delete_trunk(api.DeleteSIPTrunkRequest(sip_trunk_id=made.sip_trunk_id))
