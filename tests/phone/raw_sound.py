"""The sound of a telephone whose messages a test chooses: PCMU and keys, in RTP."""

import asyncio
import struct
from collections.abc import Callable, Sequence
from typing import Self

from tests.sounds.samples import RATE, Samples

_PACKET = 160
"""Samples of a packet of 20 ms."""
_PCMU, _EVENT = 0, 101
"""Numbers of the codec and of pressed keys in RTP."""
_STEP = 8000 // 50


class RawSound:
    """Sends sound and keys to the other side, and counts the packets that come from it.

    `requests`: methods received; `statuses`: of the responses to its own, as the telephone adds
    them.
    """

    patience = 30.0

    def __init__(self) -> None:
        self.packets = 0
        self.requests: list[str] = []
        self.statuses: list[int] = []
        self._changed = asyncio.Event()
        self._sockets: Sequence[Sound] = ()
        self._sound: tuple[str, int] | None = None
        """Where the other side takes sound."""
        self._serial = 0

    async def until(self, holds: Callable[[Self], object], within: float | None = None) -> None:
        """Waits until it is so. Raises AssertionError after `patience` or so many seconds."""
        try:
            async with asyncio.timeout(within or self.patience):
                while not holds(self):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(
                f"never so: {self.statuses}, {self.requests}, {self.packets} packets"
            ) from None

    def take_sound(self) -> None:
        self.packets += 1
        self._changed.set()

    async def play(self, samples: Samples, *, port: int = 0) -> None:
        """Sends sound at its pace, from the `port` in its offer, or from another one (1)."""
        low = samples[:: RATE // 8000]
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(len(low) // _PACKET):
            piece = low[number * _PACKET : (number + 1) * _PACKET]
            self._send_packet(_PCMU, as_pcmu(piece), port)
            await asyncio.sleep(max(0.0, began + number * 0.02 - loop.time()))

    def press(self, codes: Sequence[int]) -> None:
        """Sends keys all at once, each as one event of RFC 4733 with its end three times."""
        for code in codes:
            at = self._serial
            for _ in range(3):
                self._send_packet(_EVENT, struct.pack("!BBH", code, 0x8A, 800), 0, at=at)

    def _send_packet(self, kind: int, payload: bytes, port: int, at: int | None = None) -> None:
        assert self._sound
        time = (self._serial if at is None else at) * _STEP
        header = struct.pack("!BBHII", 0x80, kind, self._serial & 0xFFFF, time & 0xFFFFFFFF, 7)
        self._serial += 1
        self._sockets[port].send(header + payload, self._sound)


class Sound(asyncio.DatagramProtocol):
    """A port for sound."""

    def __init__(self, call: RawSound) -> None:
        self._call = call

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # it is one of datagrams
        self._transport = transport

    @property
    def port(self) -> int:
        return int(self._transport.get_extra_info("sockname")[1])

    def send(self, data: bytes, to: tuple[str, int]) -> None:
        self._transport.sendto(data, to)

    def datagram_received(self, _: bytes, __: object) -> None:
        self._call.take_sound()


def as_pcmu(samples: Samples) -> bytes:
    """Encodes samples as G.711 does (ITU-T G.711, mu-law)."""
    coded = bytearray()
    for sample in samples:
        sign = 0x80 if sample < 0 else 0
        size = min(abs(int(sample)), 32_635) + 132
        exponent = max(0, size.bit_length() - 8)
        coded.append(~(sign | exponent << 4 | (size >> (exponent + 3)) & 0x0F) & 0xFF)
    return bytes(coded)
