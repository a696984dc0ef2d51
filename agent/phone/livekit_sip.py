"""Asks LiveKit's server for its SIP objects, and changes them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import aiohttp
from google.protobuf.message import DecodeError
from livekit import api

from agent.livekit_api import open_api
from agent.phone.objects import Kind, SipError, SipObjects, identifier_of

_TIMEOUT = 30.0
"""Seconds for one request: ten thousand numbers take some."""
_MAX_SENTENCE = 500

NO_REDIS = (
    "livekit-server has no Redis, so it has no telephones: start one, and name it as `redis:` in"
    " the configurations of livekit-server and livekit-sip, the same in both"
)
NO_SERVICE = (
    "no SIP service answers LiveKit (`no response from servers`): start livekit-sip with the Redis"
    " and the keys that livekit-server has"
)


class LiveKitSip:
    """The SIP objects of a LiveKit server; use it in `async with`. It is a `SipApi`."""

    def __init__(self, url: str, api_key: str, api_secret: str) -> None:
        self._address = url, api_key, api_secret

    async def __aenter__(self) -> Self:
        self._api = open_api(*self._address)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._api.aclose()

    async def read(self) -> SipObjects:
        async with explained(self._address[0]):
            sip = self._api.sip
            inbound = await sip.list_inbound_trunk(api.ListSIPInboundTrunkRequest())
            outbound = await sip.list_outbound_trunk(api.ListSIPOutboundTrunkRequest())
            rules = await sip.list_dispatch_rule(api.ListSIPDispatchRuleRequest())
        return SipObjects(inbound.items, outbound.items, rules.items)

    async def create(self, kind: Kind, message: Any) -> str:
        sip = self._api.sip
        async with explained(self._address[0]):
            made: Any
            if kind is Kind.INBOUND:
                wanted_in = api.CreateSIPInboundTrunkRequest(trunk=message)
                made = await sip.create_inbound_trunk(wanted_in)
            elif kind is Kind.OUTBOUND:
                wanted_out = api.CreateSIPOutboundTrunkRequest(trunk=message)
                made = await sip.create_outbound_trunk(wanted_out)
            else:
                wanted_rule = api.CreateSIPDispatchRuleRequest(dispatch_rule=message)
                made = await sip.create_dispatch_rule(wanted_rule)
        return identifier_of(made)

    async def replace(self, kind: Kind, identifier: str, message: Any) -> None:
        sip = self._api.sip
        async with explained(self._address[0]):
            if kind is Kind.INBOUND:
                await sip.update_inbound_trunk(identifier, message)
            elif kind is Kind.OUTBOUND:
                await sip.update_outbound_trunk(identifier, message)
            else:
                await sip.update_dispatch_rule(identifier, message)

    async def delete(self, kind: Kind, identifier: str) -> None:
        sip = self._api.sip
        async with explained(self._address[0]):
            if kind is Kind.RULE:
                wanted = api.DeleteSIPDispatchRuleRequest(sip_dispatch_rule_id=identifier)
                await sip.delete_dispatch_rule(wanted)
            else:
                await sip.delete_trunk(api.DeleteSIPTrunkRequest(sip_trunk_id=identifier))


@asynccontextmanager
async def explained(url: str) -> AsyncIterator[None]:
    """Ends the block in time, and raises LiveKit's errors as SipError in our words."""
    try:
        async with asyncio.timeout(_TIMEOUT):
            yield
    except (aiohttp.ClientError, TimeoutError):
        raise SipError(
            f"nothing answers at {url}: start livekit-server there, or correct LIVEKIT_URL"
        ) from None
    except DecodeError:
        raise SipError(f"the server at {url} is not LiveKit: correct LIVEKIT_URL") from None
    except api.ServerError as error:
        raise SipError(explain(error)) from None


def explain(error: api.ServerError) -> str:
    """Says what an error of LiveKit means, and what to do about it."""
    message = " ".join(error.message.split())[:_MAX_SENTENCE]
    if "redis required" in message:
        return NO_REDIS
    if "no response from servers" in message:
        return NO_SERVICE
    if error.status in {401, 403}:
        return (
            "LiveKit refuses the keys: LIVEKIT_API_KEY and LIVEKIT_API_SECRET must be a pair from"
            " the configuration of livekit-server"
        )
    return f"LiveKit refuses it: {message} ({error.code})"
