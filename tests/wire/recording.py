"""What a server sent, byte for byte, in the pieces in which it came; and a server that sends it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

FOLDER = Path(__file__).parent


@dataclass(slots=True)
class Recording:
    """`server`: which, in which version. The connection ends after the last piece."""

    server: str
    pieces: list[bytes] = field(default_factory=list)

    def save(self, kind: str, exchange: str) -> Path:
        file = FOLDER / kind / f"{exchange}.json"
        file.parent.mkdir(exist_ok=True)
        # A character may be cut between two pieces: its halves are kept as escapes.
        pieces = [piece.decode(errors="surrogateescape") for piece in self.pieces]
        file.write_text(json.dumps({"server": self.server, "pieces": pieces}, indent=1) + "\n")
        return file


def recorded() -> Sequence[tuple[str, str]]:
    """Kind and exchange of each recording there is."""
    return sorted((file.parent.name, file.stem) for file in FOLDER.glob("*/*.json"))


def load(kind: str, exchange: str) -> Recording:
    kept = json.loads((FOLDER / kind / f"{exchange}.json").read_text())
    pieces = [piece.encode(errors="surrogateescape") for piece in kept["pieces"]]
    return Recording(kept["server"], pieces)


@asynccontextmanager
async def replaying(pieces: Sequence[bytes]) -> AsyncIterator[str]:
    """The address of a server that sends these pieces, whatever it is asked, and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _read_request(reader)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


@asynccontextmanager
async def listening_in(base_url: str, hear: Callable[[bytes], object]) -> AsyncIterator[str]:
    """An address that leads to that one; `hear` is told what comes from there, piece by piece."""
    address = urlsplit(base_url)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection(address.hostname, address.port)
        ours.write(await _read_request(reader))
        with suppress(ConnectionError):  # it was killed
            while piece := await theirs.read(1 << 16):
                hear(piece)
                writer.write(piece)
                await writer.drain()
        ours.close()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{address.path}"


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    return head + (await reader.readexactly(int(length[1])) if length else b"")
