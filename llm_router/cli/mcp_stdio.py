"""Serves MCP over stdio: from the database, or by passing each message on to an HTTP process."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
from mcp.client.streamable_http import streamable_http_client
from mcp.server.stdio import stdio_server
from mcp.shared._stream_protocols import ReadStream, WriteStream
from mcp.shared.inbound import (
    MCP_METHOD_HEADER,
    MCP_NAME_HEADER,
    MCP_PROTOCOL_VERSION_HEADER,
    NAME_BEARING_METHODS,
    encode_header_value,
)
from mcp.shared.message import ClientMessageMetadata, SessionMessage
from mcp_types import PROTOCOL_VERSION_META_KEY, JSONRPCResponse

from llm_router.api_client import ApiClient
from llm_router.cli.connect import api_address, api_key, build_services, open_database
from llm_router.connections.access import SYSTEM
from llm_router.gateway.mcp.server import build_server

_ACTOR = replace(SYSTEM, origin="mcp")
"""The right of the process: it can open the database and the keys in it."""
_CONNECT_TIMEOUT = 5.0  # s


async def serve(url: str | None, key_file: Path | None) -> None:
    """Serves until standard input ends.

    With an address (`url`, else PATCHBAY_API_URL) the HTTP process there answers. Raises ApiError
    where it does not, and the errors of `open_database`.
    """
    if address := api_address(url):
        await _pass_on(address, api_key(key_file))
        return
    async with (
        open_database() as (database, vault),
        aclosing(build_services(database, vault)) as services,
        stdio_server() as (received, sent),
    ):
        server = build_server(services, lambda _: _ACTOR)
        await server.run(received, sent, server.create_initialization_options())


async def _pass_on(address: str, key: str) -> None:
    async with ApiClient(address, key) as api:
        await api.request("GET", "/me")  # says now what would be wrong with every request
        url = f"{api.url}/mcp"
    # No limit of its own for answers: the client of MCP has one, and cancels.
    timeout = httpx2.Timeout(None, connect=_CONNECT_TIMEOUT)
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=timeout) as http,
        stdio_server() as (received, sent),
        streamable_http_client(url, http_client=http) as (answers, requests),
    ):
        relay = _Relay()
        answering = asyncio.create_task(relay.answer(answers, sent), name="answers of MCP")
        try:
            await relay.ask(received, requests)
        finally:
            answering.cancel()
            await asyncio.wait([answering])
            await sent.aclose()  # or its writer would wait for more


class _Relay:
    """Passes the messages of one client on, with the headers that HTTP wants beside them."""

    def __init__(self) -> None:
        self._version = ""
        """Of the protocol, once a handshake has settled it; later protocols have none."""

    async def ask(
        self,
        received: ReadStream[SessionMessage | Exception],
        requests: WriteStream[SessionMessage],
    ) -> None:
        async for item in received:
            if isinstance(item, SessionMessage):  # a line that is no message has no answer
                metadata = ClientMessageMetadata(headers=self._headers(item))
                await requests.send(SessionMessage(item.message, metadata=metadata))

    async def answer(
        self, answers: ReadStream[SessionMessage | Exception], sent: WriteStream[SessionMessage]
    ) -> None:
        async for item in answers:
            if isinstance(item, SessionMessage):
                if isinstance(item.message, JSONRPCResponse):
                    self._version = item.message.result.get("protocolVersion") or self._version
                await sent.send(SessionMessage(item.message))

    def _headers(self, item: SessionMessage) -> dict[str, str]:
        params: Mapping[str, Any] = getattr(item.message, "params", None) or {}
        version = (params.get("_meta") or {}).get(PROTOCOL_VERSION_META_KEY)
        if not isinstance(version, str):
            return {MCP_PROTOCOL_VERSION_HEADER: self._version} if self._version else {}
        method = getattr(item.message, "method", "")
        headers = {MCP_PROTOCOL_VERSION_HEADER: version, MCP_METHOD_HEADER: method}
        name = params.get(NAME_BEARING_METHODS.get(method, ""))
        return {**headers, MCP_NAME_HEADER: encode_header_value(name)} if name else headers
