"""A telephone exchange that refuses calls, each with one status, or only lets them ring."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

REASONS = {
    404: "Not Found",
    480: "Temporarily Unavailable",
    484: "Address Incomplete",
    486: "Busy Here",
    503: "Service Unavailable",
    603: "Decline",
}
_COPIED = ("via", "from", "to", "call-id", "cseq")


class Peer(asyncio.DatagramProtocol):
    """The exchange. `status` is that of its next calls; None lets them ring until they give up."""

    def __init__(self, status: int | None) -> None:
        self.status = status
        self.called: list[str] = []
        """The numbers that were called, each once a call."""
        self._seen: dict[str, str] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    @property
    def address(self) -> str:
        host, port = self._transport.get_extra_info("sockname")
        return f"{host}:{port}"

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        head = data.decode("utf-8", "replace").partition("\r\n\r\n")[0]
        method, target = head.split(" ", 2)[:2]
        [call] = re.findall(r"(?im)^call-id: *(\S+)", head)
        if method == "INVITE":
            if call not in self._seen:
                self._seen[call] = head
                self.called.append(target.partition("@")[0].removeprefix("sip:"))
            self._respond(addr, head, 100, "Trying")
            if self.status is None:
                self._respond(addr, head, 180, "Ringing")
            else:
                self._respond(addr, head, self.status, REASONS.get(self.status, "Refused"))
        elif method == "CANCEL":
            self._respond(addr, head, 200, "OK")
            self._respond(addr, self._seen[call], 487, "Request Terminated")
        elif method not in {"ACK", "SIP/2.0"}:
            self._respond(addr, head, 200, "OK")

    def _respond(self, addr: tuple[str, int], request: str, status: int, reason: str) -> None:
        lines = [f"SIP/2.0 {status} {reason}"]
        for line in request.split("\r\n")[1:]:
            name = line.partition(":")[0].strip().lower()
            if name in _COPIED:
                tagged = name == "to" and ";tag=" not in line and status > 100
                lines.append(f"{line};tag=peer" if tagged else line)
        lines += ["Content-Length: 0", "", ""]
        self._transport.sendto("\r\n".join(lines).encode(), addr)


@asynccontextmanager
async def running_peer(status: int | None, port: int = 0) -> AsyncIterator[Peer]:
    """Runs the exchange during the block, on a free port if none is given."""
    loop = asyncio.get_running_loop()
    transport, peer = await loop.create_datagram_endpoint(
        lambda: Peer(status), local_addr=("127.0.0.1", port)
    )
    try:
        yield peer
    finally:
        transport.close()
