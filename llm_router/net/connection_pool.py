"""Keeps connections open between requests, at a cost that does not grow with those in progress.

httpcore2's own pool looks at each of its connections twice for every request, because it may have
bounds and HTTP/2: beside 60 streams that takes as long as the rest of the request. Here is no
bound, since a request that waits for a free connection is silence in a call, and a connection has
one request at a time, so that those in use need not be looked at.
"""

import ssl
from collections.abc import AsyncIterable, AsyncIterator
from typing import cast

import httpcore2

_Connection = httpcore2.AsyncConnectionInterface


class ConnectionPool(httpcore2.AsyncConnectionPool):
    """Makes connections as its base does, of HTTP/1.1 alone, and without an upper bound.

    A request gets the connection that has rested for the shortest time. One that has rested for
    `keepalive_expiry` seconds, or that its server has closed, is not used again.
    """

    def __init__(
        self,
        network: httpcore2.AsyncNetworkBackend,
        tls: ssl.SSLContext,
        keepalive_expiry: float | None,
        proxy: httpcore2.Proxy | None,
    ) -> None:
        super().__init__(
            ssl_context=tls,
            proxy=proxy,
            max_connections=None,
            keepalive_expiry=keepalive_expiry,
            network_backend=network,
        )
        self._resting: list[_Connection] = []
        """Connections without a request; the one that has rested longest comes first."""
        self._in_use: set[_Connection] = set()
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<ConnectionPool: {len(self._in_use)} in use, {len(self._resting)} resting>"

    @property
    def connections(self) -> list[_Connection]:
        return [*self._resting, *self._in_use]

    async def handle_async_request(self, request: httpcore2.Request) -> httpcore2.Response:
        """Sends a request, and returns its response once the headers are here; it must be closed.

        Raises the exceptions of httpcore2. A request that fails or is cancelled closes its
        connection.
        """
        if request.url.scheme not in {b"http", b"https"}:
            raise httpcore2.UnsupportedProtocol("the address must begin with http:// or https://")
        connection = await self._take(request.url.origin)
        self._in_use.add(connection)
        try:
            response = await connection.handle_async_request(request)
        except BaseException:
            await self._release(connection)
            raise
        return httpcore2.Response(
            status=response.status,
            headers=response.headers,
            content=_Body(cast(AsyncIterable[bytes], response.stream), self, connection),
            extensions=response.extensions,
        )

    async def close_resting(self) -> None:
        """Closes the connections without a request, so that the next request opens a fresh one."""
        while self._resting:
            await self._resting.pop().aclose()

    async def aclose(self) -> None:
        """Closes every connection, those with a request as well."""
        self._is_closed = True
        while self._in_use:
            await self._in_use.pop().aclose()
        await self.close_resting()

    async def _take(self, origin: httpcore2.Origin) -> _Connection:
        # Closing aborts a connection before it waits: whatever cancels this leaves none open.
        while self._resting and self._resting[0].has_expired():
            await self._resting.pop(0).aclose()
        while (found := self._pop_latest(origin)) and found.has_expired():
            await found.aclose()
        return found or self.create_connection(origin)

    def _pop_latest(self, origin: httpcore2.Origin) -> _Connection | None:
        for place in reversed(range(len(self._resting))):
            if self._resting[place].can_handle_request(origin):
                return self._resting.pop(place)
        return None

    async def _release(self, connection: _Connection) -> None:
        """Has a connection rest whose response was read to its end, and closes any other."""
        is_ours = connection in self._in_use and not self._is_closed
        self._in_use.discard(connection)
        if is_ours and connection.is_available():
            self._resting.append(connection)
        elif not connection.is_closed():
            await connection.aclose()


class _Body:
    """The body of a response, which gives its connection back when it is closed."""

    def __init__(
        self, stream: AsyncIterable[bytes], pool: ConnectionPool, connection: _Connection
    ) -> None:
        self._stream = stream
        self._pool = pool
        self._connection = connection
        self._is_closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._stream)

    async def aclose(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if hasattr(self._stream, "aclose"):
                await self._stream.aclose()
        finally:
            await self._pool._release(self._connection)  # noqa: SLF001  of the same module
