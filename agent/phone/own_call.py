"""Places a call to a SIP service of our own and measures it: a telephone without a person.

It offers the usual codecs over UDP, answers a challenge for a password, and sends and counts sound.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

from agent.phone.sip_messages import (
    Message,
    Sound,
    parse_answer,
    parse_message,
    write_credentials,
    write_message,
    write_offer,
)
from llm_router.clock import Clock

_FIRST_WAIT = 0.5
"""Seconds until a request is sent again; each wait is twice the one before (RFC 3261, T1)."""
_PACKET = 0.02  # s
_SAMPLES = 160
_TONE = (bytes([0xA5]) * 10 + bytes([0x25]) * 10) * 8
"""A square wave of 400 Hz: these bytes are as far above zero as below in PCMU and in PCMA."""
_SILENCE = {0: bytes([0xFF]) * _SAMPLES, 8: bytes([0xD5]) * _SAMPLES}
_VARIED = 40
"""Different bytes of a packet from which it counts as sound; silence has few."""
_SOUND_PACKETS = 3
_OK = 200
_FINAL = 300
_CHALLENGES = {401: ("www-authenticate", "Authorization"),
               407: ("proxy-authenticate", "Proxy-Authorization")}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Whom to call, and as whom."""

    host: str
    port: int
    called: str
    calling: str = "patchbay-doctor"
    username: str = ""
    password: str = field(default="", repr=False)
    codecs: Sequence[str] = ("PCMU", "PCMA", "G722")


@dataclass
class Report:
    """The call as far as it has been seen. Times are seconds from its start."""

    call_id: str = ""
    first_reply: float | None = None
    status: int = 0
    """Status of the final answer; 0: none yet."""
    reason: str = ""
    answered: float | None = None
    sound: Sound | None = None
    packets: int = 0
    """Packets of sound that came in."""
    first_sound: float | None = None
    has_ended: bool = False
    """Whether the other side hung up."""


class OwnCall(asyncio.DatagramProtocol):
    """One call. `report` is filled as things happen; `changed` is set each time."""

    def __init__(self, target: Target, clock: Clock, chance: str) -> None:
        self.report = Report(call_id=f"{chance}@patchbay-doctor")
        self.changed = asyncio.Event()
        self.sends_tone = False
        self._target = target
        self._clock = clock
        self._chance = chance
        self._sequence = 1
        self._branches = count(1)
        self._credentials: tuple[str, str] | None = None
        self._remote = ""
        self._started = clock.now()

    def open(self, transport: asyncio.DatagramTransport, audio: "Audio", host: str) -> None:
        self._transport = transport
        self._audio = audio
        self._local = f"{host}:{transport.get_extra_info('sockname')[1]}"
        self._offer = write_offer(host, audio.port, self._target.codecs)

    async def run(self) -> None:
        """Asks until there is any reply, then sends sound until it is cancelled."""
        wait = _FIRST_WAIT
        while self.report.first_reply is None:
            self._send("INVITE", self._offer)
            await self._clock.sleep(wait)
            wait *= 2
        serial = count()
        while True:
            if self.report.answered is not None and self.report.sound:
                self._audio.send(self.report.sound, next(serial), is_tone=self.sends_tone)
            await self._clock.sleep(_PACKET)

    def hang_up(self) -> None:
        """Ends the call in whatever state it is."""
        if self.report.answered is not None and not self.report.has_ended:
            self._sequence += 1
            self._send("BYE")
        elif self.report.answered is None and self.report.first_reply and not self.report.status:
            self._send("CANCEL")

    def elapsed(self) -> float:
        return self._clock.now() - self._started

    def datagram_received(self, data: bytes, _: object) -> None:
        message = parse_message(data)
        if message is None or message.header("call-id") != self.report.call_id:
            return
        if not message.status:
            self._answer(message)
        elif message.method == "INVITE":
            self._take(message)
        self.changed.set()

    def on_sound(self, *, is_sound: bool) -> None:
        self.report.packets += 1
        if is_sound and self.report.first_sound is None:
            self.report.first_sound = self.elapsed()
        self.changed.set()

    def _take(self, reply: Message) -> None:
        report = self.report
        if report.first_reply is None:
            report.first_reply = self.elapsed()
        status = reply.status
        if status < _OK:
            return
        self._remote = reply.header("to")
        self._send("ACK")
        if status in _CHALLENGES and self._credentials is None and self._target.username:
            asked, answer = _CHALLENGES[status]
            target = self._target
            self._credentials = (
                answer,
                write_credentials(
                    reply.header(asked), "INVITE", self._uri, target.username, target.password
                ),
            )
            self._sequence += 1
            self._remote = ""
            self._send("INVITE", self._offer)
            return
        if not report.status:
            report.status, report.reason = status, reply.reason
            if status < _FINAL:
                report.answered = self.elapsed()
                report.sound = parse_answer(reply.body)

    def _answer(self, request: Message) -> None:
        if request.method == "BYE":
            self.report.has_ended = True
        if request.method != "ACK":
            copied = ("via", "from", "to", "call-id", "cseq")
            headers = [(n.title(), value) for n, value in request.headers if n in copied]
            self._transport.sendto(write_message("SIP/2.0 200 OK", headers))

    @property
    def _uri(self) -> str:
        return f"sip:{self._target.called}@{self._target.host}:{self._target.port}"

    def _send(self, method: str, body: str = "") -> None:
        own = f"sip:{self._target.calling}@{self._local}"
        branch = f"z9hG4bK{self._chance}{'i' if method == 'CANCEL' else next(self._branches)}"
        if method == "INVITE":
            branch = f"z9hG4bK{self._chance}i"
        headers = [
            ("Via", f"SIP/2.0/UDP {self._local};rport;branch={branch}{self._sequence}"),
            ("Max-Forwards", "70"),
            ("From", f"<{own}>;tag={self._chance}"),
            ("To", self._remote or f"<{self._uri}>"),
            ("Call-ID", self.report.call_id),
            ("CSeq", f"{self._sequence} {method}"),
            ("Contact", f"<{own}>"),
            ("User-Agent", "patchbay-doctor"),
        ]
        if method == "INVITE" and self._credentials:
            headers.append(self._credentials)
        if body:
            headers.append(("Content-Type", "application/sdp"))
        self._transport.sendto(write_message(f"{method} {self._uri} SIP/2.0", headers, body))


