"""What a server sent, byte for byte, in the pieces in which it came; and a server that sends it."""

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


Hear = Callable[[bytes], object]


@dataclass(slots=True)
class Recording:
    """`server`: which, in which version. What it sent to each request in turn, with the route that
    was asked.
    """

    server: str
    answers: list[tuple[str, list[bytes]]] = field(default_factory=list)

    def begin(self, route: str) -> Hear:
        """Another request; whoever is told what comes of it."""
        pieces: list[bytes] = []
        self.answers.append((route, pieces))
        return pieces.append

    def cut(self, cut: Callable[[Sequence[bytes]], Sequence[bytes]]) -> "Recording":
        """The same bytes in other pieces."""
        return Recording(self.server, [(route, [*cut(pieces)]) for route, pieces in self.answers])

    def save(self, kind: str, exchange: str) -> Path:
        file = FOLDER / kind / f"{exchange}.json"
        file.parent.mkdir(exist_ok=True)
        # A character may be cut between two pieces: its halves are kept as escapes.
        answers = [
            [route, [piece.decode(errors="surrogateescape") for piece in pieces]]
            for route, pieces in self.answers
        ]
        file.write_text(json.dumps({"server": self.server, "answers": answers}, indent=1) + "\n")
        return file


def recorded() -> Sequence[tuple[str, str]]:
    """Kind and exchange of each recording there is."""
    return sorted((file.parent.name, file.stem) for file in FOLDER.glob("*/*.json"))


def load(kind: str, exchange: str) -> Recording:
    kept = json.loads((FOLDER / kind / f"{exchange}.json").read_text())
    answers = [
        (route, [piece.encode(errors="surrogateescape") for piece in pieces])
        for route, pieces in kept["answers"]
    ]
    return Recording(kept["server"], answers)


@asynccontextmanager
async def replaying(recording: Recording) -> AsyncIterator[str]:
    """The address of a server that sends what was recorded, to whoever asks the same route; after
    the last answer it hangs up.
    """
    left = [*recording.answers]
    _, last = left[-1]

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pieces: Sequence[bytes] = ()
        while pieces is not last:
            head = await reader.readuntil(b"\r\n\r\n")
            if length := re.search(rb"content-length: *(\d+)", head, re.IGNORECASE):
                await reader.readexactly(int(length[1]))
            place = [route for route, _ in left].index(_route(head))
            _, pieces = left.pop(place)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()

    async with _serving(send) as port:
        yield f"http://127.0.0.1:{port}/v1"


@asynccontextmanager
async def listening_in(base_url: str, begin: Callable[[str], Hear]) -> AsyncIterator[str]:
    """An address that leads to that one. For each request `begin` is told its route, and whom it
    returns what comes of it, piece by piece.
    """
    address = urlsplit(base_url)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hear: Hear = bytes  # nothing was asked yet

        def ask(piece: bytes) -> None:
            nonlocal hear
            if route := _route(piece):
                hear = begin(route)

        def tell(piece: bytes) -> None:
            hear(piece)

        with suppress(ConnectionError):  # it was killed
            theirs, ours = await asyncio.open_connection(address.hostname, address.port)
            both = [
                asyncio.create_task(_pass_on(reader, ours, ask)),
                asyncio.create_task(_pass_on(theirs, writer, tell)),
            ]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await _end(both)
                ours.close()

    async with _serving(relay) as port:
        yield f"http://127.0.0.1:{port}{address.path}"


def _route(request: bytes) -> str:
    """Of a request's head; empty for what is none."""
    found = re.match(rb"[A-Z]+ (\S+) HTTP/1.1\r\n", request)
    return found[1].decode() if found else ""


async def _pass_on(
    source: asyncio.StreamReader,
    target: asyncio.StreamWriter,
    hear: Hear,
) -> None:
    with suppress(ConnectionError):
        while piece := await source.read(1 << 16):
            hear(piece)
            target.write(piece)
            await target.drain()


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def _serving(serve: Serve) -> AsyncIterator[int]:
    """The port where each connection is served, and then closed; all of them at the end."""
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
