"""A telephone that is called, and whose SIP messages a test chooses."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from agent.phone.sip_messages import (
    Message,
    parse_answer,
    parse_message,
    write_message,
    write_offer,
)
from tests.phone.outgoing import way_out
from tests.phone.raw_sound import RawSound, Sound
from tests.phone.softphone import free_port
from tests.phone.stack import PhoneStack

_COPIED = ("via", "from", "to", "call-id", "cseq", "record-route")
_TAG = ";tag=raw"


class RawCallee(RawSound, asyncio.DatagramProtocol):
    """One call to it."""

    patience = 40.0

    def __init__(self) -> None:
        super().__init__()
        self._invite: Message | None = None
        self._peer: tuple[str, int] = ("", 0)
        self._sequence = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def open(self, socket_: Sound) -> None:
        self._sockets = [socket_]

    @property
    def address(self) -> str:
        host, port = self._transport.get_extra_info("sockname")
        return f"{host}:{port}"

    # ── What its user does ───────────────────────────────────────────────────────────────────────

    async def rings(self) -> None:
        """Waits for the call."""
        await self.until(lambda me: "INVITE" in me.requests)

    def announce(self) -> None:
        """Says by 183 that sound comes before the answer, as exchanges with announcements do."""
        self._respond(183, "Session Progress", self._sdp())

    async def answer(self) -> None:
        """Picks up, and returns once the other side has confirmed it."""
        self._respond(200, "OK", self._sdp())
        await self.until(lambda me: "ACK" in me.requests)

    def hang_up(self) -> None:
        self._request("BYE")

    async def hold(self, direction: str) -> None:
        """Offers sound anew: `sendonly` puts the other side on hold, `sendrecv` ends that."""
        answered = self.statuses.count(200)
        self._request("INVITE", self._sdp().replace("sendrecv", direction))
        await self.until(lambda me: me.statuses.count(200) > answered)
        self._request("ACK", sequence=self._sequence)

    # ── Messages ─────────────────────────────────────────────────────────────────────────────────

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        message = parse_message(data)
        if message is None:
            return
        self._peer = addr
        if message.status:
            self.statuses.append(message.status)
        else:
            self._take_request(message)
        self._changed.set()

    def _take_request(self, message: Message) -> None:
        self.requests.append(message.method)
        if message.method == "INVITE":
            self._invite = message
            if found := parse_answer(message.body):
                self._sound = found.host, found.port
            self._respond(100, "Trying")
            self._respond(180, "Ringing")
        elif message.method != "ACK":
            headers = [(name, value) for name, value in message.headers if name in _COPIED]
            self._transport.sendto(write_message("SIP/2.0 200 OK", headers), self._peer)

    def _respond(self, status: int, reason: str, body: str = "") -> None:
        assert self._invite
        headers = [
            (name, value + _TAG if name == "to" and status > 100 else value)
            for name, value in self._invite.headers
            if name in _COPIED
        ]
        headers.append(("Contact", f"<sip:raw@{self.address}>"))
        if body:
            headers.append(("Content-Type", "application/sdp"))
        message = write_message(f"SIP/2.0 {status} {reason}", headers, body)
        self._transport.sendto(message, self._peer)

    def _request(self, method: str, body: str = "", *, sequence: int = 0) -> None:
        assert self._invite
        invite = self._invite
        if not sequence:
            self._sequence += 1
        number = self._sequence
        headers = [
            ("Via", f"SIP/2.0/UDP {self.address};rport;branch=z9hG4bKraw{number}{method}"),
            ("Max-Forwards", "70"),
            ("From", invite.header("to") + _TAG),
            ("To", invite.header("from")),
            ("Call-ID", invite.header("call-id")),
            ("CSeq", f"{number} {method}"),
            ("Contact", f"<sip:raw@{self.address}>"),
        ]
        if body:
            headers.append(("Content-Type", "application/sdp"))
        target = invite.header("contact").partition("<")[2].partition(">")[0]
        self._transport.sendto(
            write_message(f"{method} {target} SIP/2.0", headers, body), self._peer
        )

    def _sdp(self) -> str:
        [own] = self._sockets
        return write_offer("127.0.0.1", own.port, ["PCMU"])


@asynccontextmanager
async def raw_callee(stack: PhoneStack) -> AsyncIterator[RawCallee]:
    """Runs a telephone to which the calls of the trunk `main` lead."""
    loop = asyncio.get_running_loop()
    transport, callee = await loop.create_datagram_endpoint(
        RawCallee, local_addr=("127.0.0.1", free_port()), family=socket.AF_INET
    )
    sound_transport, sound = await loop.create_datagram_endpoint(
        lambda: Sound(callee), local_addr=("127.0.0.1", free_port())
    )
    try:
        callee.open(sound)
        async with way_out(stack, callee.address):
            yield callee
    finally:
        sound_transport.close()
        transport.close()
