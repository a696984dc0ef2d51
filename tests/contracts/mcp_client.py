"""Asks the API's MCP side with the SDK's own client, in both eras of the protocol."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from fastapi import FastAPI
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, ElicitRequestParams, ElicitResult, TextContent

from tests.contracts.gateway import HOST, Gateway

ERAS = ("legacy", "auto")
"""The client's modes: the handshake of protocols until 2025-11-25, and that of 2026-07-28."""
MODERN = "2026-07-28"


@dataclass
class Asking:
    """A client, and the questions that it was asked back."""

    client: Client
    questions: list[str] = field(default_factory=list)

    async def tools(self) -> list[str]:
        return [tool.name for tool in (await self.client.list_tools(cache_mode="bypass")).tools]

    async def result(self, name: str, **arguments: Any) -> CallToolResult:
        result = await self.client.call_tool(name, arguments)
        assert isinstance(result, CallToolResult)
        return result

    async def texts(self, name: str, **arguments: Any) -> Sequence[str]:
        """Returns the texts of a result that is no error."""
        result = await self.result(name, **arguments)
        assert not result.is_error, result
        return texts_of(result)

    async def error(self, name: str, **arguments: Any) -> str:
        """Returns the text of a result that is an error."""
        result = await self.result(name, **arguments)
        assert result.is_error, result
        [text] = texts_of(result)
        return text

    async def data(self, name: str, **arguments: Any) -> Mapping[str, Any]:
        """Returns the facts of a result, which are the same in both of its forms."""
        result = await self.result(name, **arguments)
        [text] = texts_of(result)
        facts: Mapping[str, Any] = json.loads(text)
        assert result.structured_content == facts
        return facts


def texts_of(result: CallToolResult) -> list[str]:
    return [content.text for content in result.content if isinstance(content, TextContent)]


@asynccontextmanager
async def asking(
    gateway: Gateway,
    who: str,
    era: str = "auto",
    *,
    agrees: bool | None = None,
    app: FastAPI | None = None,
) -> AsyncIterator[Asking]:
    """Opens a client with the key of `who`; `agrees`: its user's answers, None if it asks none."""
    asked: list[str] = []

    async def answer(context: Any, params: ElicitRequestParams) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action="accept", content={"go_ahead": bool(agrees)})

    headers = {"Authorization": f"Bearer {gateway.keys[who]}"}
    transport = httpx2.ASGITransport(app=app or gateway.app)
    async with (
        httpx2.AsyncClient(transport=transport, headers=headers, timeout=60.0) as http,
        Client(
            streamable_http_client(f"{HOST}/mcp", http_client=http),
            mode=era,
            elicitation_callback=None if agrees is None else answer,
        ) as client,
    ):
        yield Asking(client, asked)
