"""A model server in a process of its own, which sends many streams at little cost.

As a program: it prints the ports of its two addresses. Each line on its input sets how many of the
requests to the first address break (one in so many; 0: none) and the seconds between two words, and
is answered with how many broke since the line before. It ends with its input.

The first word of a reply says when its request came and when the word was sent, in the time of
`perf_counter`, which all processes of a Linux machine share.
"""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

WORDS = [f" word{number}" for number in range(64)]
"""The reply: 64 different words, each a delta, so that a repetition cannot hide."""
GAP = 0.02
"""Seconds between two of them, where a model is fast."""
STAMP = "@"
"""Comes before each of the two times in the first word."""
THINKS = 0.1
"""Seconds from the request to the first."""
MODEL = "m"

_ROOT = Path(__file__).parents[2]
_BREAKS_AFTER = len(WORDS) // 2
_BREAKS = ("reset", "error", "end")
"""Ways in which a stream breaks, in turn: a reset connection, an error event, an end in
mid-reply."""
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"
_ERROR = {"error": {"message": "the engine has died", "type": "server_error", "code": 500}}


def _event(body: Any) -> bytes:
    data = f"data: {body if isinstance(body, str) else json.dumps(body)}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


def _frame(delta: dict[str, str], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    return _event({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_780_000_000,
        "model": MODEL, "choices": [choice],
    })  # fmt: skip


_ROLE = _frame({"role": "assistant", "content": ""})
_FRAMES = [_frame({"content": word}) for word in WORDS]


def _stamped(came_at: float) -> bytes:
    """Returns the frame of the first word, with the times that a client compares with its own."""
    times = "".join(f"{STAMP}{time:.6f}" for time in (came_at, perf_counter()))
    return _frame({"content": WORDS[0] + times})


_END = _frame({}, "stop") + _event("[DONE]") + _LAST_CHUNK


class Requests:
    """The requests so far; says which of them break, and how, and how fast all are answered."""

    def __init__(self) -> None:
        self.one_in = 0
        self.gap = GAP
        self.broken = 0
        self._number = 0

    def next_fault(self) -> str:
        self._number += 1
        if not self.one_in or self._number % self.one_in:
            return ""
        self.broken += 1
        return _BREAKS[self.broken % len(_BREAKS)]


class _Connection(asyncio.Protocol):
    """Answers the requests of one connection, one after another."""

    transport: asyncio.Transport

    def __init__(self, requests: Requests, *, may_break: bool) -> None:
        self._requests = requests
        self._may_break = may_break
        self._came_at = 0.0
        self._received = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        if self._timer:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = bytes(self._received).partition(b"\r\n\r\n")
        if not found:
            return
        if not head.startswith(b"POST /v1/chat/completions "):
            self._received.clear()
            self._answer_other()
            return
        fields = dict(
            line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line
        )
        if len(body) < int(fields.get(b"content-length", b"0")):
            return
        self._received.clear()
        if body:
            self._begin(json.loads(body))
        else:
            self._answer_other()

    def _answer_other(self) -> None:
        """Answers everything else with its list of models."""
        listed = json.dumps({"object": "list", "data": [{"id": MODEL, "object": "model"}]})
        self.transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
            + f"content-length: {len(listed)}\r\n\r\n{listed}".encode()
        )

    def _begin(self, asked: dict[str, Any]) -> None:
        """Begins a reply: from its first word, or after the words of a last assistant message."""
        self._came_at = perf_counter()
        last = asked["messages"][-1]
        said = last["content"] if last["role"] == "assistant" else ""
        start = len(said.split()) if isinstance(said, str) else 0
        fault = self._requests.next_fault() if self._may_break and not start else ""
        self.transport.write(_HEAD + _ROLE)
        at = self._loop.time() + THINKS
        self._timer = self._loop.call_at(at, self._send, start, at, fault)

    def _send(self, number: int, at: float, fault: str) -> None:
        if fault and number == _BREAKS_AFTER:
            self._break(fault)
            return
        if number >= len(_FRAMES):
            self.transport.write(_END)
            return
        self.transport.write(_FRAMES[number] if number else _stamped(self._came_at))
        at += self._requests.gap
        self._timer = self._loop.call_at(at, self._send, number + 1, at, fault)

    def _break(self, fault: str) -> None:
        if fault == "reset":
            self.transport.abort()
        else:
            self.transport.write((_event(_ERROR) if fault == "error" else b"") + _LAST_CHUNK)


class Model:
    """The server, as the bench sees it. `addresses`: two, of which only the first breaks."""

    def __init__(self, process: Process, ports: Sequence[int]) -> None:
        self.process = process
        self.addresses = [f"http://127.0.0.1:{port}/v1" for port in ports]

    async def break_one_in(self, number: int, gap: float = GAP) -> int:
        """Has one request in so many break from now on; returns how many broke since before."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{number} {gap}\n".encode())
        return int(await self.process.stdout.readline())


@asynccontextmanager
async def model() -> AsyncIterator[Model]:
    """Runs the server while the block runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, stdin=PIPE, stdout=PIPE, cwd=_ROOT
    )
    try:
        assert process.stdout is not None
        yield Model(process, json.loads(await process.stdout.readline()))
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    requests = Requests()
    servers = [
        await loop.create_server(
            partial(_Connection, requests, may_break=is_first), "127.0.0.1", 0, backlog=1024
        )
        for is_first in (True, False)
    ]
    print([each.sockets[0].getsockname()[1] for each in servers], flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(requests.broken, flush=True)
        requests.broken = 0
        one_in, gap = line.split()
        requests.one_in, requests.gap = int(one_in), float(gap)


if __name__ == "__main__":
    asyncio.run(_serve())
