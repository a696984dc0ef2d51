"""Runs tools of MCP servers: chosen one by one, guarded, bounded, and never twice if they change.

A server that cannot be reached delays no word: its tools appear when it answers. One that dies in
the middle of a call fails the tool that is running; the next use connects anew.
"""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

import httpx2
from mcp import MCPError
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import INVALID_PARAMS, METHOD_NOT_FOUND, CallToolResult, TextContent
from mcp_types import Tool as Listed

from agent.toolbox.arguments import ArgumentCheck
from agent.toolbox.effects import Effects, NotDoneError
from agent.toolbox.errors import ToolError
from agent.toolbox.secrets import Secrets
from agent.toolbox.tool import DeclaredTool
from llm_router.connections.json_shape import is_within
from llm_router.errors import AddressRefusedError, UnreachableError
from llm_router.net.bodies import ASK_FOR_PLAIN, check_encoding
from llm_router.net.environment import tls_context
from llm_router.net.guard import AddressGuard
from llm_router.net.transports import EnvironmentTransport
from llm_router.voice.tools import McpServer

_MAX_BODY = 4 * 1024 * 1024
"""Bytes of one response that are read; the SDK would read it without end."""
_MAX_DESCRIPTION = 2_000  # characters
_MAX_PAGES = 20
"""Pages of a server's list of tools that are read."""
_SCHEMA = {"values": 1_000, "levels": 20}
_UNSAFE = re.compile(r"[^a-zA-Z0-9_-]")
_MAX_NAME = 64
_logger = logging.getLogger("patchbay.tools")


