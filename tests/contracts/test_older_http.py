"""Asks /v1 over HTTP/1.0, on a raw socket: its answers have no chunked coding, and end."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from agent.http_process import listen
from agent.http_server import make_server
from llm_router.testing.server import Script
from tests.contracts.databases import Files
from tests.contracts.gateway import Gateway, gateway_on, one_server

WORDS = "".join(Script().words)
QUESTION = {"model": "auto", "messages": [{"role": "user", "content": "Hi?"}]}
STREAM = {**QUESTION, "stream": True}

_CLOSE = "Connection: close\r\n"


class Client:
    """Sends requests of one version of HTTP, each on a connection that the server has to close."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._key = key

    async def ask(
        self, version: str, method: str, path: str, body: Any = None, more: str = ""
    ) -> tuple[Mapping[str, str], bytes]:
        """Returns the head's fields, with the status line as `status`, and all that follows.

        `more`: further lines of the request's head, each with its end.
        """
        content = json.dumps(body).encode() if body else b""
        head = (
            f"{method} {path} HTTP/{version}\r\nHost: 127.0.0.1\r\n{more or _CLOSE}"
            f"Authorization: Bearer {self._key}\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(head.encode() + content)
            async with asyncio.timeout(20):
                answer = await reader.read()
        finally:
            writer.close()
        first, _, rest = answer.partition(b"\r\n\r\n")
        status, *lines = first.decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines)
        return {"status": status.split()[1], **fields}, rest


@asynccontextmanager
async def serving(gateway: Gateway) -> AsyncIterator[Client]:
    """Serves the gateway as its process does; its lifespan is the fixture's."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await gateway.app(scope, receive, send)

    listener = listen("127.0.0.1", 0)
    server = make_server(app)
    running = asyncio.create_task(server.serve([listener]))
    try:
        yield Client(listener.getsockname()[1], gateway.keys["editor"])
    finally:
        server.should_exit = True
        await running


@pytest.fixture
async def client(files: Files) -> AsyncIterator[Client]:
    async with (
        gateway_on(await files.new(), allowed_addresses=("127.0.0.0/8",)) as gateway,
        one_server(gateway),
        serving(gateway) as client,
    ):
        yield client


def words_of(stream: bytes) -> str:
    events = [event.removeprefix("data: ") for event in stream.decode().split("\n\n")]
    assert events[-2:] == ["[DONE]", ""]
    deltas = [json.loads(event)["choices"][0]["delta"] for event in events[:-2]]
    return "".join(delta.get("content") or "" for delta in deltas)


async def test_a_stream_over_http_1_0_is_bare_and_ends_with_its_connection(client: Client) -> None:
    fields, body = await client.ask("1.0", "POST", "/v1/chat/completions", STREAM)
    assert fields["status"] == "200"
    assert fields.keys().isdisjoint({"transfer-encoding", "content-length"})
    assert fields["connection"] == "close"
    assert words_of(body) == WORDS


async def test_a_stream_over_http_1_1_is_chunked(client: Client) -> None:
    fields, body = await client.ask("1.1", "POST", "/v1/chat/completions", STREAM)
    assert fields["transfer-encoding"] == "chunked"
    assert body.endswith(b"\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/chat/completions", QUESTION, "200"),
        ("GET", "/v1/models", None, "200"),
        ("POST", "/v1/chat/completions", {**STREAM, "model": "gone"}, "404"),
        ("HEAD", "/healthz", None, "405"),
        ("GET", "/api/connections/export", None, "200"),
    ],
)
async def test_a_whole_answer_over_http_1_0_has_its_length(
    client: Client, method: str, path: str, body: Any, status: str
) -> None:
    fields, content = await client.ask("1.0", method, path, body)
    assert fields["status"] == status, content
    assert "transfer-encoding" not in fields
    if method != "HEAD":
        assert int(fields["content-length"]) == len(content)


@pytest.mark.parametrize("name", ["Upgrade", "upgrade", "UPGRADE"])
async def test_a_wish_for_another_protocol_takes_no_body_away(client: Client, name: str) -> None:
    # As Java's own client sends it with every request to an address without TLS.
    wish = (
        f"Connection: Upgrade, HTTP2-Settings, close\r\n{name}: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    )
    fields, body = await client.ask("1.1", "POST", "/v1/chat/completions", QUESTION, wish)
    assert fields["status"] == "200"
    assert json.loads(body)["choices"][0]["message"]["content"] == WORDS
