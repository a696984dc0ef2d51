"""Provides TCP and TLS for httpx2 directly on asyncio.

httpx2's own network pauses and resumes the socket around every read, two system calls each, and
sets a timer that is not needed; for a stream of single words that is a third of the client's work.
Here bytes are taken as they arrive (`bench/overhead` compares the two). A different transport would
replace this module.
"""

import asyncio
import math
import select
import socket
import ssl
from collections import deque
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Any, cast

import httpcore2
import httpx2
from aiohappyeyeballs import AddrInfoType, start_connection

from llm_router.clock import SystemClock, checkpoint
from llm_router.net.connection_pool import ConnectionPool
from llm_router.net.resolver import RESOLVER, NameResolver

KEEPALIVE_EXPIRY = 5.0
"""Seconds for which a connection may rest and be used again, unless its maker knows better."""
_IDLE_MARGIN = 1.0  # s before the server's own limit
_SHORTEST_IDLE = 1.0  # s; a server that closes sooner was restarted, rather than tired of waiting
_HIGH_WATER = 1 << 18
"""Unread bytes above which reading from the socket pauses."""
_STEP = 1 << 13
"""Bytes that a reader gets before it rests for as long as it has worked on them. Only a flood has
so many at once: it would leave other calls no time."""
_LONGEST_REST = 0.05  # s
_TOGETHER = 1 << 16
"""Bytes of a request that wait for each other: a longer body is sent as it comes."""


class StaleConnectionError(httpcore2.ReadError):
    """Raised when the server closed a connection that had been used before, and no byte of an
    answer to the latest request came; `idle` is how long (s) it had rested before that request.
    """

    def __init__(self, idle: float) -> None:
        super().__init__("the idle connection was closed by the server")
        self.idle = idle


class IdleLimit:
    """How long a connection to one server may rest and be used again, as far as is known."""

    seconds = math.inf

    def note_stated(self, seconds: float) -> None:
        """Heeds what the server says: `Keep-Alive: timeout=5`."""
        self.seconds = min(self.seconds, max(seconds - _IDLE_MARGIN, seconds / 2))

    def note_closed(self, idle: float) -> None:
        """Heeds that the server closed a connection that had rested so long (s)."""
        self.seconds = min(self.seconds, max(idle * 0.8, _SHORTEST_IDLE))


class Transport(httpx2.AsyncHTTPTransport):
    """httpx2's transport over a given network backend; proxies from the environment are its
    maker's business.

    `keepalive_expiry`: seconds for which a connection may rest and be used again.
    """

    def __init__(
        self,
        network: httpcore2.AsyncNetworkBackend,
        verify: ssl.SSLContext | bool,
        keepalive_expiry: float = KEEPALIVE_EXPIRY,
        proxy: httpx2.Proxy | None = None,
    ) -> None:
        tls = httpx2.create_ssl_context(verify=verify)
        super().__init__(verify=tls)
        # httpx2 accepts no network backend, so its pool is replaced. If another version has its
        # pool elsewhere, this must fail, rather than dial without the given backend.
        if not isinstance(self._pool, httpcore2.AsyncConnectionPool):
            raise TypeError("this version of httpx2 has its connection pool elsewhere")
        core_proxy = _core_proxy(proxy) if proxy else None
        self._pool = self._connections = ConnectionPool(network, tls, keepalive_expiry, core_proxy)

    async def close_idle(self) -> None:
        """Closes the connections that rest, so that the next request goes out on a fresh one."""
        await self._connections.close_resting()


def _core_proxy(proxy: httpx2.Proxy) -> httpcore2.Proxy:
    return httpcore2.Proxy(
        httpcore2.URL(
            scheme=proxy.url.raw_scheme,
            host=proxy.url.raw_host,
            port=proxy.url.port,
            target=proxy.url.raw_path,
        ),
        auth=proxy.raw_auth,
    )


