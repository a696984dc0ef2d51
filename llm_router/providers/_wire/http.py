"""Sends HTTP requests to one model server and translates failures into UpstreamError."""

import asyncio
import functools
import json
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx2

from llm_router.connections.record import Connection
from llm_router.errors import (
    BrokenStreamError,
    ConfigurationError,
    StatusError,
    UnreachableError,
    UpstreamError,
)
from llm_router.net.guard import AddressGuard, guarded_transport
from llm_router.net.network import Network, Transport
from llm_router.providers._wire.errors import status_error
from llm_router.version import __version__

_WIRE_ERRORS = (httpx2.HTTPError, OSError)

_CONNECT_TIMEOUT = 3.0  # s; a server that takes longer to connect is too slow for a voice call
_KEEP_ALIVE = 120.0  # s; longer than a caller's pause for thought
_ERROR_TIMEOUT = 0.3  # s for the body of an error: it arrives with the headers, or never
_ERROR_LIMIT = 1 << 16  # bytes
_JSON_LIMIT = 1 << 22  # bytes
_SHORT_KEY = 8  # characters; a key this short ("ollama", "none") is a placeholder, not a secret

_SUCCESS = range(200, 300)
_NO_OVERRIDES: Mapping[str, str | None] = MappingProxyType({})


class HttpClient:
    """A pool of connections to the server at `address`.

    It sets no deadline for a response and never retries. With a `guard` it connects to no address
    that the guard refuses.
    """

    def __init__(
        self,
        connection: Connection,
        address: httpx2.URL,
        headers: Mapping[str, str],
        guard: AddressGuard | None = None,
    ) -> None:
        self._api_key = connection.api_key
        # No upper bound: a request that waits here for a free connection is silence in the call.
        limits = httpx2.Limits(max_connections=None, keepalive_expiry=_KEEP_ALIVE)
        tls = _tls() if address.scheme == "https" else _no_tls()
        self._client = httpx2.AsyncClient(
            headers=dict(headers),
            timeout=httpx2.Timeout(None, connect=_CONNECT_TIMEOUT),
            limits=limits,
            verify=tls,
            transport=_transport(guard, tls, limits),
            follow_redirects=False,
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    @asynccontextmanager
    async def open_response(
        self,
        method: str,
        url: httpx2.URL,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str | None] = _NO_OVERRIDES,
    ) -> AsyncIterator[httpx2.Response]:
        """Yields the response once its headers have arrived.

        Leaving the block early closes the TCP connection. `headers` override the client's own;
        None removes one. Raises UnreachableError when no response comes, and StatusError for a
        status outside 200 to 299.
        """
        request = self._client.build_request(
            method,
            url,
            # Escaped to ASCII, so that half an emoji in a message can still be encoded.
            content=None if body is None else json.dumps(body).encode(),
            headers=None if body is None else {"content-type": "application/json"},
        )
        for name, value in headers.items():
            request.headers.pop(name, None)
            if value is not None:
                request.headers[name] = value
        try:
            response = await self._client.send(request, stream=True)
        except _WIRE_ERRORS as error:
            raise UnreachableError(
                f"no answer from {request.url.netloc.decode()} ({_reason(error)})"
            ) from error
        try:
            if response.status_code not in _SUCCESS:
                raise await self._status_error(response)
            yield response
        finally:
            with suppress(*_WIRE_ERRORS):
                await response.aclose()

    @asynccontextmanager
    async def open_stream(
        self, method: str, url: httpx2.URL, body: Mapping[str, Any]
    ) -> AsyncIterator[AsyncGenerator[bytes, None]]:
        """Yields the response's body, piece by piece.

        Raises like `open_response`, and BrokenStreamError when reading the body fails.
        """
        async with (
            self.open_response(method, url, body) as response,
            aclosing(_body_pieces(response)) as pieces,
        ):
            try:
                yield pieces
            except _WIRE_ERRORS as error:
                raise _broken(error) from error

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
                payload = await _read_body(response, _JSON_LIMIT)
        except TimeoutError as error:
            raise UnreachableError(f"no answer from {url.path} in time") from error
        try:
            return json.loads(payload) if payload else None
        except (ValueError, RecursionError) as error:
            raise BrokenStreamError(f"the answer from {url.path} is not JSON") from error

    async def _status_error(self, response: httpx2.Response) -> StatusError:
        body = b""
        with suppress(UpstreamError, TimeoutError):
            async with asyncio.timeout(_ERROR_TIMEOUT):
                body = await _read_body(response, _ERROR_LIMIT)
        text = body.decode(errors="replace")
        # Some servers repeat a wrong key in their error.
        if (key := self._api_key) and len(key) > _SHORT_KEY:
            text = text.replace(key, "[api_key]")
        try:
            payload = json.loads(text)
        except (ValueError, RecursionError):
            payload = text
        return status_error(response.status_code, payload, response.headers)


def _body_pieces(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    # Decompression costs time for every chunk, and the request asked for none.
    encoded = "content-encoding" in response.headers
    return response.aiter_bytes() if encoded else response.aiter_raw()


async def next_piece(pieces: AsyncGenerator[bytes, None], within: float | None) -> bytes:
    """Returns the next piece of a reply; empty at its end, and when none comes in time (s)."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            return await anext(pieces, b"")
    return b""


def _broken(error: Exception) -> BrokenStreamError:
    return BrokenStreamError(f"the answer broke off ({_reason(error)})")


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
        "Accept-Encoding": "identity",  # a compressor would buffer words
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


def _transport(
    guard: AddressGuard | None, tls: ssl.SSLContext, limits: httpx2.Limits
) -> httpx2.AsyncBaseTransport | None:
    if guard:
        return guarded_transport(guard, verify=tls, limits=limits)
    # None selects httpx2's own transport, which supports proxies.
    return None if getproxies() else Transport(Network(), tls, limits)


@functools.cache
def _tls() -> ssl.SSLContext:
    """Shared by all connections: reading the system's certificates takes tens of milliseconds."""
    return httpx2.create_ssl_context()


@functools.cache
def _no_tls() -> ssl.SSLContext:
    """Makes a context for plain HTTP, cheaply: it holds no certificates and trusts none."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


async def _read_body(response: httpx2.Response, limit: int) -> bytes:
    """Reads a body to its end, or until it has more than `limit` bytes."""
    body = bytearray()
    try:
        async with aclosing(_body_pieces(response)) as pieces:
            async for piece in pieces:
                body += piece
                if len(body) > limit:
                    break
    except _WIRE_ERRORS as error:
        raise _broken(error) from error
    return bytes(body)


def _reason(error: Exception) -> str:
    """Names a transport error; adds its text only where that describes nothing but the network."""
    kind = type(error).__name__
    return f"{kind}: {error}" if isinstance(error, httpx2.ConnectError) and str(error) else kind
