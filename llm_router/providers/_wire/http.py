"""HTTP to one model server, and what it means when that goes wrong."""

import asyncio
import functools
import json
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
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
from llm_router.providers._wire.reply import status_error

_WIRE_ERRORS = (httpx2.HTTPError, OSError)

_CONNECT = 3.0  # s; a server that takes longer to shake hands is none for a voice
_KEEP_ALIVE = 120.0  # s; longer than a caller's pause for thought
_ERROR_TIME = 0.3  # s that the body of an error may take: it comes with its head, or never
_ERROR_LIMIT, _JSON_LIMIT = 1 << 16, 1 << 22  # bytes
_SHORT_KEY = 8  # a key this short ("ollama", "none") is a word, not a secret

_OK, _NOT_OK = 200, 300
_AS_EVER: Mapping[str, str | None] = MappingProxyType({})


class Http:
    """One pool of connections to the server at `address`.

    It waits for an answer as long as it is let, and never asks twice. With a `guard` nothing is
    dialled that it refuses.
    """

    def __init__(
        self,
        connection: Connection,
        address: httpx2.URL,
        headers: Mapping[str, str],
        guard: AddressGuard | None = None,
    ) -> None:
        self._api_key = connection.api_key
        # No upper bound: a request that waits here for another's end would be dead air.
        limits = httpx2.Limits(max_connections=None, keepalive_expiry=_KEEP_ALIVE)
        tls = _tls() if address.scheme == "https" else _no_tls()
        self._client = httpx2.AsyncClient(
            headers=dict(headers),
            timeout=httpx2.Timeout(None, connect=_CONNECT),
            limits=limits,
            verify=tls,
            transport=_transport(guard, tls, limits),
            follow_redirects=False,
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    @asynccontextmanager
    async def ask(
        self,
        method: str,
        url: httpx2.URL,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str | None] = _AS_EVER,
    ) -> AsyncIterator[httpx2.Response]:
        """The answer from its first byte on. Leaving early closes its TCP connection.

        `headers` come in place of those of every request; None leaves one out.
        Raises UnreachableError without one, and StatusError for one that is no success.
        """
        request = self._client.build_request(
            method,
            url,
            # Escaped to ASCII, so that half an emoji in a message still makes a body.
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
            if not _OK <= response.status_code < _NOT_OK:
                raise await self._refusal(response)
            yield response
        finally:
            with suppress(*_WIRE_ERRORS):
                await response.aclose()

    @asynccontextmanager
    async def ask_for_stream(
        self, method: str, url: httpx2.URL, body: Mapping[str, Any]
    ) -> AsyncIterator[AsyncGenerator[bytes, None]]:
        """The body of the answer, piece by piece. Raises as `ask` does, and BrokenStreamError where
        reading it fails.
        """
        async with (
            self.ask(method, url, body) as response,
            aclosing(_pieces(response)) as pieces,
        ):
            try:
                yield pieces
            except _WIRE_ERRORS as error:
                raise _broke_off(error) from error

    async def ask_json(
        self,
        method: str,
        url: httpx2.URL,
        body: Mapping[str, Any] | None = None,
        *,
        within: float | None = None,
        headers: Mapping[str, str | None] = _AS_EVER,
    ) -> Any:
        """A whole answer. Raises as `ask` does, UnreachableError if it takes longer than `within`
        seconds, and BrokenStreamError for what is not JSON.
        """
        try:
            async with asyncio.timeout(within), self.ask(method, url, body, headers) as response:
                said = await _read(response, _JSON_LIMIT)
        except TimeoutError as error:
            raise UnreachableError(f"no answer from {url.path} in time") from error
        try:
            return json.loads(said) if said else None
        except (ValueError, RecursionError) as error:
            raise BrokenStreamError(f"the answer from {url.path} is not JSON") from error

    async def _refusal(self, response: httpx2.Response) -> StatusError:
        body = b""
        with suppress(UpstreamError, TimeoutError):
            async with asyncio.timeout(_ERROR_TIME):
                body = await _read(response, _ERROR_LIMIT)
        text = body.decode(errors="replace")
        if (key := self._api_key) and len(key) > _SHORT_KEY:
            text = text.replace(key, "[api_key]")
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            said = text
        return status_error(response.status_code, said, response.headers)


def _pieces(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    # Unpacking costs time for every chunk, and nobody was asked to pack.
    encoded = "content-encoding" in response.headers
    return response.aiter_bytes() if encoded else response.aiter_raw()


async def one_more(pieces: AsyncGenerator[bytes, None], within: float) -> bytes:
    """The next piece of a reply that is whole already; empty when nothing more comes.

    A server that forgets to end the body, or breaks off, costs a moment, never the reply.
    """
    with suppress(TimeoutError, *_WIRE_ERRORS):
        async with asyncio.timeout(within):
            return await anext(pieces, b"")
    return b""


def _broke_off(error: Exception) -> BrokenStreamError:
    return BrokenStreamError(f"the answer broke off ({_reason(error)})")


def address_of(connection: Connection, url: str) -> httpx2.URL:
    """`url`, made of the connection's address. Raises ConfigurationError where that is none."""
    if not connection.base_url:
        raise ConfigurationError(f"connection {connection.name!r}: base_url is missing")
    try:
        _ = urlsplit(connection.base_url).port  # the HTTP library finds a bad one out too late
        return httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError) as error:
        raise ConfigurationError(
            f"connection {connection.name!r}: base_url is no address ({error})"
        ) from error


def headers_of(
    connection: Connection, accept: str, key_header: str = "Authorization", prefix: str = "Bearer "
) -> dict[str, str]:
    """What every request carries. The connection's own headers have the last word."""
    headers = {
        "User-Agent": f"patchbay/{_version()}",
        "Accept": accept,
        "Accept-Encoding": "identity",  # a compressor would hold words back
    }
    if connection.api_key:
        headers[key_header] = prefix + connection.api_key.strip()
    headers |= connection.headers
    for name, value in headers.items():
        # Checked here, because the HTTP library names a bad value, key or not, in its error.
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
    # None: httpx2's own, which knows of proxies.
    return None if getproxies() else Transport(Network(), tls, limits)


@functools.cache
def _version() -> str:
    try:
        return version("patchbay")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0"


@functools.cache
def _tls() -> ssl.SSLContext:
    """One for all connections: reading the system's certificates takes tens of milliseconds."""
    return httpx2.create_ssl_context()


@functools.cache
def _no_tls() -> ssl.SSLContext:
    """For plain HTTP: trusts nobody, and costs nothing to make."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


async def _read(response: httpx2.Response, limit: int) -> bytes:
    """A body that is no stream; past `limit` bytes the rest is left."""
    body = bytearray()
    try:
        async with aclosing(_pieces(response)) as pieces:
            async for piece in pieces:
                body += piece
                if len(body) > limit:
                    break
    except _WIRE_ERRORS as error:
        raise _broke_off(error) from error
    return bytes(body)


def _reason(error: Exception) -> str:
    """The kind of a transport error. Its text only where it speaks of the network alone."""
    kind = type(error).__name__
    return f"{kind}: {error}" if isinstance(error, httpx2.ConnectError) and str(error) else kind