class Network(httpcore2.AsyncNetworkBackend):
    """Dials with asyncio. Raises the exceptions of httpcore2's network interface.

    `idle` holds what is known of how long the server keeps a connection that rests.
    """

    def __init__(self, idle: IdleLimit | None = None, resolver: NameResolver = RESOLVER) -> None:
        self.idle = idle or IdleLimit()
        self._resolver = resolver

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's own signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                found = await self._addresses(host, port)
                local = await self._addresses(local_address, 0) if local_address else None
                wire = await _dial(found, local, self.idle)
        except TimeoutError as error:
            self._resolver.doubt(host)
            raise httpcore2.ConnectTimeout(f"{host} was not reached in time") from error
        except OSError as error:
            self._resolver.doubt(host)
            raise httpcore2.ConnectError(str(error)) from error
        for option in socket_options or ():
            wire.transport.get_extra_info("socket").setsockopt(*option)
        return _Stream(wire)

    async def sleep(self, seconds: float) -> None:
        await SystemClock().sleep(seconds)

    async def _addresses(self, host: str, port: int) -> Sequence[AddrInfoType]:
        """Resolves a name; an IP address stands for itself."""
        try:
            address = ip_address(host)
        except ValueError:
            found = await self._resolver.resolve(host)
            return [
                (family, kind, protocol, name, (at[0], port, *at[2:]))
                for family, kind, protocol, name, at in found
            ]
        family = socket.AF_INET if address.version == _IPV4 else socket.AF_INET6
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (str(address), port))]


_IPV4 = 4
_HAPPY_EYEBALLS_DELAY = 0.25
"""Delay (s) before the other of IPv6 and IPv4 is dialled as well (RFC 8305)."""


async def _dial(
    found: Sequence[AddrInfoType], local: Sequence[AddrInfoType] | None, idle: IdleLimit
) -> "_Wire":
    # asyncio's own version leaves sockets open when it is cancelled, in Python 3.11.
    connected = await start_connection(
        found, local_addr_infos=local, happy_eyeballs_delay=_HAPPY_EYEBALLS_DELAY, interleave=1
    )
    loop = asyncio.get_running_loop()
    try:
        _, wire = await loop.create_connection(lambda: _Wire(idle), sock=connected)
    except BaseException:
        connected.close()
        raise
    return wire


class _Stream(httpcore2.AsyncNetworkStream):
    def __init__(self, wire: "_Wire") -> None:
        self._wire = wire

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        if timeout is None:
            return await self._wire.read(max_bytes)
        try:
            async with asyncio.timeout(timeout):
                return await self._wire.read(max_bytes)
        except TimeoutError as error:
            raise httpcore2.ReadTimeout from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        if not buffer:
            return
        try:
            async with asyncio.timeout(timeout):
                await self._wire.write(buffer)
        except TimeoutError as error:
            raise httpcore2.WriteTimeout from error

    async def aclose(self) -> None:
        # All wanted bytes have been read: a graceful close would only hold the socket open.
        self._wire.transport.abort()
        await checkpoint()  # the socket is closed by then

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's own signature
    ) -> httpcore2.AsyncNetworkStream:
        wire = self._wire
        try:
            async with asyncio.timeout(timeout):
                secured = await asyncio.get_running_loop().start_tls(
                    wire.transport, wire, ssl_context, server_hostname=server_hostname
                )
        except TimeoutError as error:
            wire.transport.abort()
            raise httpcore2.ConnectTimeout("the TLS handshake was not finished in time") from error
        except OSError as error:  # ssl.SSLError is one
            wire.transport.abort()
            raise httpcore2.ConnectError(str(error)) from error
        if secured is None:
            raise httpcore2.ConnectError("the connection was closed during the TLS handshake")
        wire.transport = secured
        wire.begin()
        return self

    def get_extra_info(self, info: str) -> Any:
        wire = self._wire
        if info == "is_readable":
            return wire.is_readable
        names = {"client_addr": "sockname", "server_addr": "peername"}
        return wire.transport.get_extra_info(names.get(info, info))


