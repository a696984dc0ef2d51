"""A neighbour that hangs, refuses or is slow: a TCP relay in front of a real server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from llm_router.clock import SystemClock

_PIECE = 65_536


class Relay:
    """Passes connections on to a port of this machine, or plays a neighbour in trouble.

    `connections`: how many were accepted so far. `delay`: seconds by which every piece is late.
    """

    def __init__(self, target: int) -> None:
        self.connections = 0
        self.delay = 0.0
        self.port = 0
        self._target = target
        self._answering = asyncio.Event()
        self._answering.set()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    def hang(self) -> None:
        """Accepts connections from now on, but passes no byte on."""
        self._answering.clear()

    async def answer(self) -> None:
        """Passes everything on again, what it has held back included."""
        self.delay = 0.0
        self._answering.set()
        await self.listen()

    async def listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Closes every connection, and refuses new ones."""
        if self._server:
            self._server.close()
            self._server = None
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        try:
            # Cancelled by `refuse`; asyncio logs a cancelled handler as an error.
            with suppress(OSError, asyncio.CancelledError):
                await self._connect(reader, writer)
        finally:
            self._open.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answering.wait()
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._target)
            try:
                async with asyncio.TaskGroup() as pumps:
                    pumps.create_task(self._pump(reader, inner_writer))
                    pumps.create_task(self._pump(inner_reader, writer))
            finally:
                inner_writer.close()
        except* OSError:
            """One of the two ends has closed the connection."""
        finally:
            writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(_PIECE):
            if self.delay:
                await SystemClock().sleep(self.delay)
            await self._answering.wait()
            writer.write(piece)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def relay_to(port: int) -> AsyncIterator[Relay]:
    relay = Relay(port)
    await relay.listen()
    try:
        yield relay
    finally:
        await relay.refuse()


async def hanging(relay: Relay) -> None:
    relay.hang()


async def refusing(relay: Relay) -> None:
    await relay.refuse()


async def slow(relay: Relay) -> None:
    relay.delay = 0.03


Trouble = Callable[[Relay], Awaitable[None]]
TROUBLES: list[Trouble] = [hanging, refusing, slow]
LONGEST = 5.0
"""Seconds that no request may wait for a neighbour."""
