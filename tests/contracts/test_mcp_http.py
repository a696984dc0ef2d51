"""MCP over HTTP besides its tools: keys, sessions, methods, origins, bodies."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from llm_router.connections.access import SYSTEM, RouteGroup
from llm_router.gateway.mcp.http import Sessions
from llm_router.gateway.mcp.server import build_manager
from llm_router.store.api_keys import KeyLimits
from tests.contracts.databases import Files
from tests.contracts.gateway import HOST, Gateway, gateway_on, problem

ACCEPT = {"Accept": "application/json, text/event-stream"}
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


async def send(
    gateway: Gateway, who: str, method: str = "POST", json: Any = PING, **headers: str
) -> Any:
    sent: dict[str, str] = {**ACCEPT, **{n.replace("_", "-"): v for n, v in headers.items()}}
    if who in gateway.keys:
        sent["Authorization"] = f"Bearer {gateway.keys[who]}"
    return await gateway.client.request(method, "/mcp", json=json, headers=sent)


async def test_a_request_without_a_valid_key_learns_where_the_resource_describes_itself(
    gateway: Gateway,
) -> None:
    for headers in ({}, {"Authorization": "Bearer pb_wrong"}, {"x_api_key": "pb_wrong"}):
        answer = await send(gateway, "nobody", **headers)
        problem(answer, 401, "unauthenticated")
        url = f"{HOST}/.well-known/oauth-protected-resource/mcp"
        assert answer.headers["www-authenticate"] == f'Bearer resource_metadata="{url}"'
    for path in ("", "/mcp"):
        metadata = await gateway.client.get(f"/.well-known/oauth-protected-resource{path}")
        assert metadata.json()["resource"] == f"{HOST}/mcp"


async def test_both_forms_of_a_key_reach_the_same_check(gateway: Gateway) -> None:
    assert (await send(gateway, "viewer")).status_code == 200
    assert (await send(gateway, "nobody", x_api_key=gateway.keys["viewer"])).status_code == 200


async def test_a_key_for_other_routes_is_refused(gateway: Gateway) -> None:
    allowed: list[tuple[RouteGroup, int]] = [("chat", 403), ("mcp", 200)]
    for group, status in allowed:
        _, gateway.keys["limited"] = await gateway.services.keys.add(
            SYSTEM, group, "operator", limits=KeyLimits(routes=(group,))
        )
        assert (await send(gateway, "limited")).status_code == status


async def test_a_session_that_is_unknown_is_a_404_so_that_its_client_begins_anew(
    gateway: Gateway,
) -> None:
    answer = await send(gateway, "viewer", mcp_session_id="of-another-server")
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "Session not found"
    # The protocol of 2026-07-28 has no sessions: there the header says nothing.
    modern = await send(
        gateway, "viewer", mcp_session_id="x", mcp_protocol_version="2026-07-28", mcp_method="ping"
    )
    assert "Session" not in modern.text


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_methods_that_are_not_served_are_a_405(gateway: Gateway, method: str) -> None:
    answer = await send(gateway, "viewer", method)
    problem(answer, 405)
    assert answer.headers["allow"] == "POST"
    assert (await send(gateway, "nobody", method)).status_code == 401


async def test_pages_of_other_sites_may_ask_only_where_they_are_listed(files: Files) -> None:
    async with gateway_on(
        await files.new(), allowed_origins=("https://tools.example.org",)
    ) as gateway:
        for origin in (HOST, "https://tools.example.org"):
            assert (await send(gateway, "viewer", origin=origin)).status_code == 200
        problem(
            await send(gateway, "viewer", origin="http://evil.example"), 403, "origin-not-allowed"
        )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 5_000,
        b'{"jsonrpc": "2.0"}',
        b'{"id": 1e999}',
        b"\xff",
        b'"\\ud800"',
    ],
)
@pytest.mark.parametrize("version", [{}, {"mcp-protocol-version": "2026-07-28"}])
async def test_what_is_no_message_is_a_400(
    gateway: Gateway, body: bytes, version: Mapping[str, str]
) -> None:
    headers = {**ACCEPT, **version, "x-api-key": gateway.keys["viewer"]}
    headers["content-type"] = "application/json"
    answer = await gateway.client.post("/mcp", content=body, headers=headers)
    assert answer.status_code in {400, 202}, answer.text


async def test_a_body_beyond_the_limit_is_a_413(gateway: Gateway) -> None:
    problem(await send(gateway, "viewer", json=["x" * 2_000_001]), 413, "body-too-large")


async def test_what_keeps_it_from_serving_is_raised_and_the_next_request_tries_again(
    gateway: Gateway,
) -> None:
    @asynccontextmanager
    async def failing(_: Any) -> AsyncIterator[None]:
        raise OSError("no descriptor left")
        yield

    broken, whole = (build_manager(gateway.services, lambda _: SYSTEM) for _ in range(2))
    broken.app.lifespan = failing
    managers = [broken, whole]

    async def build() -> StreamableHTTPSessionManager:
        return managers.pop(0)

    sessions = Sessions(build)
    async with asyncio.timeout(10):
        with pytest.raises(OSError, match="no descriptor left"):
            await sessions.manager()
        assert await sessions.manager() is whole
        assert await sessions.manager() is whole
        await sessions.aclose()
