"""A gateway with every weakness that `llm-router doctor --attack` tries, for its tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent.http_process import listen

_COMMAND = {"type": "object", "properties": {"command": {"type": "string"}}}
_DOCUMENT = {
    "paths": {
        "/api/mcp": {
            "get": {"security": [{"key": []}]},
            "post": {"requestBody": {"content": {"application/json": {"schema": _COMMAND}}}},
        }
    }
}


async def _answer(request: Request) -> Response:
    """Answers everything, to anybody."""
    if "'" in request.headers.get("authorization", ""):
        return JSONResponse({"detail": "syntax error at or near"}, 500)
    if request.method == "DELETE":
        return Response(status_code=204)
    if request.method == "POST":
        return await _take(request)
    role = "admin" if "authorization" in request.headers else "guest"
    pages = {
        "/api/openapi.json": _DOCUMENT,
        "/api/me": {"role": role, "form": [*request.headers.keys()]},
        "/api/healthz": {"details": {"models": ["m"]}},
    }
    return JSONResponse(pages.get(request.url.path, {"ok": True}))


async def _take(request: Request) -> Response:
    body = await request.body()
    match request.url.path:
        case "/api/chats":
            title = (await request.json())["title"].replace("{{ 7 * 7 }}", "49")
            return JSONResponse({"id": "c", "title": title}, 201)
        case "/api/keys":
            return JSONResponse({"id": "k", "key": "pb_viewer"}, 201)
        case "/api/session":
            answer = JSONResponse({}, 201)
            answer.set_cookie("session", "pb_admin")
            return answer
        case _ if b"api_base" in body:
            await _visit((await request.json())["api_base"])
    return JSONResponse({"ok": True})


async def _visit(url: str) -> None:
    parts = urlsplit(url)
    with suppress(OSError):
        _, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.close()


@asynccontextmanager
async def weak_gateway() -> AsyncIterator[str]:
    """Serves it on a socket of this machine; yields its address."""
    methods = ["GET", "POST", "DELETE"]
    app = Starlette(routes=[Route("/{path:path}", _answer, methods=methods)])
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", lifespan="off"))
    running = asyncio.create_task(server.serve([listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running
