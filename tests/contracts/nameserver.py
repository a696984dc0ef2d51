"""A DNS server over UDP on this machine, and a resolver that queries it.

Its response can change with every query, as in a DNS rebinding attack.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

_HEAD = struct.Struct("!6H")
_ANSWER = struct.Struct("!HHHIH")
_A, _IN, _POINTER = 1, 1, 0xC00C


@dataclass
class NameServer(asyncio.DatagramProtocol):
    """`answers`: the IPv4 addresses for each query in turn; the last for all further queries."""

    answers: Sequence[Sequence[str]]
    asked: list[str] = field(default_factory=list)
    port: int = 0
    _transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # typeshed: any transport
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        labels, at = [], _HEAD.size
        while length := data[at]:
            labels.append(data[at + 1 : at + 1 + length].decode())
            at += 1 + length
        turn = min(len(self.asked), len(self.answers) - 1)
        self.asked.append(".".join(labels))
        found = self.answers[turn]
        reply = _HEAD.pack(struct.unpack_from("!H", data)[0], 0x8180, 1, len(found), 0, 0)
        reply += data[_HEAD.size : at + 5]
        for address in found:
            reply += _ANSWER.pack(_POINTER, _A, _IN, 0, 4) + socket.inet_aton(address)
        assert self._transport
        self._transport.sendto(reply, addr)

    async def resolve(self, host: str) -> Sequence[str]:
        """Resolves a name by a query to this server."""
        name = b"".join(bytes([len(label)]) + label.encode() for label in host.split("."))
        question = _HEAD.pack(7, 0x0100, 1, 0, 0, 0) + name + b"\0" + struct.pack("!2H", _A, _IN)
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.setblocking(False)
            await loop.sock_connect(asking, ("127.0.0.1", self.port))
            await loop.sock_sendall(asking, question)
            reply = await loop.sock_recv(asking, 512)
        rows = reply[len(question) :]
        size = _ANSWER.size + 4
        return [
            socket.inet_ntoa(rows[at + _ANSWER.size : at + size])
            for at in range(0, len(rows), size)
        ]


@asynccontextmanager
async def name_server(*answers: Sequence[str]) -> AsyncIterator[NameServer]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: NameServer(answers), local_addr=("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        transport.close()
