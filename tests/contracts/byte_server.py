"""A server of given bytes that keeps its connections open, as real ones do."""

import asyncio
import json
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Self

Answer = bytes | Literal["close", "reset", "silence"]
"""`silence`: the client waits until it gives up, or dies."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request; `nth` counts those before it on the same connection."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    connection: int
    nth: int


class ByteServer:
    """Answers each request with what `reply` returns: bytes, or an end of the connection."""

    def __init__(self, reply: Callable[[Asked], Answer], tls: ssl.SSLContext | None = None) -> None:
        self._reply = reply
        self._tls = tls
        self._connections = 0
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self.asked: list[Asked] = []

    @property
    def posts(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.method == "POST"]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self.root = f"http{'s' if self._tls else ''}://localhost:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._serving.values():
            writer.transport.abort()
        await asyncio.gather(*self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._serving[task] = writer
        self._connections += 1
        number = self._connections
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            for nth in range(100):
                asked = await _read(reader, number, nth)
                self.asked.append(asked)
                answer = self._reply(asked)
                if answer == "reset":
                    writer.transport.abort()
                if answer == "silence":
                    await reader.read()
                if isinstance(answer, str):
                    break
                writer.write(answer)
                await writer.drain()
        writer.close()


async def _read(reader: asyncio.StreamReader, connection: int, nth: int) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ", 2)
    fields = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in fields}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(method, path, headers, json.loads(body or b"null"), connection, nth)


def page(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"content-length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def said(words: str, *headers: str) -> bytes:
    """A whole reply, as the chat-completions wire streams it."""
    events: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": {"content": words}, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    ]
    lines = [*(json.dumps(event) for event in events), "[DONE]"]
    body = "".join(f"data: {line}\n\n" for line in lines).encode()
    return page("200 OK", body, "content-type: text/event-stream", *headers)