class Audio(asyncio.DatagramProtocol):
    """The sound of a call: RTP, in packets of 20 ms (RFC 3550)."""

    def __init__(self, call: OwnCall) -> None:
        self._call = call
        self._run = 0

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # it is one of datagrams
        self._transport = transport

    @property
    def port(self) -> int:
        return int(self._transport.get_extra_info("sockname")[1])

    def datagram_received(self, data: bytes, _: object) -> None:
        if len(data) > 12 and data[0] >> 6 == 2:  # noqa: PLR2004  version and header of RTP
            self._run = self._run + 1 if len(set(data[12:])) > _VARIED else 0
            self._call.on_sound(is_sound=self._run >= _SOUND_PACKETS)

    def send(self, to: Sound, serial: int, *, is_tone: bool) -> None:
        payload = _TONE if is_tone else _SILENCE.get(to.codec, bytes(_SAMPLES))
        header = struct.pack("!BBHII", 0x80, to.codec, serial & 0xFFFF, serial * _SAMPLES, 1)
        self._transport.sendto(header + payload, (to.host, to.port))


@asynccontextmanager
async def calling(target: Target, clock: Clock, chance: str) -> AsyncIterator[OwnCall]:
    """Calls during the block, and hangs up at its end. Raises OSError if the host is unknown."""
    loop = asyncio.get_running_loop()
    call = OwnCall(target, clock, chance)
    transport, _ = await loop.create_datagram_endpoint(
        lambda: call, remote_addr=(target.host, target.port), family=socket.AF_INET
    )
    try:
        host = str(transport.get_extra_info("sockname")[0])
        sound, audio = await loop.create_datagram_endpoint(
            lambda: Audio(call), local_addr=(host, 0), family=socket.AF_INET
        )
        try:
            call.open(transport, audio, host)
            running = asyncio.create_task(call.run())
            try:
                yield call
            finally:
                call.hang_up()
                running.cancel()
                await asyncio.wait({running})
        finally:
            sound.close()
    finally:
        transport.close()
