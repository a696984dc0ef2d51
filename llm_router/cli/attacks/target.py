"""A deployment to attack: requests with and without its key, also such as no tidy client sends."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import httpx2

from llm_router.errors import ApiError

_PATIENCE = 10.0
"""Seconds that one answer may take."""
_LONGEST_HEAD = 65_536
FROM_ELSEWHERE = {"X-Forwarded-For": "203.0.113.9"}
"""The header of a request of another machine behind a proxy: it has no rights of this machine."""

State = Literal["passed", "failed", "not applicable"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one row, and what it was seen by."""

    state: State
    message: str


class Target:
    """The HTTP process at `url`. Use it within `async with`; `key` is empty where there is none."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        self.url = url.rstrip("/").removesuffix("/api")
        self.key = key
        self.host = parts.hostname or ""
        self._is_tls = parts.scheme == "https"
        self._port = parts.port or (443 if self._is_tls else 80)
        self._client = httpx2.AsyncClient(base_url=f"{self.url}/", timeout=_PATIENCE)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def require(self) -> None:
        """Raises ApiError unless something answers there."""
        try:
            await self._client.get("healthz")
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise ApiError(
                f"{self.url}: does not answer ({type(error).__name__}); correct the address"
            ) from error

    async def ask(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        content: bytes | None = None,
    ) -> httpx2.Response:
        """Sends a request; without `key` it has none. Raises httpx2.HTTPError."""
        sent = {**({"Authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
        self._client.cookies.clear()  # each request has the rights that it names, and no others
        if content is not None:
            sent.setdefault("Content-Type", "application/json")
            return await self._client.request(method, path, headers=sent, content=content)
        return await self._client.request(method, path, headers=sent, json=body)

    async def document(self) -> Mapping[str, Any]:
        """Returns the OpenAPI document; empty where there is none to be had."""
        for key in (None, self.key):
            answer = await self.ask("GET", "/api/openapi.json", key=key)
            if answer.is_success:
                found = answer.json()
                return found if isinstance(found, dict) else {}
        return {}

    async def ask_untidily(self, path: str, host: str) -> tuple[int, str]:
        """Sends a GET with this very path and host, and returns its status and `Location`.

        The status is 0 where the connection is closed without an answer.
        """
        head = (
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Host: {host}\r\n"
            f"X-Forwarded-For: {FROM_ELSEWHERE['X-Forwarded-For']}\r\nConnection: close\r\n\r\n"
        )
        async with self._connection() as (reader, writer):
            writer.write(head.encode())
            try:
                async with asyncio.timeout(_PATIENCE):
                    await writer.drain()
                    answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                return 0, ""
        status, *lines = answer.splitlines()
        fields = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
        return int(status.split()[1]), fields.get("location", "")

    async def own_address(self) -> str:
        """Returns the address of this machine from which the target is reached."""
        async with self._connection() as (_, writer):
            return str(writer.get_extra_info("sockname")[0])

    @asynccontextmanager
    async def _connection(
        self,
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        context = ssl.create_default_context() if self._is_tls else None
        reader, writer = await asyncio.wait_for(
            asyncio.open_connection(self.host, self._port, ssl=context, limit=_LONGEST_HEAD),
            _PATIENCE,
        )
        try:
            yield reader, writer
        finally:
            writer.close()


class Trap:
    """A server on this machine that counts who comes. Nothing of it is read."""

    def __init__(self) -> None:
        self.visitors = 0
        self.url = ""

    @asynccontextmanager
    async def opened(self, address: str) -> AsyncIterator[Self]:
        server = await asyncio.start_server(self._count, address, 0)
        async with server:
            name = f"[{address}]" if ":" in address else address
            self.url = f"http://{name}:{server.sockets[0].getsockname()[1]}/v1"
            yield self

    async def _count(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visitors += 1
        writer.close()
