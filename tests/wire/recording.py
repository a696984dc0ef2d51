"""Recordings of the bytes that a server sent, piece by piece, and a server that replays them."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

FOLDER = Path(__file__).parent


OnPiece = Callable[[bytes], object]


@dataclass(slots=True)
class Recording:
    """The answers of one server to the requests of one exchange."""

    server: str
    """Name and version of the server."""
    answers: list[tuple[str, list[bytes]]] = field(default_factory=list)
    """Route and received pieces of each request's answer, in order."""

    def start_answer(self, route: str) -> OnPiece:
        """Starts the answer to another request; returns the callback for each piece of it."""
        pieces: list[bytes] = []
        self.answers.append((route, pieces))
        return pieces.append

    def cut(self, cut: Callable[[Sequence[bytes]], Sequence[bytes]]) -> "Recording":
        """Returns a recording of the same bytes, in other pieces."""
        return Recording(self.server, [(route, [*cut(pieces)]) for route, pieces in self.answers])

    def save(self, kind: str, exchange: str) -> Path:
        file = FOLDER / kind / f"{exchange}.json"
        file.parent.mkdir(exist_ok=True)
        # A character may be cut between two pieces: its halves are saved as escapes.
        answers = [
            [route, [piece.decode(errors="surrogateescape") for piece in pieces]]
            for route, pieces in self.answers
        ]
        file.write_text(json.dumps({"server": self.server, "answers": answers}, indent=1) + "\n")
        return file


def list_recordings() -> Sequence[tuple[str, str]]:
    """Lists the kind of server and the exchange of each recording."""
    return sorted((file.parent.name, file.stem) for file in FOLDER.glob("*/*.json"))


def load_recording(kind: str, exchange: str) -> Recording:
    saved = json.loads((FOLDER / kind / f"{exchange}.json").read_text())
    answers = [
        (route, [piece.encode(errors="surrogateescape") for piece in pieces])
        for route, pieces in saved["answers"]
    ]
    return Recording(saved["server"], answers)


@asynccontextmanager
async def replay_server(recording: Recording) -> AsyncIterator[str]:
    """Runs a server that replays a recording to requests of the same routes; yields its address.

    It closes the connection after the last answer.
    """
    remaining = [*recording.answers]
    _, last = remaining[-1]

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pieces: Sequence[bytes] = ()
        while pieces is not last:
            head = await reader.readuntil(b"\r\n\r\n")
            if length := re.search(rb"content-length: *(\d+)", head, re.IGNORECASE):
                await reader.readexactly(int(length[1]))
            place = [route for route, _ in remaining].index(_route(head))
            _, pieces = remaining.pop(place)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()

    async with _serving(send) as port:
        yield f"http://127.0.0.1:{port}/v1"


@asynccontextmanager
async def recording_proxy(
    base_url: str, on_request: Callable[[str], OnPiece]
) -> AsyncIterator[str]:
    """Runs a proxy to `base_url` and yields its address.

    It calls `on_request` with the route of each request, and the callback that this returns with
    each piece of the answer.
    """
    address = urlsplit(base_url)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        on_piece: OnPiece = bytes  # ignores pieces until the first request

        def pass_request(piece: bytes) -> None:
            nonlocal on_piece
            if route := _route(piece):
                on_piece = on_request(route)

        def pass_answer(piece: bytes) -> None:
            on_piece(piece)

        with suppress(ConnectionError):  # the server was killed
            theirs, ours = await asyncio.open_connection(address.hostname, address.port)
            both = [
                asyncio.create_task(_relay(reader, ours, pass_request)),
                asyncio.create_task(_relay(theirs, writer, pass_answer)),
            ]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await _end(both)
                ours.close()

    async with _serving(relay) as port:
        yield f"http://127.0.0.1:{port}{address.path}"


def _route(request: bytes) -> str:
    """Returns the route in the head of a request; empty for bytes that do not begin one."""
    found = re.match(rb"[A-Z]+ (\S+) HTTP/1.1\r\n", request)
    return found[1].decode() if found else ""


async def _relay(
    source: asyncio.StreamReader,
    target: asyncio.StreamWriter,
    on_piece: OnPiece,
) -> None:
    with suppress(ConnectionError):
        while piece := await source.read(1 << 16):
            on_piece(piece)
            target.write(piece)
            await target.drain()


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def _serving(serve: Serve) -> AsyncIterator[int]:
    """Runs a server that closes each connection once served; yields its port."""
    serving: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    def own(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(handle(reader, writer))
        serving.add(task)
        task.add_done_callback(serving.discard)

    server = await asyncio.start_server(own, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await _end(serving)


async def _end(tasks: Collection[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
