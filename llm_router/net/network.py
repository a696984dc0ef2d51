"""TCP and TLS for httpx2, straight on asyncio: the seam where the transport could be another.

httpx2's own network stops and starts reading from the socket around every piece, two system calls
each, and sets a time limit that is not wanted; for a stream of single words that is a third of the
client's work. Here bytes are taken as they come (`bench/overhead` compares the two).
"""

import asyncio
import select
import socket
import ssl
from collections import deque
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Any

import httpcore2
import httpx2
from aiohappyeyeballs import AddrInfoType, start_connection

_MOST_UNREAD = 1 << 18
"""Bytes from which on the sender is held up."""


class Transport(httpx2.AsyncHTTPTransport):
    """httpx2's transport over a network of one's own. No proxy is used, whatever the environment
    says.
    """

    def __init__(
        self,
        network: httpcore2.AsyncNetworkBackend,
        verify: ssl.SSLContext | bool,
        limits: httpx2.Limits,
    ) -> None:
        context = httpx2.create_ssl_context(verify=verify)
        super().__init__(verify=context, limits=limits)
        # httpx2 has no way to hand its pool a network, so the pool is replaced. Should another
        # version keep it elsewhere, this must fail, not dial by another way.
        if not isinstance(self._pool, httpcore2.AsyncConnectionPool):
            raise TypeError("this version of httpx2 keeps its connections elsewhere")
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=context,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=network,
        )


class Network(httpcore2.AsyncNetworkBackend):
    """Dials by asyncio. Raises what httpcore2 promises of a network."""

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
                wire = await _dialled(host, port, local_address)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(f"{host} was not reached in time") from error
        except (OSError, UnicodeError) as error:  # a label too long for the name system
            raise httpcore2.ConnectError(str(error)) from error
        for option in socket_options or ():
            wire.transport.get_extra_info("socket").setsockopt(*option)
        return _Stream(wire)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


_IPV4 = 4
_SECOND_FAMILY = 0.25
"""Seconds after which the other of IPv6 and IPv4 is dialled as well (RFC 8305)."""


async def _dialled(host: str, port: int, local_address: str | None) -> "_Wire":
    loop = asyncio.get_running_loop()
    found = await _addresses(host, port)
    local = await _addresses(local_address, 0) if local_address else None
    # Not asyncio's own way of this: in 3.11 it leaves sockets open when it is cancelled.
    dialled = await start_connection(
        found, local_addr_infos=local, happy_eyeballs_delay=_SECOND_FAMILY, interleave=1
    )
    try:
        _, wire = await loop.create_connection(_Wire, sock=dialled)
    except BaseException:
        dialled.close()
        raise
    return wire


async def _addresses(host: str, port: int) -> Sequence[AddrInfoType]:
    """A name is looked up in a thread; an address needs none."""
    try:
        address = ip_address(host)
    except ValueError:
        loop = asyncio.get_running_loop()
        return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    family = socket.AF_INET if address.version == _IPV4 else socket.AF_INET6
    return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (str(address), port))]


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
        # Whoever closes has read all that was wanted: a farewell would only hold the socket open.
        self._wire.transport.abort()
        await asyncio.sleep(0)  # the socket is closed by then

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
            raise httpcore2.ConnectTimeout("TLS was not agreed on in time") from error
        except OSError as error:  # ssl.SSLError is one
            wire.transport.abort()
            raise httpcore2.ConnectError(str(error)) from error
        if secured is None:
            raise httpcore2.ConnectError("the connection was closed while TLS was agreed on")
        wire.transport = secured
        return self

    def get_extra_info(self, info: str) -> Any:
        wire = self._wire
        if info == "is_readable":
            return wire.is_readable
        names = {"client_addr": "sockname", "server_addr": "peername"}
        return wire.transport.get_extra_info(names.get(info, info))


class _Wire(asyncio.Protocol):
    """What has come and was not read yet, for one reader and one writer."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._unread = 0
        self._is_held_up = False
        self._ended: Exception | None = None
        self._is_over = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._may_write = True

    # ── What asyncio tells ───────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  a stream's is no other
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._pieces.append(data)
        self._unread += len(data)
        if self._unread > _MOST_UNREAD:
            self._is_held_up = True
            self.transport.pause_reading()
        _wake(self._reader)

    def eof_received(self) -> None:
        self._is_over = True
        _wake(self._reader)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_over, self._ended = True, exc
        _wake(self._reader)
        _wake(self._writer)

    def pause_writing(self) -> None:
        self._may_write = False

    def resume_writing(self) -> None:
        self._may_write = True
        _wake(self._writer)

    # ── What the client asks ─────────────────────────────────────────────────────────────────────

    @property
    def is_readable(self) -> bool:
        """Whether a read would return at once; of an idle connection: whether it is of no use.

        The socket is looked at too: the loop may not have come to tell of its end.
        """
        return bool(self._pieces) or self._is_over or self._has_news()

    def _has_news(self) -> bool:
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket"), select.POLLIN)
        return bool(poll.poll(0))

    async def read(self, limit: int) -> bytes:
        """The next piece, of at most `limit` bytes; empty at the end."""
        while not self._pieces:
            if self._is_over:
                if self._ended:
                    raise httpcore2.ReadError(str(self._ended)) from self._ended
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        piece = self._pieces.popleft()
        if len(piece) > limit:
            self._pieces.appendleft(piece[limit:])
            piece = piece[:limit]
        self._unread -= len(piece)
        if self._is_held_up and self._unread <= _MOST_UNREAD // 2:
            self._is_held_up = False
            self.transport.resume_reading()
        return piece

    async def write(self, data: bytes) -> None:
        if self._is_over:
            raise httpcore2.WriteError("the connection is closed")
        self.transport.write(data)
        while not self._may_write:
            self._writer = asyncio.get_running_loop().create_future()
            try:
                await self._writer
            finally:
                self._writer = None
            if self._is_over:
                raise httpcore2.WriteError("the connection was lost")


def _wake(waiting: "asyncio.Future[None] | None") -> None:
    if waiting and not waiting.done():
        waiting.set_result(None)
