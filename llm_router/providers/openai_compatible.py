"""Any server that speaks OpenAI's chat completions; `catalog.py` says what is peculiar to each."""

import asyncio
import functools
import json
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx2

from llm_router.clock import Clock
from llm_router.connections import Connection
from llm_router.errors import (
    BrokenStreamError,
    ConfigurationError,
    StatusError,
    UnreachableError,
    UpstreamError,
)
from llm_router.guard import AddressGuard, guarded_transport
from llm_router.network import Network, Transport
from llm_router.providers._reply import Reply, status_error, taken_call_ids
from llm_router.providers._request import build_body
from llm_router.providers.catalog import Server, api_root, find
from llm_router.types import ChatRequest, Chunk

_CONNECT = 3.0  # s; a server that takes longer to shake hands is none for a voice
_WARM = 3.0  # s
_KEEP_ALIVE = 120.0  # s; longer than a caller's pause for thought
_ERROR_TIME = 0.3  # s that the body of an error may take: it comes with its head, or never
_LAST_WORDS = 0.5  # s between two pieces after the finish reason: only the usage is still to come
_LAST_BYTE = 0.05  # s after [DONE]: only the end of the HTTP body is
_ERROR_LIMIT, _LIST_LIMIT = 1 << 16, 1 << 22  # bytes
_SHORT_KEY = 8  # a key this short ("ollama", "none") is a word, not a secret

_OK, _NOT_OK = 200, 300
_NO_SUCH_ROUTE = frozenset({404, 405, 501})


def create(
    connection: Connection,
    clock: Clock,  # noqa: ARG001  part of every provider's `create`; deadlines are the router's
    guard: AddressGuard | None = None,
) -> "OpenAICompatible":
    """Raises ConfigurationError for a record that no request could be made from."""
    return OpenAICompatible(connection, guard)