class McpTools:
    """Makes and runs the chosen tools of one MCP server in one call. Close it at the end."""

    def __init__(
        self,
        server: McpServer,
        guard: AddressGuard,
        effects: Effects,
        secrets: Secrets | None = None,
    ) -> None:
        self.server = server
        self._secrets = secrets or Secrets()
        self._guard = guard
        self._effects = effects
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()

    async def tools(self) -> list[DeclaredTool]:
        """Connects, and returns the tools that were chosen.

        Raises ToolError if the server gives no list of them in time; its message is for logs.
        """
        client = await self._connected()
        try:
            async with asyncio.timeout(self.server.timeout):
                listed = await _list(client)
        except Exception as error:  # whatever a foreign server and its SDK come up with
            await self.aclose()
            raise ToolError(f"it gave no list of tools ({_kind(error)})") from error
        by_name = {tool.name: tool for tool in listed}
        if missing := [name for name in self.server.tools if name not in by_name]:
            _logger.warning("MCP server %s has no tool %s", self.server.name, ", ".join(missing))
        chosen = [by_name[name] for name in self.server.tools if name in by_name]
        return [self._tool(tool) for tool in chosen if is_within(tool.input_schema, **_SCHEMA)]

    async def aclose(self) -> None:
        if self._connection:
            connection, self._connection = self._connection, None
            await connection.aclose()

    def _tool(self, listed: Listed) -> DeclaredTool:
        hints = listed.annotations
        changes = not (hints and hints.read_only_hint)
        name = _UNSAFE.sub("_", listed.name)[:_MAX_NAME]  # as the conversation has it
        if not changes:
            self._effects.only_reads(name)

        parameters = {"type": "object", "properties": {}, **listed.input_schema}
        check = ArgumentCheck(name, parameters)

        async def run(arguments: Mapping[str, Any]) -> str:
            await check.require(arguments)
            if not changes:
                return await self._call(listed.name, arguments)

            async def call(_: str) -> str:
                return await self._call(listed.name, arguments)

            return await self._effects.once(name, arguments, call)

        return DeclaredTool(
            id=name,
            description=(listed.description or listed.name)[:_MAX_DESCRIPTION],
            parameters=parameters,
            run=run,
        )

    async def _call(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """Calls the tool, and returns the text of its result for the model."""
        self._secrets.require(arguments)
        client = await self._connected()
        within = self.server.timeout
        try:
            async with asyncio.timeout(within):
                result = await client.call_tool(tool, self._secrets.reveal(arguments))
        except MCPError as error:
            if error.error.code in {INVALID_PARAMS, METHOD_NOT_FOUND}:
                raise NotDoneError("its server refused the arguments") from None
            await self._lost(tool, error)
            raise ToolError("its server failed") from None
        except TimeoutError:
            raise ToolError(f"no answer within {within:g} s") from None
        except Exception as error:  # noqa: BLE001  whatever a foreign server and the SDK come up with
            await self._lost(tool, error)
            raise ToolError("its server is gone") from None
        text = self._secrets.hide(_text(result))[: self.server.answer_characters]
        if result.is_error:
            raise ToolError(f"it failed: {text}" if text else "it failed")
        return text or "Done: the answer is empty."

    async def _lost(self, tool: str, error: Exception) -> None:
        _logger.warning("MCP server %s, tool %s: %s", self.server.name, tool, _kind(error))
        await self.aclose()

    async def _connected(self) -> Client:
        async with self._connecting:
            if self._connection and self._connection.is_open:
                return self._connection.client
            await self.aclose()
            connection = _Connection(self.server, self._guard)
            try:
                async with asyncio.timeout(self.server.timeout):
                    await connection.open()
            except AddressRefusedError as refused:
                await connection.aclose()
                _logger.warning("MCP server %s: %s", self.server.name, refused)
                raise NotDoneError("its address may not be called") from None
            except asyncio.CancelledError:  # the call ends while the server hangs
                await connection.aclose()
                raise
            except Exception as error:  # noqa: BLE001  whatever a foreign server and the SDK come up with
                await connection.aclose()
                raise NotDoneError(f"its server cannot be reached ({_kind(error)})") from None
            self._connection = connection
            return connection.client


class _Connection:
    """A session with a server, held open by a task of its own: the SDK's scopes cannot move."""

    client: Client

    def __init__(self, server: McpServer, guard: AddressGuard) -> None:
        self._server = server
        self._guard = guard
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._closing = asyncio.Event()
        self._task = asyncio.create_task(self._hold(), name=f"MCP server {server.name}")

    @property
    def is_open(self) -> bool:
        return not self._task.done()

    async def open(self) -> None:
        """Waits for the session. Raises the reason if it cannot be opened."""
        await asyncio.shield(self._ready)

    async def aclose(self) -> None:
        self._closing.set()
        if not self._ready.done():
            self._task.cancel()
        _, late = await asyncio.wait([self._task], timeout=1.0)
        if late:  # a server that is gone need not be told
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _hold(self) -> None:
        try:
            with suppress(UnreachableError):  # raised again by the request if it needs it
                await asyncio.to_thread(tls_context)  # takes tens of milliseconds
            async with (
                httpx2.AsyncClient(
                    transport=_Bounded(EnvironmentTransport(self._guard)),
                    headers={**self._server.headers, **ASK_FOR_PLAIN},
                    timeout=self._server.timeout,
                    trust_env=False,
                ) as http,
                Client(streamable_http_client(self._server.url, http_client=http)) as client,
            ):
                self.client = client
                self._ready.set_result(None)
                await self._closing.wait()
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(_cause(error))
                self._ready.exception()
            if isinstance(error, asyncio.CancelledError):
                raise


class _Bounded(httpx2.AsyncBaseTransport):
    """Passes on responses of bounded size that are not compressed."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        if check_encoding(response):
            await response.aclose()
            raise httpx2.DecodingError("the answer is compressed, which was not asked for")
        response.stream = _BoundedStream(response)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, response: httpx2.Response) -> None:
        assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101  an async transport has no other
        self._inner = response.stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self._inner:
            size += len(piece)
            if size > _MAX_BODY:
                raise httpx2.ReadError(f"the answer has more than {_MAX_BODY:,} bytes")
            yield piece

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _list(client: Client) -> list[Listed]:
    tools: list[Listed] = []
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        tools += page.tools
        cursor = page.next_cursor
        if not cursor:
            break
    return tools


def _text(result: CallToolResult) -> str:
    texts = [part.text for part in result.content if isinstance(part, TextContent)]
    if not texts and result.structured_content is not None:
        texts = [json.dumps(result.structured_content, ensure_ascii=False)]
    return " ".join(" ".join(texts).split())


def _cause(error: BaseException) -> Exception:
    """Returns the first cause in the groups of exceptions that the SDK's tasks raise."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, Exception) else ConnectionError("it was closed")


def _kind(error: BaseException) -> str:
    """Returns the kind of a failure for logs: its text may repeat the address, or words."""
    return type(_cause(error)).__name__
