"""Sends HTTP requests to one model server and translates failures into UpstreamError."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import httpx2

from llm_router.connections.record import Connection
from llm_router.errors import (
    BrokenStreamError,
    ConfigurationError,
    StatusError,
    UnreachableError,
    UpstreamError,
)
from llm_router.net.bodies import ASK_FOR_PLAIN, body_pieces, read_body
from llm_router.net.guard import AddressGuard
from llm_router.net.network import IdleLimit, StaleConnectionError, Transport
from llm_router.net.transports import open_transport
from llm_router.providers._wire import limits
from llm_router.providers._wire.errors import status_error
from llm_router.providers._wire.redirects import is_redirect, redirect_target, shown_address
from llm_router.providers._wire.trace import trace_headers
from llm_router.providers._wire.transport_errors import broken, unreachable
from llm_router.providers.base import Body
from llm_router.version import __version__

_logger = logging.getLogger("llm_router")

_WIRE_ERRORS = (httpx2.HTTPError, OSError)

_CONNECT_TIMEOUT = 3.0  # s; a server that takes longer to connect is too slow for a voice call
_KEEP_ALIVE = 120.0  # s; longer than a caller's pause for thought
_ERROR_TIMEOUT = 0.3  # s for the body of an error: it arrives with the headers, or never

_SUCCESS = range(200, 300)
_FOR_GOOD = frozenset({301, 308})
_KEEP_ALIVE_TIMEOUT = re.compile(r"timeout\s*=\s*(\d{1,6})", re.IGNORECASE)
_NO_OVERRIDES: Mapping[str, str | None] = MappingProxyType({})


class HttpClient:
    """The connections to one server, pooled.

    It sets no deadline for a response, and sends a request a second time only where no byte of an
    answer came: when a connection that had been used before was closed meanwhile, and after a
    redirect to the same host. With a `guard` it connects to no address that the guard refuses.
    """

    def __init__(
        self,
        connection: Connection,
        headers: Mapping[str, str],
        guard: AddressGuard | None = None,
    ) -> None:
        self._name = connection.name
        self._secrets = connection.secrets
        self._headers = dict(headers)
        self._guard = guard
        self._idle = IdleLimit()
        self._pools: dict[str, _Pool] = {}
        """By scheme: a redirect may lead to https of the same host. Each is opened by the first
        request, since one of ten thousand connections may never be asked."""
        self._is_closed = False
        self.notice = ""
        """A correction of base_url, once a redirect for good was followed."""
        self._moved: dict[httpx2.URL, httpx2.URL] = {}

    async def aclose(self) -> None:
        self._is_closed = True
        for pool in self._pools.values():
            await pool.client.aclose()

    @asynccontextmanager
    async def open_response(
        self,
        method: str,
        url: httpx2.URL,
        body: Mapping[str, Any] | Body | None = None,
        headers: Mapping[str, str | None] = _NO_OVERRIDES,
    ) -> AsyncIterator[httpx2.Response]:
        """Yields the response once its headers have arrived. A body that is a mapping is sent as
        JSON.

        Leaving the block early closes the TCP connection. `headers` override the client's own;
        None removes one. Raises UnreachableError when no response comes, and StatusError for a
        status outside 200 to 299.
        """
        content = body if body is None or isinstance(body, Body) else _as_json(body)
        response = await self._send(method, self._moved.get(url, url), content, headers)
        try:
            if is_redirect(response.status_code) and url not in self._moved:
                location = response.headers.get("location", "")
                target = redirect_target(response.status_code, url, location)
                await _close(response)
                self._note_moved(response.status_code, url, target)
                response = await self._send(method, target, content, headers)
            if response.status_code not in _SUCCESS:
                raise await self._status_error(response)
            yield response
        finally:
            await _close(response)

    async def _send(
        self,
        method: str,
        url: httpx2.URL,
        body: Body | None,
        headers: Mapping[str, str | None],
    ) -> httpx2.Response:
        """Sends the request, once more where an idle connection turns out to be closed."""
        pool = self._pool(url)
        request = pool.client.build_request(
            method,
            url,
            content=None if body is None else body.content,
            headers=None if body is None else {"content-type": body.content_type},
        )
        for name, value in headers.items():
            request.headers.pop(name, None)
            if value is not None:
                request.headers[name] = value
        for name, value in trace_headers().items():
            request.headers.setdefault(name, value)
        try:
            try:
                response = await pool.client.send(request, stream=True)
            except httpx2.ReadError as error:
                if not isinstance(stale := error.__cause__, StaleConnectionError):
                    raise
                self._idle.note_closed(stale.idle)
                await pool.transport.close_idle()
                response = await pool.client.send(request, stream=True)
        except _WIRE_ERRORS as error:
            raise unreachable(request.url, error, pool.proxy_variable) from error
        if "keep-alive" in response.headers:
            self._note_keep_alive(response.headers["keep-alive"])
        return response

    def _pool(self, url: httpx2.URL) -> "_Pool":
        """Returns the pool for the address; raises UnreachableError where the environment names a
        proxy or certificates for it that cannot be used.
        """
        if self._is_closed:
            raise RuntimeError("the client is closed")
        if (pool := self._pools.get(url.scheme)) is None:
            pool = self._pools[url.scheme] = _open_pool(url, self._headers, self._guard, self._idle)
        return pool

    def _note_moved(self, status: int, url: httpx2.URL, target: httpx2.URL) -> None:
        if status in _FOR_GOOD:
            self._moved[url] = target
            self.notice = f"base_url is redirected to {shown_address(target)}; put that into it"
            _logger.warning("connection %s: %s", self._name, self.notice)

    def _note_keep_alive(self, value: str) -> None:
        if found := _KEEP_ALIVE_TIMEOUT.search(value):
            self._idle.note_stated(float(found[1]))

    @asynccontextmanager
    async def open_stream(
        self,
        method: str,
        url: httpx2.URL,
        body: Mapping[str, Any],
        limit: float = limits.STREAM,
    ) -> AsyncIterator[AsyncGenerator[bytes, None]]:
        """Yields the response's body, piece by piece.

        Raises like `open_response`, and BrokenStreamError when reading the body fails or it has
        more than `limit` bytes.
        """
        async with (
            self.open_response(method, url, body) as response,
            aclosing(body_pieces(response, limit)) as pieces,
        ):
            try:
                yield pieces
            except _WIRE_ERRORS as error:
                raise broken(error) from error

    async def request_json(
        self,
        method: str,
        url: httpx2.URL,
        body: Mapping[str, Any] | None = None,
        *,
        within: float | None = None,
        headers: Mapping[str, str | None] = _NO_OVERRIDES,
    ) -> Any:
        """Returns the decoded body of a response, or None where it is empty.

        Raises like `open_response`, UnreachableError after `within` seconds, and
        BrokenStreamError for a body that is not JSON.
        """
        try:
            async with (
                asyncio.timeout(within),
                self.open_response(method, url, body, headers) as response,
            ):
                payload = await _whole_body(response, limits.JSON_BODY)
        except TimeoutError as error:
            raise UnreachableError(f"no answer from {url.path} in time") from error
        if len(payload) > limits.JSON_BODY:
            most = f"{limits.JSON_BODY:,} bytes"
            raise BrokenStreamError(f"the answer from {url.path} has more than {most}")
        try:
            return json.loads(payload) if payload else None
        except (ValueError, RecursionError) as error:
            raise BrokenStreamError(f"the answer from {url.path} is not JSON") from error

    async def _status_error(self, response: httpx2.Response) -> StatusError:
        body = b""
        with suppress(UpstreamError, TimeoutError):
            async with asyncio.timeout(_ERROR_TIMEOUT):
                body = await _whole_body(response, limits.ERROR_BODY)
        text = body.decode(errors="replace")
        # Some servers repeat a wrong key in their error.
        for secret in self._secrets:
            text = text.replace(secret, "[api_key]")
        try:
            payload = json.loads(text)
        except (ValueError, RecursionError):
            payload = text
        return status_error(response.status_code, payload, response.headers)


def parse_url(connection: Connection, url: str) -> httpx2.URL:
    """Parses `url`, which was built from the connection's `base_url`.

    Raises ConfigurationError where `base_url` is missing or no address.
    """
    if not connection.base_url:
        raise ConfigurationError(f"connection {connection.name!r}: base_url is missing")
    try:
        _ = urlsplit(connection.base_url).port  # the HTTP library reports a bad port too late
        return httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError) as error:
        raise ConfigurationError(
            f"connection {connection.name!r}: base_url is no address ({error})"
        ) from error


def request_headers(
    connection: Connection, accept: str, key_header: str = "Authorization", prefix: str = "Bearer "
) -> dict[str, str]:
    """Returns the headers of every request. The connection's own headers take precedence.

    Raises ConfigurationError for a key or header that HTTP cannot carry.
    """
    headers = {
        "User-Agent": f"patchbay/{__version__}",
        "Accept": accept,
        **ASK_FOR_PLAIN,
    }
    if key := connection.api_key:
        headers[key_header] = prefix + key
    headers |= connection.headers
    for name, value in headers.items():
        # Checked here, because the HTTP library puts a bad value, even a key, into its error.
        if not re.fullmatch(r"[\w-]+", name, re.ASCII) or not re.fullmatch(r"[ -~\t]*", value):
            which = "api_key" if name == key_header else f"header {name!r}"
            raise ConfigurationError(
                f"connection {connection.name!r}: {which} holds a character "
                "that no HTTP header can carry; paste it again"
            )
    return headers


@dataclass(frozen=True, slots=True)
class _Pool:
    """The connections for one scheme, and the variable that names their proxy, if any."""

    client: httpx2.AsyncClient
    transport: Transport
    proxy_variable: str


def _open_pool(
    url: httpx2.URL, headers: Mapping[str, str], guard: AddressGuard | None, idle: IdleLimit
) -> _Pool:
    opened = open_transport(url, guard=guard, keepalive_expiry=_KEEP_ALIVE, idle=idle)
    client = httpx2.AsyncClient(
        headers=headers,
        timeout=httpx2.Timeout(None, connect=_CONNECT_TIMEOUT),
        transport=opened.transport,
        follow_redirects=False,
        trust_env=False,
    )
    return _Pool(client, opened.transport, opened.proxy_variable)


def _as_json(body: Mapping[str, Any]) -> Body:
    # Escaped to ASCII, so that half an emoji in a message can still be encoded.
    return Body(json.dumps(body).encode(), "application/json")


async def _close(response: httpx2.Response) -> None:
    with suppress(*_WIRE_ERRORS):
        await response.aclose()


async def _whole_body(response: httpx2.Response, limit: int) -> bytes:
    try:
        return await read_body(response, limit)
    except _WIRE_ERRORS as error:
        raise broken(error) from error
