"""A minimal HTTP/1.1 server side in which every byte is sent when and how a script says."""

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

_BODY_LIMIT = 1 << 24  # bytes
_TOP_TWO_BITS = 0b1100_0000
_CONTINUATION = 0b1000_0000  # the top two bits of a UTF-8 byte that does not begin a character


class Reset(Exception):  # noqa: N818  a way to end a connection, not an error
    """Asks the server to drop the connection with a TCP reset."""


@dataclass(frozen=True, slots=True)
class Request:
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> dict[str, Any]:
        """Returns the body as a JSON object, empty if the body is not one."""
        try:
            body = json.loads(self.body)
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}


class Wire(asyncio.StreamReaderProtocol):
    """The server's side of one connection, request after request.

    `client_closed` is set as soon as the client has closed its side.
    """

    def __init__(self, on_connect: Callable[["Wire"], None]) -> None:
        self.client_closed = asyncio.Event()
        self._on_connect = on_connect
        super().__init__(asyncio.StreamReader(), self._begin)

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        # asyncio sets this only on sockets it has made itself; without it small writes are delayed.
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._on_connect(self)

    def eof_received(self) -> bool:
        self.client_closed.set()
        return bool(super().eof_received())

    def connection_lost(self, exc: Exception | None) -> None:
        self.client_closed.set()
        super().connection_lost(exc)

    async def request(self) -> Request | None:
        """Reads the next request; None when the client has left, or did not send valid HTTP."""
        try:
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in lines)
            }
            length = int(headers.get("content-length", 0))
            if length > _BODY_LIMIT:
                return None
            return Request(first.split(" ")[1], headers, await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, IndexError):
            return None

    async def send_head(self, status: int, headers: Mapping[str, str]) -> None:
        """Sends the head of a response whose body follows in chunks."""
        await self._send_head(status, {**headers, "transfer-encoding": "chunked"})

    async def send_chunk(self, data: bytes, *, cut: bool = False) -> None:
        """Sends one chunk; with `cut`, splits every multi-byte character between two chunks."""
        for part in _split_characters(data) if cut else [data]:
            self._writer.write(b"%x\r\n%b\r\n" % (len(part), part))
            await self._writer.drain()

    async def end_chunks(self) -> None:
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    async def send_json(
        self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> None:
        data = json.dumps(body).encode()
        usual = {"content-type": "application/json", "content-length": str(len(data))}
        await self._send_head(status, usual | dict(headers or {}))
        self._writer.write(data)
        await self._writer.drain()

    async def send_bytes(self, data: bytes, content_type: str) -> None:
        await self._send_head(200, {"content-type": content_type, "content-length": str(len(data))})
        self._writer.write(data)
        await self._writer.drain()

    async def send_page(self, page: Any) -> None:
        """Answers 200 with a text unchanged, or with any other value as JSON."""
        data = (page if isinstance(page, str) else json.dumps(page)).encode()
        await self._send_head(200, {"content-length": str(len(data))})
        self._writer.write(data)
        await self._writer.drain()

    def reset(self) -> None:
        """Closes the connection so that the client sees a reset instead of an end of stream."""
        sock = self._writer.get_extra_info("socket")
        if sock and sock.fileno() != -1:  # the client may have left first
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def close(self) -> None:
        self._writer.close()

    async def _send_head(self, status: int, headers: Mapping[str, str]) -> None:
        phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Unnamed"
        lines = [f"HTTP/1.1 {status} {phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        await self._writer.drain()


def _split_characters(data: bytes) -> list[bytes]:
    cuts = [at for at, byte in enumerate(data) if byte & _TOP_TWO_BITS == _CONTINUATION]
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