class OpenAICompatible:
    """A Provider (see `base.py`): one pool of connections to one server.

    It waits for an answer as long as it is let, and never asks twice.
    """

    def __init__(self, connection: Connection, guard: AddressGuard | None = None) -> None:
        self._connection, self._server = connection, find(connection)
        self.continuation = connection.continuation or self._server.continuation
        self.last_resort = False
        self._chat, self._models = _routes(connection, self._server)
        # No upper bound: a request that waits here for another's end would be dead air.
        limits = httpx2.Limits(max_connections=None, keepalive_expiry=_KEEP_ALIVE)
        tls = _tls() if self._chat.scheme == "https" else _no_tls()
        self._client = httpx2.AsyncClient(
            headers=_headers(connection, self._server),
            timeout=httpx2.Timeout(None, connect=_CONNECT),
            limits=limits,
            verify=tls,
            transport=_transport(guard, tls, limits),
            follow_redirects=False,
        )

    async def warm(self) -> None:
        with suppress(UpstreamError, TimeoutError):
            async with asyncio.timeout(_WARM):
                await self.models()

    async def probe(self) -> None:
        """A server that answers but keeps no list of models is well, too."""
        try:
            await self.models()
        except StatusError as error:
            if error.status not in _NO_SUCH_ROUTE:
                raise

    async def models(self) -> Sequence[str]:
        """Raises UnreachableError when the list takes longer than the connection's timeout."""
        try:
            async with (
                asyncio.timeout(self._connection.timeout),
                self._ask(self._client.build_request("GET", self._models)) as response,
            ):
                body = await _read(response, _LIST_LIMIT)
        except TimeoutError as error:
            raise UnreachableError("no list of models in time") from error
        return _model_names(body)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        body = build_body(request, self._connection, self._server, self.continuation)
        asked = self._client.build_request(
            "POST",
            self._chat,
            # Escaped to ASCII, so that half an emoji in a message still makes a body.
            content=json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        reply = Reply(taken_call_ids(request.messages))
        async with self._ask(asked) as response, aclosing(_body(response)) as pieces:
            try:
                async for piece in pieces:
                    for chunk in reply.feed(piece):
                        yield chunk
                    if reply.finish_reason or reply.is_done:
                        break
            except (httpx2.HTTPError, OSError) as error:
                raise BrokenStreamError(f"the answer broke off ({_reason(error)})") from error
            while piece := await _after_the_end(pieces, reply):
                for chunk in reply.feed(piece):
                    yield chunk
        for chunk in reply.close():
            yield chunk

    async def aclose(self) -> None:
        await self._client.aclose()

    @asynccontextmanager
    async def _ask(self, request: httpx2.Request) -> AsyncIterator[httpx2.Response]:
        """The answer from its first byte on. Leaving early closes its TCP connection."""
        try:
            response = await self._client.send(request, stream=True)
        except (httpx2.HTTPError, OSError) as error:
            raise UnreachableError(
                f"no answer from {request.url.netloc.decode()} ({_reason(error)})"
            ) from error
        try:
            if not _OK <= response.status_code < _NOT_OK:
                raise await self._refusal(response)
            yield response
        finally:
            with suppress(httpx2.HTTPError, OSError):
                await response.aclose()

    async def _refusal(self, response: httpx2.Response) -> StatusError:
        body = b""
        with suppress(UpstreamError, TimeoutError):
            async with asyncio.timeout(_ERROR_TIME):
                body = await _read(response, _ERROR_LIMIT)
        text = body.decode(errors="replace")
        if (key := self._connection.api_key) and len(key) > _SHORT_KEY:
            text = text.replace(key, "[api_key]")
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            said = text
        return status_error(response.status_code, said, response.headers)


def _transport(
    guard: AddressGuard | None, tls: ssl.SSLContext, limits: httpx2.Limits
) -> httpx2.AsyncBaseTransport | None:
    if guard:
        return guarded_transport(guard, verify=tls, limits=limits)
    # None: httpx2's own, which knows of proxies.
    return None if getproxies() else Transport(Network(), tls, limits)


def _routes(connection: Connection, server: Server) -> tuple[httpx2.URL, httpx2.URL]:
    if not connection.base_url:
        raise ConfigurationError(f"connection {connection.name!r}: base_url is missing")
    root, query = api_root(connection.base_url, server)
    query = f"?{query}" if query else ""
    try:
        _ = urlsplit(connection.base_url).port  # the HTTP library finds a bad one out too late
        return httpx2.URL(f"{root}/chat/completions{query}"), httpx2.URL(f"{root}/models{query}")
    except (httpx2.InvalidURL, ValueError) as error:
        raise ConfigurationError(
            f"connection {connection.name!r}: base_url is no address ({error})"
        ) from error


def _headers(connection: Connection, server: Server) -> dict[str, str]:
    """What every request carries. The connection's own headers have the last word."""
    headers = {
        "User-Agent": f"patchbay/{_version()}",
        "Accept": "text/event-stream, application/json",
        "Accept-Encoding": "identity",  # a compressor would hold words back
    }
    if connection.api_key:
        headers[server.key_header] = server.key_prefix + connection.api_key.strip()
    headers |= connection.headers
    for name, value in headers.items():
        # Checked here, because the HTTP library names a bad value, key or not, in its error.
        if not re.fullmatch(r"[\w-]+", name, re.ASCII) or not re.fullmatch(r"[ -~\t]*", value):
            which = "api_key" if name == server.key_header else f"header {name!r}"
            raise ConfigurationError(
                f"connection {connection.name!r}: {which} holds a character "
                "that no HTTP header can carry; paste it again"
            )
    return headers


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


async def _after_the_end(pieces: AsyncGenerator[bytes, None], reply: Reply) -> bytes:
    """The next piece once the server has finished; empty when nothing more comes.

    The reply is whole by then: a server that forgets to end the body, or breaks off, costs a moment
    and the usage, never the reply.
    """
    with suppress(TimeoutError, httpx2.HTTPError, OSError):
        async with asyncio.timeout(_LAST_BYTE if reply.is_done else _LAST_WORDS):
            return await anext(pieces, b"")
    return b""


def _body(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    # Unpacking costs time for every chunk, and nobody was asked to pack.
    encoded = "content-encoding" in response.headers
    return response.aiter_bytes() if encoded else response.aiter_raw()


async def _read(response: httpx2.Response, limit: int) -> bytes:
    """A body that is no stream; past `limit` bytes the rest is left."""
    body = bytearray()
    try:
        async with aclosing(_body(response)) as pieces:
            async for piece in pieces:
                body += piece
                if len(body) > limit:
                    break
    except (httpx2.HTTPError, OSError) as error:
        raise BrokenStreamError(f"the answer broke off ({_reason(error)})") from error
    return bytes(body)


def _model_names(body: bytes) -> Sequence[str]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BrokenStreamError("the list of models is not JSON") from error
    rows = said.get("data", said.get("models")) if isinstance(said, Mapping) else said
    if not isinstance(rows, list):
        raise BrokenStreamError("the list of models is not a list")
    names = (row.get("id") or row.get("name") for row in rows if isinstance(row, Mapping))
    return [str(name) for name in names if name]


def _reason(error: Exception) -> str:
    """The kind of a transport error. Its text only where it speaks of the network alone."""
    kind = type(error).__name__
    return f"{kind}: {error}" if isinstance(error, httpx2.ConnectError) and str(error) else kind
