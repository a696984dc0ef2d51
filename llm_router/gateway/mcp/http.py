"""Serves MCP over HTTP at /mcp, to every client with an API key.

There are no sessions: each request stands for itself, so that any of several processes may answer
it. That holds for the protocol of 2026-07-28, which has none, and for older clients.

The SDK is imported for the first request: most processes never get one, and would start a third
later for it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llm_router.connections.access import Actor
from llm_router.gateway.completions.disconnect import run_until_disconnect
from llm_router.gateway.deps import CurrentActor, Services, own_origins
from llm_router.gateway.errors import Problem

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    from llm_router.gateway.mcp.server import Context

PATH = "/mcp"
METADATA_PATH = "/.well-known/oauth-protected-resource"
_ACTOR = "patchbay.actor"
"""Key of the author of a request in its ASGI scope."""
_UNAUTHORIZED = 401
_INVALID_REQUEST = -32600
"""JSON-RPC's code."""


class McpEndpoint:
    """The endpoint of one application, which serves while `running`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._sessions: Sessions | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serves within the block; its end cancels what is in progress. It may run again."""
        self._sessions = sessions = Sessions(self._build)
        try:
            yield
        finally:
            self._sessions = None
            await sessions.aclose()

    async def _build(self) -> "StreamableHTTPSessionManager":
        # In a thread: the loop serves others meanwhile.
        server = await asyncio.to_thread(import_module, "llm_router.gateway.mcp.server")
        manager: StreamableHTTPSessionManager = server.build_manager(self._services, _actor_of)
        return manager

    def add_to(self, app: FastAPI) -> None:
        """Adds the routes. They are in no OpenAPI document, since MCP describes itself."""
        app.add_middleware(_MetadataHint)
        add = app.add_api_route
        add(PATH, self._post, methods=["POST"], include_in_schema=False)
        add(PATH, _refuse, methods=["GET", "DELETE"], include_in_schema=False)
        for path in (METADATA_PATH, METADATA_PATH + PATH):
            add(path, _get_metadata, methods=["GET"], include_in_schema=False)

    async def _post(self, request: Request, actor: CurrentActor) -> Response:
        _require_known_origin(request, self._services)
        if self._sessions is None:
            return _json_rpc_error(503, "The server is stopping")
        manager = await self._sessions.manager()
        if "mcp-session-id" in request.headers and not _is_modern(request):
            # None is ever given out, so this one is of another server: 404 has clients begin anew.
            return _json_rpc_error(404, "Session not found")
        return _Answer(manager, actor, await request.body())


class Sessions:
    """The SDK's side of an endpoint, from its first request on; `build` makes it."""

    def __init__(self, build: "Callable[[], Awaitable[StreamableHTTPSessionManager]]") -> None:
        self._build = build
        self._stop = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self._started: asyncio.Future[StreamableHTTPSessionManager] | None = None

    async def manager(self) -> "StreamableHTTPSessionManager":
        """Returns what answers requests. Raises why there is none; the next call tries again."""
        if self._started is None:
            self._started = asyncio.get_running_loop().create_future()
            self._serving = asyncio.create_task(self._serve(self._started), name="MCP")
        return await asyncio.shield(self._started)

    async def _serve(self, started: "asyncio.Future[StreamableHTTPSessionManager]") -> None:
        """Serves until the end, in a task of its own, as the SDK's task group has to end in it."""
        try:
            manager = await self._build()
            async with manager.run():
                started.set_result(manager)
                await self._stop.wait()
        except Exception as error:
            if started.done():
                raise
            self._started = None
            started.set_exception(error)

    async def aclose(self) -> None:
        self._stop.set()
        if self._serving:
            await self._serving


class _Answer(Response):
    """The answer of the SDK. When the client leaves, the call is cancelled, and what it asked."""

    def __init__(self, manager: "StreamableHTTPSessionManager", actor: Actor, body: bytes) -> None:
        super().__init__()
        self._manager = manager
        self._actor = actor
        self._body: bytes | None = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Not every HTTP server leaves out the blanks around a value (RFC 9110, section 5.5), which
        # is compared here with what the body says.
        headers = [(name, value.strip(b" \t")) for name, value in scope["headers"]]
        ours = {**scope, "headers": headers, _ACTOR: self._actor}
        with suppress(ClientDisconnect):
            await run_until_disconnect(
                self._manager.handle_request(ours, self._receive, send), receive
            )

    async def _receive(self) -> Message:
        if self._body is None:
            await asyncio.Event().wait()  # the client's leaving is noticed outside
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


class _MetadataHint:
    """Adds to each 401 at /mcp where the resource describes itself (RFC 9728, section 5.1)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_hint(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == _UNAUTHORIZED:
                url = f"{_own_url(Request(scope))}{METADATA_PATH}{PATH}"
                MutableHeaders(scope=message)["WWW-Authenticate"] = (
                    f'Bearer resource_metadata="{url}"'
                )
            await send(message)

        is_ours = scope["type"] == "http" and scope["path"] == PATH
        await self.app(scope, receive, send_with_hint if is_ours else send)


async def _refuse(_: CurrentActor) -> Response:
    """Answers 405: there is no stream to listen to and no session to end."""
    raise HTTPException(405, "Clients of MCP send POST requests here.", {"Allow": "POST"})


async def _get_metadata(request: Request) -> dict[str, Any]:
    """Describes the resource (RFC 9728). It names no authorization server: an admin makes keys."""
    return {
        "resource": f"{_own_url(request)}{PATH}",
        "resource_name": "Patchbay",
        "bearer_methods_supported": ["header"],
    }


def _require_known_origin(request: Request, services: Services) -> None:
    """Raises Problem (403) for a request of a web page that is neither ours nor allowed."""
    origin = request.headers.get("origin", "").lower()
    allowed = {*own_origins(request), *services.allowed_origins}
    if origin and allowed.isdisjoint({origin, "*"}):
        raise Problem(
            403,
            "origin-not-allowed",
            "A page of another site asks: list its origin in ALLOWED_ORIGINS, if it may.",
        )


def _own_url(request: Request) -> str:
    """Returns the address of this server as the request named it."""
    return f"{request.url.scheme}://{request.headers.get('host', '')}"


def _json_rpc_error(status: int, message: str) -> Response:
    error = {"code": _INVALID_REQUEST, "message": message}
    return JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, status)


def _is_modern(request: Request) -> bool:
    from mcp_types.version import MODERN_PROTOCOL_VERSIONS  # noqa: PLC0415  the SDK's, by now there

    return request.headers.get("mcp-protocol-version") in MODERN_PROTOCOL_VERSIONS


def _actor_of(context: "Context") -> Actor:
    request: Request = context.request  # type: ignore[assignment]  # over HTTP there is one
    actor: Actor = request.scope[_ACTOR]
    return actor
