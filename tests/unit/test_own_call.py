"""Messages of a call to ourselves, and a call against an exchange that does as it is asked."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.phone.doctor_call import _address_hint
from agent.phone.own_call import Report, Target, calling
from agent.phone.sip_messages import (
    parse_answer,
    parse_message,
    write_credentials,
    write_message,
    write_offer,
)
from llm_router.clock import SystemClock

TAKEN = "v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio {port} RTP/AVP 0 101\r\n"


class Exchange(asyncio.DatagramProtocol):
    """Answers calls with `statuses` in turn; a 200 comes with sound at `audio_port`."""

    def __init__(self, statuses: list[int], audio_port: int) -> None:
        self._statuses = statuses
        self._body = TAKEN.format(port=audio_port)
        self.received: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        message = parse_message(data)
        assert message
        self.received.append(data.decode())
        if message.method != "INVITE":
            return
        status = self._statuses.pop(0) if self._statuses else 200
        copied = ("via", "from", "to", "call-id", "cseq")
        headers = [pair for pair in message.headers if pair[0] in copied]
        if status == 401:
            headers.append(("WWW-Authenticate", 'Digest realm="LiveKit", nonce="n1"'))
        body = self._body if status == 200 else ""
        for each in (100, status):
            text = write_message(f"SIP/2.0 {each} Reason", headers, body if each == 200 else "")
            self._transport.sendto(text, addr)


class Ear(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.came = asyncio.Event()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.packets.append(data)
        if len(self.packets) >= 3:
            self.came.set()


@asynccontextmanager
async def exchange(*statuses: int) -> AsyncIterator[tuple[Exchange, Ear, int]]:
    loop = asyncio.get_running_loop()
    sound, ear = await loop.create_datagram_endpoint(Ear, local_addr=("127.0.0.1", 0))
    port = sound.get_extra_info("sockname")[1]
    transport, peer = await loop.create_datagram_endpoint(
        lambda: Exchange([*statuses], port), local_addr=("127.0.0.1", 0)
    )
    try:
        yield peer, ear, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()
        sound.close()


async def until_over(port: int, **fields: Any) -> Report:
    target = Target(host="127.0.0.1", port=port, called="+15550100", **fields)
    async with calling(target, SystemClock(), "abc") as call:
        while not call.report.status:
            call.changed.clear()
            await call.changed.wait()
        return call.report


async def test_a_refusal_has_its_status() -> None:
    async with exchange(486) as (_, _, port):
        report = await until_over(port)
    assert (report.status, report.reason, report.answered) == (486, "Reason", None)


async def test_a_password_is_given_when_it_is_asked_for_and_never_in_words() -> None:
    async with exchange(401, 200) as (peer, _, port):
        report = await until_over(port, username="phone", password="s3cret")
        assert report.answered is not None
        while "BYE" not in peer.received[-1]:
            await SystemClock().sleep(0)
    said = "".join(peer.received)
    assert 'Authorization: Digest username="phone", realm="LiveKit", nonce="n1"' in said
    assert "s3cret" not in said
    assert [one.split(" ")[0] for one in peer.received] == ["INVITE", "ACK", "INVITE", "ACK", "BYE"]


async def test_sound_goes_out_once_the_call_is_answered() -> None:
    async with exchange(200) as (_, ear, port):
        target = Target(host="127.0.0.1", port=port, called="+15550100")
        async with calling(target, SystemClock(), "abc"):
            await ear.came.wait()
    assert {len(packet) for packet in ear.packets} == {172}
    assert [packet[3] for packet in ear.packets[:3]] == [0, 1, 2]


@given(st.binary(max_size=2000))
def test_no_datagram_is_an_error(data: bytes) -> None:
    for given_bytes in (data, b"SIP/2.0 200 OK\r\n" + data):
        message = parse_message(given_bytes)
        if message:
            parse_answer(message.body)
            assert message.status in range(1000)
            assert len(message.reason) <= 100


@given(st.text(max_size=300))
def test_any_sdp_is_an_answer_or_none(sdp: str) -> None:
    assert parse_answer(sdp) is None or re.search("m=audio", sdp)


def test_an_offer_names_the_preferred_codec_first() -> None:
    offer = write_offer("192.0.2.1", 4000, ["G722", "PCMU"])
    assert "m=audio 4000 RTP/AVP 9 0 101\r\n" in offer
    sound = parse_answer(offer)
    assert sound
    assert (sound.host, sound.port, sound.codec) == ("192.0.2.1", 4000, 9)


def test_a_challenge_is_answered_as_the_standard_shows() -> None:
    # RFC 2617, 3.5, without qop.
    challenge = 'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"'
    given_back = write_credentials(challenge, "GET", "/dir/index.html", "Mufasa", "Circle Of Life")
    assert 'response="670fd8c2df070c60b045671b8b24ff02"' in given_back


@pytest.mark.parametrize(
    ("named", "reached", "is_wrong"),
    [
        ("127.0.0.1", "127.0.0.1", False),
        ("10.0.0.5", "192.168.1.5", False),
        ("172.17.0.2", "93.184.216.34", True),
        ("127.0.0.1", "10.0.0.5", True),
        ("sip.example.com", "93.184.216.34", False),
    ],
)
def test_an_address_for_sound_that_callers_cannot_reach_is_named(
    named: str, reached: str, is_wrong: bool
) -> None:
    assert bool(_address_hint(named, reached)) is is_wrong
