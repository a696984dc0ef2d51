"""A real MCP server with the tools of a small shop, which a test can let die and come back."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import uvicorn
from mcp.server import MCPServer
from mcp_types import ToolAnnotations
from starlette.applications import Starlette

from llm_router.clock import checkpoint


class ToolServer:
    """Serves the tools at `url`, between `start` and `die`."""

    def __init__(self) -> None:
        self.booked: list[str] = []
        self.works = asyncio.Event()
        self.works.set()
        self.booking = asyncio.Event()
        self._port = 0
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://localhost:{self._port}/mcp"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.die()

    async def start(self) -> None:
        """Begins to serve; a second time, at the same address."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", self._port))
        self._port = sock.getsockname()[1]
        config = uvicorn.Config(
            self._app(), log_config=None, ws="none", timeout_graceful_shutdown=0
        )
        self._server = uvicorn.Server(config)
        self._server.capture_signals = _no_signals  # type: ignore[method-assign]  # the test's own
        self._serving = asyncio.create_task(self._server.serve([sock]))
        while not self._server.started:
            await checkpoint()

    async def die(self) -> None:
        """Ends at once, with requests under way."""
        if self._server and self._serving:
            self._server.should_exit = self._server.force_exit = True
            for connection in [*self._server.server_state.connections]:
                connection.transport.abort()
            await self._serving
            self._server = None

    def _app(self) -> Starlette:
        shop = MCPServer("shop")

        @shop.tool(annotations=ToolAnnotations(read_only_hint=True))
        async def stock(item: str) -> str:
            """Tells how many of an item there are."""
            return f"There are 3 of {item}.\n\n" + "And more. " * 500

        @shop.tool()
        async def book(day: str) -> str:
            """Books a table."""
            self.booked.append(day)
            self.booking.set()
            await self.works.wait()
            return f"Booked for {day}."

        @shop.tool("book.table")
        async def book_table(day: str) -> str:
            """Books a table; its name is none that every model takes."""
            self.booked.append(day)
            return f"Booked for {day}."

        @shop.tool()
        async def refuse() -> str:
            """Never works."""
            raise ValueError("closed")

        @shop.tool()
        async def secret_tool() -> str:
            """Was not chosen."""
            return ""

        return shop.streamable_http_app()


@contextmanager
def _no_signals() -> Iterator[None]:
    yield
