"""Just enough HTTP/1.1 to misbehave in: every byte is sent when and how the script says."""

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

_BODY_LIMIT = 1 << 24  # bytes
_TOP_TWO_BITS, _WITHIN = 0b1100_0000, 0b1000_0000  # of a UTF-8 byte that begins no character


class Reset(Exception):  # noqa: N818  a way to end a connection, not an error
    """Drop the connection without a farewell."""


@dataclass(frozen=True, slots=True)
class Request:
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body; an empty object for one that is none."""
        try:
            said = json.loads(self.body)
        except ValueError:
            return {}
        return said if isinstance(said, dict) else {}


class Wire(asyncio.StreamReaderProtocol):
    """One connection. `gone` is set as soon as the client has closed its side."""

    def __init__(self, connected: Callable[["Wire"], None]) -> None:
        self.gone = asyncio.Event()
        self._connected = connected
        super().__init__(asyncio.StreamReader(), self._begin)

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        # Asyncio sees to it for sockets it has made itself; else words wait for each other.
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connected(self)

    def eof_received(self) -> bool:
        self.gone.set()
        return bool(super().eof_received())

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        super().connection_lost(exc)

    async def request(self) -> Request | None:
        """The next request; None when the client is done, or sends what is none."""
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
        """The head of an answer whose body comes in chunks."""
        await self._send_head(status, {**headers, "transfer-encoding": "chunked"})

    async def send_chunk(self, data: bytes, *, cut: bool = False) -> None:
        """`cut`: every character of several bytes is torn apart, each part a chunk of its own."""
        for part in _torn(data) if cut else [data]:
            self._writer.write(b"%x\r\n%b\r\n" % (len(part), part))
            await self._writer.drain()

    async def end_chunks(self) -> None:
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    async def send_json(
        self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> None:
        data = json.dumps(body).encode()
        told = {"content-type": "application/json", "content-length": str(len(data))}
        await self._send_head(status, told | dict(headers or {}))
        self._writer.write(data)
        await self._writer.drain()

    async def send_page(self, page: Any) -> None:
        """A 200: text as it is, all else as JSON."""
        data = (page if isinstance(page, str) else json.dumps(page)).encode()
        await self._send_head(200, {"content-length": str(len(data))})
        self._writer.write(data)
        await self._writer.drain()

    def reset(self) -> None:
        """Close so that the client sees a reset, not an end."""
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


def _torn(data: bytes) -> list[bytes]:
    places = [place for place, byte in enumerate(data) if byte & _TOP_TWO_BITS == _WITHIN]
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
