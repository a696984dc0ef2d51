"""LiveKit's server API as calls use it: a request that fails is not sent again."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from livekit import api

from agent.livekit_api import open_api

CLOUD = "http://shop.livekit.cloud"
"""A name of LiveKit Cloud, for which its client looks for other regions after a failure."""


class Here(AbstractResolver):
    """Leads every name to this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        """Holds nothing."""


@asynccontextmanager
async def failing_cloud() -> AsyncIterator[tuple[str, list[str], aiohttp.ClientSession]]:
    """Runs a server that fails at each request; yields its address, the requests, a session."""
    asked: list[str] = []

    async def fail(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({"code": "internal", "msg": "?"}, status=500)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fail)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=Here())) as session:
        try:
            yield f"{CLOUD}:{port}", asked, session
        finally:
            await runner.cleanup()


async def dials(server: api.LiveKitAPI) -> None:
    await server.sip.create_sip_participant(
        api.CreateSIPParticipantRequest(sip_trunk_id="ST_1", wait_until_answered=True)
    )


async def transfers(server: api.LiveKitAPI) -> None:
    await server.sip.transfer_sip_participant(
        api.TransferSIPParticipantRequest(room_name="r", transfer_to="tel:+4930123456")
    )


async def calls_an_agent(server: api.LiveKitAPI) -> None:
    await server.agent_dispatch.create_dispatch(api.CreateAgentDispatchRequest(room="r"))


@pytest.mark.parametrize("act", [dials, transfers, calls_an_agent])
async def test_a_request_to_livekit_cloud_that_fails_is_not_sent_again(act: Any) -> None:
    async with failing_cloud() as (url, asked, session):
        server = open_api(url, "key", "s" * 32, session=session)
        with pytest.raises(api.ServerError):
            await act(server)
        assert len(asked) == 1
        # The client's own way, which this test can tell from ours.
        usual = api.LiveKitAPI(url, "key", "s" * 32, session=session)
        with pytest.raises(api.ServerError):
            await act(usual)
        assert len(asked) > 2
