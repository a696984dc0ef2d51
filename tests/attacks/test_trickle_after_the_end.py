"""Tests that a reply is over at its announced end, whatever its server sends after that."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from llm_router.assembly import open_router
from llm_router.clock import SystemClock
from llm_router.connections.record import Connection
from llm_router.types import ChatRequest
from tests.contracts.wire import REQUEST, connect, read, text, wire
from tests.contracts.wire_parsing import ended, events, json_lines, line, said

__all__ = ["wire"]

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
WORDS = "We open at nine."
FUSE = 20.0
"""Seconds after which a reply that does not end fails its test."""
USAGE = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}

CHAT = {
    "done": events(said(WORDS), ended("stop")),
    "done, no reason": events(said(WORDS)),
    "a reason alone": events(said(WORDS), ended("stop"), done=False),
    "an end event": events(said(WORDS), done=False) + b"event: done\ndata: {}\n\n",
}
OLLAMA = {"done": json_lines(line(WORDS), line(done="stop"))}
TRICKLES = {
    "comments": b": keep-alive\n\n",
    "blank lines": b"\n",
    "usage": events(USAGE, done=False),
    "roles": events({"choices": [{"delta": {"role": "assistant"}}]}, done=False),
    "garbage": b"data: {]\n\n",
    "half a line": b"x",
}


@dataclass
class Trickling:
    """A server that never ends a response: after its reply it sends a piece every 20 ms."""

    reply: bytes
    trickle: bytes
    base_url: str = ""
    requests: int = 0
    serving: "list[asyncio.Task[None] | None]" = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving.append(asyncio.current_task())
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            is_load = b"/api/chat" in head and self.requests == 0
            self.requests += 1
            if is_load:
                writer.write(HEAD + b"{}")
            else:
                writer.write(HEAD + self.reply)
                while not writer.is_closing():
                    writer.write(self.trickle)
                    await writer.drain()
                    await SystemClock().sleep(0.02)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def trickling(reply: bytes, trickle: bytes) -> AsyncIterator[Trickling]:
    server = Trickling(reply, trickle)
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        server.base_url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
        yield server
        async with asyncio.timeout(FUSE):
            await asyncio.gather(*filter(None, server.serving))  # the client has closed each


@pytest.mark.parametrize("trickle", TRICKLES)
@pytest.mark.parametrize("reply", CHAT)
async def test_the_reply_is_spoken_once_and_by_one_request(reply: str, trickle: str) -> None:
    async with trickling(CHAT[reply], TRICKLES[trickle]) as server:
        box = Connection(name="box", base_url=server.base_url, model_name="tiny")
        request = ChatRequest(messages=REQUEST.messages, speech=True)
        async with open_router([box]) as router, asyncio.timeout(FUSE):
            async with aclosing(router.stream(request)) as stream:
                spoken = "".join([chunk.text async for chunk in stream])
            event = stream.event
        assert spoken == WORDS
        assert (event.attempts, event.resumes, server.requests) == (1, 0, 1)
        assert [one.outcome for one in event.tries] == ["won"]


@pytest.mark.parametrize("trickle", ["comments", "blank lines", "half a line"])
async def test_a_provider_leaves_the_connection_soon_after_the_end(wire: str, trickle: str) -> None:
    reply = (OLLAMA if wire == "ollama" else CHAT)["done"]
    async with (
        trickling(reply, TRICKLES[trickle]) as server,
        connect(server.base_url, provider=wire) as provider,
        asyncio.timeout(FUSE),
    ):
        assert text(await read(provider)) == WORDS
