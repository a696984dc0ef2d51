"""Serves speech over HTTP for tests of STT and TTS engines, and lists the tasks of the client."""

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


class SpeechServer(ABC):
    """Records the requests it receives; a subclass decides how it answers."""

    def __init__(self, *, keeps_alive: bool) -> None:
        self.keeps_alive = keeps_alive
        self.heads: list[str] = []
        self.hung_up = asyncio.Event()
        """Set once a client has closed its connection."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            self.heads.append(head)
            length = re.search(r"\r\ncontent-length: (\d+)", head)
            await self.respond(writer, await reader.readexactly(int(length[1]) if length else 0))
            if not self.keeps_alive:
                return

    @abstractmethod
    async def respond(self, writer: asyncio.StreamWriter, body: bytes) -> None:
        """Writes the whole HTTP answer to a request with this body."""


def client_tasks() -> set[asyncio.Task[Any]]:
    """Returns every running task except those of the server in this module."""
    own = ("SpeechServer.serve", "serving.<locals>.accept")
    return {
        task
        for task in asyncio.all_tasks()
        if getattr(task.get_coro(), "__qualname__", "") not in own
    }


@asynccontextmanager
async def serving(server: SpeechServer) -> AsyncIterator[str]:
    connections: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(server.serve(reader, writer))
        connections.add(task)
        try:
            await task
        except (asyncio.IncompleteReadError, ConnectionError):
            server.hung_up.set()
        except asyncio.CancelledError:
            pass  # the test has ended
        finally:
            writer.close()

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        listener.close()
        for task in connections:
            task.cancel()
        await listener.wait_closed()
