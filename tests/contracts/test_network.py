"""Tests that our network backend keeps the contract of httpx2's."""

import asyncio
import gc
import socket
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpcore2
import httpx2
import pytest

from llm_router.clock import SystemClock, checkpoint
from llm_router.connections.record import Connection
from llm_router.net.network import Network, Transport
from llm_router.providers.openai_compatible import create
from tests.contracts.tls import certified

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
LOTS = bytes(range(256)) * 8192  # 2 MiB


@asynccontextmanager
async def served(
    serve: Serve, tmp_path: Path | None = None
) -> AsyncIterator[httpcore2.AsyncNetworkStream]:
    """Opens a stream to a server that runs `serve`; with a folder for certificates, over TLS."""
    left = asyncio.Event()

    async def one_visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await serve(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        left.set()

    sides = certified(tmp_path, "api.example") if tmp_path else None
    async with await asyncio.start_server(
        one_visit, "127.0.0.1", 0, ssl=sides[0] if sides else None
    ) as server:
        stream = await Network().connect_tcp("127.0.0.1", server.sockets[0].getsockname()[1])
        if sides:
            stream = await stream.start_tls(sides[1], "api.example")
        yield stream
        await stream.aclose()
        await left.wait()


async def send_lots(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(LOTS)
    await writer.drain()


@pytest.mark.parametrize("secured", [False, True])
async def test_all_that_is_sent_arrives_in_pieces_no_larger_than_asked(
    secured: bool, tmp_path: Path
) -> None:
    async with served(send_lots, tmp_path if secured else None) as stream:
        read = bytearray()
        while piece := await stream.read(1000):
            assert len(piece) <= 1000
            read += piece
        assert read == LOTS


async def test_a_fast_sender_is_paused_until_it_is_read() -> None:
    async with served(send_lots) as stream:
        wire = stream._wire  # type: ignore[attr-defined]  # the object under test
        while not wire._is_paused:  # there is no event to await
            await checkpoint()
        held = wire._unread
        for _ in range(100):
            await checkpoint()
        assert wire._unread == held < len(LOTS)
        rest = 0
        while piece := await stream.read(1 << 16):
            rest += len(piece)
        assert rest == len(LOTS)


@pytest.mark.parametrize("secured", [False, True])
async def test_a_write_waits_until_the_other_side_has_room(secured: bool, tmp_path: Path) -> None:
    may_read, received = asyncio.Event(), asyncio.Queue[int]()

    async def read_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await may_read.wait()
        await received.put(len(await reader.readexactly(8 * len(LOTS))))

    async with served(read_late, tmp_path if secured else None) as stream:

        async def write_all() -> None:
            for _ in range(8):  # over TLS, one large write is accepted at once
                await stream.write(LOTS)

        writing = asyncio.create_task(write_all())
        for _ in range(100):
            await checkpoint()
        assert not writing.done()
        may_read.set()
        await writing
        assert await received.get() == 8 * len(LOTS)


@pytest.mark.parametrize("secured", [False, True])
async def test_closing_in_the_middle_reaches_the_server_at_once(
    secured: bool, tmp_path: Path
) -> None:
    left = asyncio.Event()

    async def talk_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"word ")
        with suppress(ConnectionError):
            await reader.read()
        left.set()

    async with served(talk_on, tmp_path if secured else None) as stream:
        assert await stream.read(100) == b"word "
        await stream.aclose()
        await left.wait()


async def test_a_connection_that_is_reset_is_a_read_error() -> None:
    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"half a ")
        await writer.drain()
        now = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
        writer.transport.abort()

    async with served(reset) as stream:
        assert await stream.read(100) == b"half a "
        with pytest.raises(httpcore2.ReadError):
            await stream.read(100)
        with pytest.raises(httpcore2.WriteError):
            await stream.write(b"?")


async def test_reads_and_writes_obey_their_timeouts() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with served(silent) as stream:
        with pytest.raises(httpcore2.ReadTimeout):
            await stream.read(100, timeout=0.001)
        with pytest.raises(httpcore2.WriteTimeout):
            await stream.write(64 * LOTS, timeout=0.001)


async def test_a_closed_port_is_a_connect_error() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(httpcore2.ConnectError):
            await Network().connect_tcp(*unused.getsockname())
    with pytest.raises(httpcore2.ConnectError):
        await Network().connect_tcp("x" * 64 + ".example", 80)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_dialling_can_be_cancelled_at_any_moment_and_leaves_no_socket(host: str) -> None:
    visits = asyncio.Queue[asyncio.Event]()

    async def until_gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = asyncio.Event()
        visits.put_nowait(left)
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        left.set()

    async with await asyncio.start_server(until_gone, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        for turns in range(40):
            dialling = asyncio.create_task(Network().connect_tcp(host, port))
            for _ in range(turns):
                await checkpoint()
            dialling.cancel()
            with suppress(asyncio.CancelledError):
                await (await dialling).aclose()
        stream = await Network().connect_tcp(host, port)
        await stream.write(b"the last")
        await stream.aclose()
        for _ in range(40):  # after that many turns, the earlier connections have arrived, too
            await checkpoint()
        while not visits.empty():
            await visits.get_nowait().wait()
    gc.collect()  # an unclosed socket warns now, which fails the test


async def test_a_tls_handshake_without_a_response_times_out(tmp_path: Path) -> None:
    async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    _, trusting = certified(tmp_path, "api.example")
    async with served(no_tls) as stream:
        with pytest.raises(httpcore2.ConnectTimeout):
            await stream.start_tls(trusting, "api.example", timeout=0.001)


async def test_an_idle_connection_that_the_server_has_closed_is_not_used_again() -> None:
    closed = asyncio.Event()

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()
        await writer.wait_closed()
        closed.set()

    transport = Transport(Network(), verify=False)
    async with (
        await asyncio.start_server(once, "127.0.0.1", 0) as server,
        httpx2.AsyncClient(transport=transport) as client,
    ):
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        for _ in range(3):
            closed.clear()
            assert (await client.get(url)).text == "ok"
            await closed.wait()


async def test_a_proxy_receives_the_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asyncio.Queue[bytes]()

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked.put(await reader.readuntil(b"\r\n"))
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n{"data": [{"id": "model"}]}')
        writer.close()

    async with await asyncio.start_server(proxy, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        there = Connection(name="there", base_url="http://model.example/v1", model_name="model")
        provider = create(there, SystemClock())
        assert list(await provider.models()) == ["model"]
        assert (await asked.get()).startswith(b"GET http://model.example/v1/models ")
        await provider.aclose()


async def test_an_address_is_dialled_without_a_thread_of_its_own() -> None:
    before = threading.active_count()
    async with served(send_lots) as stream:
        assert await stream.read(10)
    assert threading.active_count() == before
