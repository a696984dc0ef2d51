"""Asks a gateway for many streams at once, and notes when each piece of each reply arrived."""

import asyncio
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import httptools

from bench.gateway.model import STAMP, THINKS, WORDS
from bench.peers.runner import MESSAGES

LONGEST = 15.0
"""Seconds after which a client gives a reply up; it takes one and a half, or six and a half."""
CALLERS_PER_ADDRESS = 45
"""Callers that share an address and a key: ours bounds what one of them asks at once to 100, and
counts those of a run before until it has noticed that they left."""
_TEXT = "".join(WORDS)


@dataclass(slots=True)
class Stream:
    """One reply. Times in seconds; `gaps`: between two pieces, 0 for those of one read.

    `way_in`: from the request to its arrival at the model server; `way_out`: from there to the
    client with the first word.
    """

    first_word: float = math.nan
    way_in: float = math.nan
    way_out: float = math.nan
    gaps: list[float] = field(default_factory=list)
    pieces: int = 0
    text: str = ""
    has_reason: bool = False
    has_end: bool = False
    has_error: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether a client got every word once, the reason and the end."""
        is_ended = self.has_reason and self.has_end and not self.has_error
        return is_ended and self.text.strip() == _TEXT.strip()


@dataclass(frozen=True, slots=True)
class Target:
    """A gateway as its clients reach it: the path of its chat completions, keys for its callers."""

    base_url: str
    model: str
    keys: Sequence[str] = ("none",)

    def request(self, caller: int) -> bytes:
        url = urlsplit(self.base_url)
        asked = {"model": self.model, "messages": MESSAGES, "stream": True}
        body = json.dumps(asked).encode()
        key = self.keys[caller // CALLERS_PER_ADDRESS % len(self.keys)]
        head = (
            f"POST {url.path}/chat/completions HTTP/1.1\r\nhost: {url.netloc}\r\n"
            f"content-type: application/json\r\nauthorization: Bearer {key}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


class _Caller(asyncio.Protocol):
    """One client's connection. Asks once at a time."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._rest = b""
        self._asked_at = self._last_at = self._now = 0.0
        self._stream = Stream()
        self._done: asyncio.Future[None] | None = None
        self.is_open = False

    async def ask(self, request: bytes) -> Stream:
        """Returns the reply, or what there is of it after `LONGEST` seconds."""
        self._stream = Stream()
        self._rest = b""
        self._done = asyncio.get_running_loop().create_future()
        self._asked_at = perf_counter()
        self.transport.write(request)
        await asyncio.wait([self._done], timeout=LONGEST)
        if not self._done.done():
            self.transport.abort()
            self.is_open = False
        return self._stream

    # ── Called by asyncio ────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.is_open = True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        self.is_open = False
        self._finish()

    def data_received(self, data: bytes) -> None:
        self._now = perf_counter()
        self._parser.feed_data(data)

    # ── Called by the parser ─────────────────────────────────────────────────────────────────────

    def on_body(self, body: bytes) -> None:
        *events, self._rest = (self._rest + body).split(b"\n\n")
        for event in events:
            if event.startswith(b"data: {"):
                self._note(json.loads(event[len(b"data: ") :]))
            elif event == b"data: [DONE]":
                self._stream.has_end = True

    def on_message_complete(self) -> None:
        if not self._parser.should_keep_alive():
            self.is_open = False
        self._finish()

    def _note(self, payload: dict[str, Any]) -> None:
        stream = self._stream
        stream.has_error = stream.has_error or "error" in payload
        for choice in payload.get("choices", ()):
            stream.has_reason = stream.has_reason or bool(choice.get("finish_reason"))
            if not (text := choice["delta"].get("content")):
                continue
            stream.pieces += 1
            if stream.pieces == 1:
                stream.first_word = self._now - self._asked_at
                text, *times = text.split(STAMP)
                if times:  # a gateway that splits the word loses them
                    stream.way_in = float(times[0]) - self._asked_at
                    stream.way_out = self._now - float(times[-1])
            else:
                stream.gaps.append(self._now - self._last_at)
            stream.text += text
            self._last_at = self._now

    def _finish(self) -> None:
        if self._done and not self._done.done():
            self._done.set_result(None)


async def ask_often(target: Target, callers: int, seconds: float, gap: float) -> list[Stream]:
    """Has so many callers ask one reply after another, and begin the last within `seconds`.

    They begin at moments drawn within the length of a reply with a word each `gap` seconds, the
    same for every gateway, and so requests come as those of people do: neither together nor in
    step with the words of others.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    streams: list[Stream] = []
    drawn = Random(0)
    moments = [drawn.uniform(0.0, THINKS + len(WORDS) * gap) for _ in range(callers)]

    async def call(caller: int) -> None:
        request = target.request(caller)
        await asyncio.sleep(moments[caller])
        connection: _Caller | None = None
        is_first = True
        while is_first or loop.time() < until:
            is_first = False
            if connection is None or not connection.is_open:
                connection = await _connect(target, caller)
            streams.append(await connection.ask(request))
        if connection:
            connection.transport.abort()

    async with asyncio.TaskGroup() as calling:
        for caller in range(callers):
            calling.create_task(call(caller))
    return streams


async def _connect(target: Target, caller: int) -> _Caller:
    url = urlsplit(target.base_url)
    address = f"127.0.1.{1 + caller // CALLERS_PER_ADDRESS}"
    _, connection = await asyncio.get_running_loop().create_connection(
        _Caller, url.hostname or "", url.port or 80, local_addr=(address, 0)
    )
    return connection
