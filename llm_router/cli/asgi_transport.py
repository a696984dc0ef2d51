"""An httpx2 transport to an ASGI application in the same process, with streamed answers.

httpx2's own `ASGITransport` waits for the whole answer, so that streamed words would all come at
its end.
"""

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import httpx2
from starlette.types import ASGIApp

_CLIENT = ("cli", 0)
"""Address of the client, as the audit log records it."""


class StreamingASGITransport(httpx2.AsyncBaseTransport):
    """Sends each request to `app` and streams its answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        call = _Call(self._app, request, await request.aread())
        return await call.response()


class _Call(httpx2.AsyncByteStream):
    """A request and its streamed answer. It owns the task in which the application runs."""

    def __init__(self, app: ASGIApp, request: httpx2.Request, body: bytes) -> None:
        self._body: bytes | None = body
        # Unbounded: an answer that is not read would block the application at its end.
        self._messages: asyncio.Queue[MutableMapping[str, Any] | None] = asyncio.Queue()
        self._disconnected = asyncio.Event()
        self._task = asyncio.create_task(self._run(app, _scope(request)))

    async def response(self) -> httpx2.Response:
        """Waits for the head of the answer. Raises the application's error if it fails first."""
        try:
            while (start := await self._messages.get()) is None:
                await self._task  # raises the application's error
        except BaseException:
            await self.aclose()
            raise
        return httpx2.Response(start["status"], headers=start["headers"], stream=self)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (message := await self._messages.get()) is not None:
            if piece := message.get("body"):
                yield piece
            if not message.get("more_body"):
                break
        await self._task

    async def aclose(self) -> None:
        self._disconnected.set()
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self, app: ASGIApp, scope: MutableMapping[str, Any]) -> None:
        try:
            await app(scope, self._receive, self._messages.put)
        finally:
            self._messages.put_nowait(None)

    async def _receive(self) -> MutableMapping[str, Any]:
        if self._body is None:
            await self._disconnected.wait()
            return {"type": "http.disconnect"}
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


def _scope(request: httpx2.Request) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": request.url.raw_path.split(b"?")[0],
        "query_string": request.url.query,
        "server": (request.url.host, request.url.port),
        "client": _CLIENT,
        "root_path": "",
    }