class _Wire(asyncio.Protocol):
    """Buffer of received bytes, with flow control, for one reader and one writer."""

    transport: asyncio.Transport

    def __init__(self, idle: IdleLimit) -> None:
        self._idle = idle
        self._pieces: deque[bytes] = deque()
        self._unread = 0
        self._taken = 0
        """Bytes read since other work had its turn, which was at `_resumed_at`."""
        self._resumed_at = 0.0
        self._is_paused = False
        self._unsent = bytearray()
        self._error: Exception | None = None
        self._is_closed = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._can_write = True
        self.begin()

    def begin(self) -> None:
        """Counts as fresh from now on, whatever was exchanged before, such as a handshake."""
        self._is_answered = False
        self._is_reused = False
        self._rested = 0.0  # s before the latest request
        self._used_at = _now()

    # ── Called by asyncio ────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        self._pieces.append(data)
        self._is_answered = True
        self._used_at = _now()
        self._unread += len(data)
        if self._unread > _HIGH_WATER:
            self._is_paused = True
            self.transport.pause_reading()
        _wake(self._reader)

    def eof_received(self) -> None:
        self._is_closed = True
        _wake(self._reader)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_closed = True
        self._error = exc
        _wake(self._reader)
        _wake(self._writer)

    def pause_writing(self) -> None:
        self._can_write = False

    def resume_writing(self) -> None:
        self._can_write = True
        _wake(self._writer)

    # ── Called by the client ─────────────────────────────────────────────────────────────────────

    @property
    def is_readable(self) -> bool:
        """True if an idle connection must not be used again.

        A read would return at once, which means that it is closed, or it has rested too long. Polls
        the socket as well, since the loop may not have reported its end yet.
        """
        is_closed = bool(self._pieces) or self._is_closed or self._is_socket_readable()
        return is_closed or _now() - self._used_at > self._idle.seconds

    def _is_socket_readable(self) -> bool:
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket"), select.POLLIN)
        return bool(poll.poll(0))

    async def read(self, limit: int) -> bytes:
        """Sends what waits, and returns the next bytes, at most `limit`; empty at the end."""
        if self._unsent and not self._is_closed:  # else what follows says why
            self._flush()
        if self._taken >= _STEP:
            await SystemClock().sleep(min(_now() - self._resumed_at, _LONGEST_REST))
            self._taken, self._resumed_at = 0, _now()
        while not self._pieces:
            if self._is_closed:
                if self._is_reused and not self._is_answered:
                    raise StaleConnectionError(self._rested) from self._error
                if self._error:
                    raise httpcore2.ReadError(str(self._error)) from self._error
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
            self._taken, self._resumed_at = 0, _now()
        piece = self._pieces.popleft()
        limit = min(limit, _STEP)
        if len(piece) > limit:
            self._pieces.appendleft(piece[limit:])
            piece = piece[:limit]
        self._taken += len(piece)
        self._unread -= len(piece)
        if self._is_paused and self._unread <= _HIGH_WATER // 2:
            self._is_paused = False
            self.transport.resume_reading()
        return piece

    async def write(self, data: bytes) -> None:
        """Sends the bytes, at the latest before the next read: the head of a request and a short
        body are one write to the socket.
        """
        if self._is_answered and not self._pieces:  # a further request begins
            self._is_answered, self._is_reused = False, True
            self._rested = _now() - self._used_at
        if self._is_closed:
            raise httpcore2.WriteError("the connection is closed")
        self._used_at = _now()
        self._unsent += data
        if len(self._unsent) < _TOGETHER:
            return
        self._flush()
        while not self._can_write:
            self._writer = asyncio.get_running_loop().create_future()
            try:
                await self._writer
            finally:
                self._writer = None
            if self._is_closed:
                raise httpcore2.WriteError("the connection was lost")

    def _flush(self) -> None:
        self.transport.write(bytes(self._unsent))
        self._unsent.clear()


_now = SystemClock().now


def _wake(waiter: "asyncio.Future[None] | None") -> None:
    if waiter and not waiter.done():
        waiter.set_result(None)
