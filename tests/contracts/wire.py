"""Helpers of the wire tests: providers, servers, and servers that send given bytes."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

import pytest

from llm_router.clock import Clock, SystemClock
from llm_router.connections.record import Connection
from llm_router.errors import (
    BrokenStreamError,
)
from llm_router.providers.base import PROVIDERS, Provider
from llm_router.testing.server import Behaviour, FaultyServer, Script
from llm_router.types import ChatRequest, Chunk

WITHOUT_A_WIRE = {"offline", "livekit_plugin", "transformers"}
"""Providers that open no connection themselves; test_providers_local.py tests them."""
WIRES = sorted({*PROVIDERS.names()} - WITHOUT_A_WIRE)
KEY = "sk-very-secret-0123456789"
SECRET_WORDS = "my card number is four two"
REQUEST = ChatRequest(messages=[{"role": "user", "content": SECRET_WORDS}])
CALLING = ChatRequest(
    messages=REQUEST.messages,
    tools=[
        {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
        for name in ("f", "g")
    ],
)
"""A request that offers the tools f and g."""
WORDS = Script().words
TEXT = "".join(WORDS)
HISTORY: list[dict[str, Any]] = [
    {"role": "developer", "content": "Be kind.", "id": "m1"},
    {"role": "user", "content": "Open?", "extra": {"google": {"thought_signature": "x"}}},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "id": "call_abc",
                "type": "function",
                "index": 0,
                "function": {"name": "hours", "arguments": ""},
                "extra_content": {"google": "x"},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call_abc", "content": "9 to 5"},
    {"role": "assistant", "content": None},
]


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest) -> str:
    """The name of each provider that opens its connections itself."""
    return str(request.param)


def create(connection: Connection, clock: Clock | None = None) -> Provider:
    return PROVIDERS.load(connection.provider)(connection, clock or SystemClock())


@asynccontextmanager
async def connect(base_url: str, **fields: Any) -> AsyncIterator[Provider]:
    """Yields a provider for the address: of chat completions, unless `provider` names another."""
    fields = {"name": "box", "model_name": "tiny", "api_key": KEY, **fields}
    provider = create(Connection(base_url=base_url, **fields))
    try:
        yield provider
    finally:
        await provider.aclose()


@asynccontextmanager
async def serve(
    behaviour: Behaviour | None = None, **fields: Any
) -> AsyncIterator[tuple[FaultyServer, Provider]]:
    async with (
        FaultyServer(behaviour) as server,
        connect(server.base_url, **fields) as provider,
    ):
        yield server, provider


@asynccontextmanager
async def raw_server(
    *pieces: bytes, hold: bool = False, greets: bool = False
) -> AsyncIterator[str]:
    """Yields a server that sends these bytes to any request; `greets`: before the request."""
    done = asyncio.Event()
    serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        serving[task] = writer
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            if not greets:
                await reader.readuntil(b"\r\n\r\n")
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if hold:
                await done.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        done.set()
        server.close()
        for writer in serving.values():
            writer.transport.abort()
        await asyncio.gather(*serving)


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"content-length: {len(body)}", "connection: close"]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def read(provider: Provider, request: ChatRequest = REQUEST) -> list[Chunk]:
    async with aclosing(provider.stream(request)) as stream:
        return [chunk async for chunk in stream]


async def read_until_broken(provider: Provider, request: ChatRequest = REQUEST) -> list[Chunk]:
    """Returns the chunks before the stream breaks; fails if it does not break.

    Leaves out the news that a tool call has begun.
    """
    chunks = []
    try:
        async for chunk in provider.stream(request):
            if not chunk.calling:
                chunks.append(chunk)  # noqa: PERF401  a comprehension would lose them with the error
    except BrokenStreamError:
        return chunks
    pytest.fail("the stream did not break")


def text(chunks: Sequence[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


async def request_body(request: ChatRequest, **fields: Any) -> dict[str, Any]:
    """Returns the body that the server receives for a request."""
    async with serve(**fields) as (server, provider):
        await read(provider, request)
        return dict(server.requests[0].body)


def sse(*bodies: Any, done: bool = True) -> Script:
    """Returns a server-sent stream of these events, byte for byte."""
    lines = [body if isinstance(body, str) else json.dumps(body) for body in bodies]
    return Script(raw=[f"data: {x}\n\n".encode() for x in [*lines, *(["[DONE]"] * done)]])


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def calls(*pieces: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return delta(finish, tool_calls=list(pieces))


def call(name: str | None = None, arguments: Any = None, **fields: Any) -> dict[str, Any]:
    return {**fields, "function": {"name": name, "arguments": arguments}}


async def reply_to(script: Script, request: ChatRequest = REQUEST, **fields: Any) -> list[Chunk]:
    async with serve(script, **fields) as (_, provider):
        return await read(provider, request)
