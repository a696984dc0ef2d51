"""Serves HTTP so that no client holds connections longer, or more of them, than it needs.

Uvicorn closes a connection that idles after a request, and no other: one that never sends a whole
request, or never reads its answer, would stay open for ever, until the process has no file
descriptor left.
"""

import asyncio
import re
import resource
import signal
import socket
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import uvicorn
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from llm_router.gateway.rates import client_key

_GRACE = 5
"""Seconds that requests may take to finish after the signal to stop."""
_ACCEPTED_AT_ONCE = 16
"""Connections that asyncio accepts before it hands on the first of them: those of a burst must not
use up the file descriptors."""
_MOST_WAITING_TO_BE_ACCEPTED = 1_024
_LONGEST_HEAD = 65_536
_READ_AT_LEAST = 16_384
"""Bytes of an answer that a client has to read in `Bounds.unread` seconds."""
_MOST_CONNECTIONS = 2_000
_MOST_PER_ADDRESS = 100
"""A browser opens six; an office has many behind one address."""

_Phase = Literal["head", "body", "closing"]
C = TypeVar("C")


def _most_connections() -> int:
    """Returns how many connections leave enough file descriptors for everything else."""
    return min(_MOST_CONNECTIONS, _descriptors() // 2)


def _waiting_to_be_accepted() -> int:
    """Returns how many connections may wait: uvloop accepts them all at once."""
    return min(_MOST_WAITING_TO_BE_ACCEPTED, _descriptors() // 4)


def _descriptors() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The bounds of one client's connections, in number and in time (s)."""

    head: float = 10.0
    """Time in which the head of a request must arrive, from the connection's begin or from the end
    of the answer before."""
    body: float = 30.0
    """Time in which the body must arrive after the head."""
    unread: float = 30.0
    """Time in which a client has to read the next 16 kB of an answer."""
    connections: int
    per_address: int


class Places(Generic[C]):
    """The open connections, and which one makes room for the next.

    Beyond a bound the connection that has waited longest for a request ends: of the same address,
    or of all. If each of them has a request in progress, the new one is refused.
    """

    def __init__(self, most: int, most_per_address: int) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._addresses: dict[C, str] = {}
        self._waiting: defaultdict[str, dict[C, None]] = defaultdict(dict)
        """Connections without a request by address, those that have waited longest first."""
        self._order: dict[C, None] = {}
        """The same of all addresses."""
        self._counts: defaultdict[str, int] = defaultdict(int)

    def add(self, connection: C, address: str) -> C | None:
        """Adds a connection, which waits for a request; returns the one to close, if any.

        An empty `address` stands for many clients, and only the bound of all counts.
        """
        full = address and self._counts[address] >= self._most_per_address
        evicted = None
        if full or len(self._addresses) >= self._most:
            candidates = self._waiting[address] if full else self._order
            evicted = next(iter(candidates), None)
            if evicted is None:
                return connection
            self.remove(evicted)
        self._addresses[connection] = address
        self._counts[address] += 1
        self.set_waiting(connection, is_waiting=True)
        return evicted

    def set_waiting(self, connection: C, *, is_waiting: bool) -> None:
        """Notes that a connection waits for a request, or has one in progress."""
        address = self._addresses.get(connection)
        if address is None:
            return
        if is_waiting:
            self._waiting[address].setdefault(connection)
            self._order.setdefault(connection)
        else:
            self._waiting[address].pop(connection, None)
            self._order.pop(connection, None)

    def remove(self, connection: C) -> None:
        self.set_waiting(connection, is_waiting=False)
        address = self._addresses.pop(connection, None)
        if address is None:
            return
        self._counts[address] -= 1
        if not self._counts[address]:
            del self._counts[address]
            self._waiting.pop(address, None)


class _OlderCycle(RequestResponseCycle):
    """Answers a request of HTTP/1.0, which has no chunked coding: an answer of unknown length ends
    with its connection. Uvicorn closes that in any case, but would send chunks.
    """

    _ends_with_connection = False

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            names = {name.lower() for name, _ in message.get("headers", ())}
            if b"content-length" not in names:
                self._ends_with_connection = True
                self.chunked_encoding = False
        elif self._ends_with_connection:
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)


_UPGRADE = re.compile(rb"\r\nupgrade(?=:)", re.IGNORECASE)


def _without_upgrade(data: bytes) -> bytes:
    """Renames the header that asks for another protocol in the head of a request.

    No other protocol is spoken here, and a server may ignore the header; but the parser would take
    the body for that protocol. Java's own client asks for HTTP/2 with each of its requests.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    return _UPGRADE.sub(b"\r\nignored", head) + end + rest


class _Protocol(HttpToolsProtocol):
    """Closes its connection when the client lets a time limit pass.

    So it does after more than `_LONGEST_HEAD` bytes besides the body of a request: the parser
    itself has no such bound.
    """

    bounds: Bounds
    places: "Places[_Protocol]"
    is_proxy: Callable[[str], bool]

    _phase: _Phase | None = None
    _limit: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _unread_bytes = 0
    _head_bytes = 0
    """Bytes since a request began, or since the last bytes of its body."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        host = self.client[0] if self.client else ""
        # A proxy's connections are those of many clients.
        evicted = self.places.add(self, "" if self.is_proxy(host) else client_key(host))
        if evicted:
            evicted.transport.abort()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self.places.remove(self)
        for timer in (self._limit, self._unread):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        if self._phase == "head":
            data = _without_upgrade(data)
        super().data_received(data)
        if self._head_bytes > _LONGEST_HEAD:
            self.transport.abort()
        self._watch()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._head_bytes = 0
        if self.scope["http_version"] == "1.0":
            self.cycle.__class__ = _OlderCycle  # its task has not begun yet

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._head_bytes = 0

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._head_bytes = 0

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._watch()

    def shutdown(self) -> None:
        super().shutdown()
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread:
            self._unread.cancel()
            self._unread = None

    def _wait_for_reader(self) -> None:
        self._unread_bytes = self.transport.get_write_buffer_size()
        self._unread = self.loop.call_later(self.bounds.unread, self._check_reader)

    def _check_reader(self) -> None:
        read = self._unread_bytes - self.transport.get_write_buffer_size()
        if read < _READ_AT_LEAST:
            self.transport.abort()
        else:
            self._wait_for_reader()

    def _watch(self) -> None:
        """Starts the time limit of what has to come next from the client, unless it runs."""
        is_closing = self.transport.is_closing()
        phase = "closing" if is_closing else self._awaited()
        if phase == self._phase:
            return
        self._phase = phase
        self.places.set_waiting(self, is_waiting=phase == "head")
        if self._limit:
            self._limit.cancel()
            self._limit = None
        if phase:
            self._limit = self.loop.call_later(self._seconds(phase), self._end)

    def _awaited(self) -> _Phase | None:
        """Returns the part of a request that has to come next, if any."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            return "head"
        return "body" if cycle.more_body else None

    def _seconds(self, phase: _Phase) -> float:
        match phase:
            case "head":
                return self.bounds.head
            case "body":
                return self.bounds.body
            case "closing":
                return self.bounds.unread

    def _end(self) -> None:
        # Of an answer that is being read, `_check_reader` decides.
        if self._phase != "closing" or not self._unread:
            self.transport.abort()


class _Server(uvicorn.Server):
    """Returns normally after a signal. Uvicorn's own server raises the signal again at the end,
    which would interrupt the closing of everything else.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(_waiting_to_be_accepted())  # asyncio set it to what it accepts

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self.handle_exit, number, None)
        yield


def make_server(
    app: ASGIApp, *, trusted_proxies: str | None = None, bounds: Bounds | None = None
) -> uvicorn.Server:
    """Makes a server, whose `serve([listener])` serves `app` until SIGINT or SIGTERM.

    `trusted_proxies`: addresses and networks, separated by commas, whose X-Forwarded-For is
    believed; their own connections are not counted by address. `bounds`: None takes the usual ones,
    and half of the file descriptors that the process may have.
    """
    within = bounds or Bounds(connections=_most_connections(), per_address=_MOST_PER_ADDRESS)
    trusted = ProxyHeadersMiddleware(app, trusted_proxies or []).trusted_hosts  # type: ignore[arg-type]  # the same, typed twice

    class Protocol(_Protocol):
        bounds = within
        places = Places["_Protocol"](within.connections, within.per_address)
        is_proxy = staticmethod(trusted.__contains__)

    config = uvicorn.Config(
        app,
        http=Protocol,
        backlog=_ACCEPTED_AT_ONCE,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        proxy_headers=trusted_proxies is not None,
        forwarded_allow_ips=trusted_proxies,
        timeout_graceful_shutdown=_GRACE,
    )
    return _Server(config)
