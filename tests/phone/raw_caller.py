"""A caller whose SIP messages a test chooses: it does what no telephone does.

It offers and counts sound in PCMU, and sends none unless it is asked to.
"""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agent.phone.sip_messages import (
    Message,
    parse_answer,
    parse_message,
    write_message,
    write_offer,
)
from tests.phone.raw_sound import RawSound, Sound
from tests.phone.softphone import free_port
from tests.phone.stack import LINE, PhoneStack


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The identity that a caller claims. `name` stands on the wire as it is."""

    user: str = "+15550400"
    name: str = ""
    headers: Sequence[tuple[str, str]] = ()
    host: str = "127.0.0.1"
    """Address from which they call."""


class RawCaller(RawSound, asyncio.DatagramProtocol):
    """One call. Of its own requests, only an INVITE's responses are among the `statuses`."""

    def __init__(self, number: str, server: str, identity: Identity) -> None:
        super().__init__()
        self.answers = True
        """Whether it acknowledges an answer to its call."""
        self._identity = identity
        self._uri = f"sip:{number}@{server}"
        self._chance = secrets.token_hex(6)
        self._sequence = 0
        self._to = f"<{self._uri}>"
        self.codec: int | None = None
        """Codec of the answer, by its number in RTP."""

    def open(self, transport: asyncio.DatagramTransport, sockets: Sequence[Sound]) -> None:
        self._transport = transport
        self._sockets = sockets
        host, port = transport.get_extra_info("sockname")
        self._local = f"{host}:{port}"
        self._host = host

    # ── Messages ─────────────────────────────────────────────────────────────────────────────────

    def invite(
        self,
        *,
        direction: str = "sendrecv",
        codecs: Sequence[str] = ("PCMU",),
        offers: bool = True,
    ) -> None:
        """Calls; or, in a call, offers sound anew: `sendonly` puts the other side on hold."""
        self._sequence += 1
        offer = write_offer(self._host, self._sockets[0].port, codecs)
        self._send("INVITE", offer.replace("sendrecv", direction) if offers else "")

    def cancel(self) -> None:
        self._send("CANCEL")

    def hang_up(self) -> None:
        self._sequence += 1
        self._send("BYE")

    @property
    def is_answered(self) -> bool:
        return 200 in self.statuses

    @property
    def is_over(self) -> bool:
        """Whether the call was refused, or the other side has hung up."""
        return "BYE" in self.requests or any(status >= 300 for status in self.statuses)

    async def answered(self) -> None:
        await self.until(lambda me: me.is_answered)

    def datagram_received(self, data: bytes, _: object) -> None:
        message = parse_message(data)
        if message is None:
            return
        if not message.status:
            self._take_request(message)
        elif message.method == "INVITE":
            self._take_response(message)
        self._changed.set()

    def _take_response(self, message: Message) -> None:
        self.statuses.append(message.status)
        if message.status < 200:
            return
        self._to = message.header("to")
        if found := parse_answer(message.body):
            self._sound, self.codec = (found.host, found.port), found.codec
        if self.answers or message.status >= 300:
            self._send("ACK")

    def _take_request(self, message: Message) -> None:
        self.requests.append(message.method)
        if message.method != "ACK":
            copied = ("via", "from", "to", "call-id", "cseq")
            headers = [(name, value) for name, value in message.headers if name in copied]
            self._transport.sendto(write_message("SIP/2.0 200 OK", headers))

    def _send(self, method: str, body: str = "") -> None:
        identity = self._identity
        name = f"{identity.name} " if identity.name else ""
        headers = [
            ("Via", f"SIP/2.0/UDP {self._local};rport;branch=z9hG4bK{self._branch(method)}"),
            ("Max-Forwards", "70"),
            ("From", f"{name}<sip:{identity.user}@{self._host}>;tag={self._chance}"),
            ("To", self._to),
            ("Call-ID", self._chance),
            ("CSeq", f"{self._sequence} {method}"),
            ("Contact", f"<sip:raw@{self._local}>"),
            *(identity.headers if method == "INVITE" else ()),
        ]
        if body:
            headers.append(("Content-Type", "application/sdp"))
        self._transport.sendto(write_message(f"{method} {self._uri} SIP/2.0", headers, body))

    def _branch(self, method: str) -> str:
        """A CANCEL, and the ACK of a refusal, have that of their INVITE."""
        shares = method in {"INVITE", "CANCEL"} or (method == "ACK" and not self.is_answered)
        return f"{self._chance}{self._sequence}{'INVITE' if shares else method}"


@asynccontextmanager
async def raw_call(
    stack: PhoneStack, number: str = LINE, identity: Identity | None = None
) -> AsyncIterator[RawCaller]:
    """Opens what a call needs, and hangs up at the end if the call goes on."""
    loop = asyncio.get_running_loop()
    identity = identity or Identity()
    host, port = stack.sip_address.split(":")
    caller = RawCaller(number, stack.sip_address, identity)
    transport, _ = await loop.create_datagram_endpoint(
        lambda: caller,
        local_addr=(identity.host, free_port()),
        remote_addr=(host, int(port)),
        family=socket.AF_INET,
    )
    opened = [
        await loop.create_datagram_endpoint(
            lambda: Sound(caller), local_addr=(identity.host, free_port())
        )
        for _ in range(2)
    ]
    try:
        caller.open(transport, [sound for _, sound in opened])
        yield caller
        if caller.is_answered and not caller.is_over:
            caller.hang_up()
    finally:
        for sound_transport, _ in opened:
            sound_transport.close()
        transport.close()
