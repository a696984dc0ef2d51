"""Idle, half-sent, unread and numerous connections: each ends in time, and others are served."""

import asyncio
import logging
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import httpx2
import pytest
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from agent.http_server import Bounds, Places, make_server
from agent.log_lines import RepeatFilter
from llm_router.testing import ManualClock
from tests.attacks.half_open import connections
from tests.contracts.api_process import Serving, isolated_environ, serving

DESCRIPTORS = 256
NOTHING = b""
HALF_A_HEAD = b"GET /healthz HTTP/1.1\r\nHost: a\r\n"
HALF_A_BODY = b"POST /token HTTP/1.1\r\nHost: a\r\nContent-Length: 8000\r\n\r\n{"
UNREAD = b"GET /api/openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 2
GARBAGE = b"\x16\x03\x01 is no HTTP\r\n\r\n"

# ── A process ────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def few_descriptors() -> Iterator[None]:
    """Lets processes that are started in the block have few file descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def descriptors(pid: int) -> list[Path]:
    return [*Path(f"/proc/{pid}/fd").iterdir()]


@asynccontextmanager
async def attacked(folder: Path, **variables: str) -> AsyncIterator[Serving]:
    """Runs the HTTP process with few file descriptors, of which it must never run out."""
    async with AsyncExitStack() as stack:
        with few_descriptors():
            environ = isolated_environ(folder) | variables
            here = await stack.enter_async_context(serving(folder, **environ))
        yield here
        used = len(descriptors(here.running.pid))
        assert used < DESCRIPTORS - 50
        assert len(here.log) < 60, "".join(here.log[-10:])
        assert "Traceback" not in "".join(here.log)


async def healthy(url: str, source: str, times: int = 3) -> bool:
    """Asks the process from an address of this machine, on new connections."""
    for _ in range(times):
        transport = httpx2.AsyncHTTPTransport(local_address=source)
        async with httpx2.AsyncClient(transport=transport, timeout=20.0) as client:
            if (await client.get(f"{url}/healthz")).status_code != 200:
                return False
    return True


@pytest.mark.parametrize("sends", [HALF_A_BODY, UNREAD, GARBAGE])
async def test_three_hundred_connections_keep_no_other_client_out(
    tmp_path: Path, sends: bytes
) -> None:
    async with attacked(tmp_path) as here:
        port = int(here.url.rsplit(":", 1)[1])
        with connections(port, 300, sends):
            assert await healthy(here.url, "127.0.0.2")


@pytest.mark.parametrize("sends", [NOTHING, HALF_A_HEAD])
async def test_three_hundred_connections_keep_no_client_of_the_same_address_out(
    tmp_path: Path, sends: bytes
) -> None:
    async with attacked(tmp_path) as here:
        port = int(here.url.rsplit(":", 1)[1])
        with connections(port, 300, sends):
            assert await healthy(here.url, "127.0.0.1")


async def test_connections_from_many_addresses_keep_no_other_client_out(tmp_path: Path) -> None:
    async with attacked(tmp_path) as here:
        port = int(here.url.rsplit(":", 1)[1])
        async with AsyncExitStack() as stack:
            for last in range(3, 13):
                stack.enter_context(connections(port, 40, HALF_A_HEAD, f"127.0.0.{last}"))
            assert await healthy(here.url, "127.0.0.2")


async def test_a_proxy_may_have_more_connections_than_an_address(tmp_path: Path) -> None:
    async with attacked(tmp_path, TRUSTED_PROXIES="127.0.0.1") as here:
        port = int(here.url.rsplit(":", 1)[1])
        with connections(port, 110, HALF_A_BODY) as opened:
            assert await healthy(here.url, "127.0.0.1")
            assert not any(is_closed(connection) for connection in opened)


def is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return not connection.recv(1)
    except BlockingIOError:
        return False
    except OSError:
        return True


# ── Time ─────────────────────────────────────────────────────────────────────────────────────────

BOUNDS = Bounds(head=10.0, body=30.0, unread=20.0, connections=100, per_address=50)
LARGE = b"x" * 20_000_000


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with what was sent, or at /large with more than a socket holds."""
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            large = scope["path"] == "/large"
            answer: Response = Response(LARGE) if large else PlainTextResponse(body)
            await answer(scope, receive, send)
            return


@asynccontextmanager
async def served() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Serves the application in this loop, and opens one connection to it."""
    server = make_server(app, bounds=BOUNDS)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = asyncio.create_task(server.serve([listener]))
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        try:
            yield reader, writer
        finally:
            writer.close()
            server.should_exit = True
            await running


def closed_after(sent: bytes, *, pieces: bytes = b"", every: float = 1.0) -> float:
    """Returns the seconds until the server closes, of a clock that jumps.

    `pieces` are sent one after the other, until it does.
    """
    clock = ManualClock(socket_wait=0.002)

    async def main() -> float:
        async with served() as (reader, writer):
            started = clock.now()
            writer.write(sent)
            reading = asyncio.create_task(read_all(reader))
            for piece in pieces:
                await asyncio.wait([reading], timeout=every)
                if reading.done():
                    break
                writer.write(bytes([piece]))
            await reading
            return clock.now() - started

    return clock.run(main())


async def read_all(reader: asyncio.StreamReader) -> None:
    try:
        while await reader.read(65_536):
            pass
    except OSError:
        """Reset: it was closed with something unread."""


def test_a_connection_without_a_request_is_closed() -> None:
    assert closed_after(b"") == pytest.approx(BOUNDS.head, abs=0.5)


def test_a_head_that_comes_byte_by_byte_is_not_waited_for() -> None:
    assert closed_after(HALF_A_HEAD, pieces=b"X: " + b"a" * 90) == pytest.approx(10.0, abs=0.5)


@pytest.mark.parametrize(
    "sent",
    [
        HALF_A_HEAD + b"X: " + b"a" * 400_000,
        HALF_A_HEAD + b"X: a\r\n" * 60_000,
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
        + b"X: a\r\n" * 60_000,
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"a" * 400_000,
    ],
    ids=["one long field", "many fields", "fields after the body", "a long size of a chunk"],
)
def test_a_head_without_an_end_is_not_collected(sent: bytes) -> None:
    assert closed_after(sent) < 1.0


def test_a_body_that_comes_byte_by_byte_is_not_waited_for() -> None:
    assert closed_after(HALF_A_BODY, pieces=b"a" * 90) == pytest.approx(30.0, abs=0.5)


def test_a_second_request_that_is_half_sent_is_not_waited_for() -> None:
    first = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert closed_after(first + HALF_A_HEAD, pieces=b"a" * 90) == pytest.approx(10.0, abs=0.5)


def test_a_connection_that_idles_after_a_request_is_closed() -> None:
    assert closed_after(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == pytest.approx(5.0, abs=0.5)


def test_an_answer_that_is_not_read_is_given_up() -> None:
    clock = ManualClock(socket_wait=0.002)

    async def main() -> int:
        async with served() as (reader, writer):
            writer.write(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport of sockets has it
            await clock.sleep(BOUNDS.unread + 1.0)
            writer.transport.resume_reading()  # type: ignore[attr-defined]  # the same
            received = 0
            try:
                while piece := await reader.read(1_000_000):
                    received += len(piece)
            except OSError:
                """Reset, since most of it was never sent."""
            return received

    assert clock.run(main()) < len(LARGE)


def test_an_answer_that_is_read_slowly_arrives_whole() -> None:
    clock = ManualClock(socket_wait=0.002)

    async def main() -> int:
        async with served() as (reader, writer):
            writer.write(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
            received = 0
            while received < len(LARGE):
                received += len(await reader.readexactly(1_000_000))
                await clock.sleep(BOUNDS.unread / 2)
            return received

    assert clock.run(main()) == len(LARGE)


# ── Whose connection ends ────────────────────────────────────────────────────────────────────────


def test_the_connection_that_has_waited_longest_makes_room() -> None:
    places = Places[str](most=4, most_per_address=2)
    assert [places.add(name, "here") for name in "ab"] == [None, None]
    assert places.add("c", "here") == "a"
    assert [places.add(name, "there") for name in "de"] == [None, None]
    places.set_waiting("b", is_waiting=False)
    assert places.add("f", "elsewhere") == "c"


def test_a_connection_with_a_request_is_never_closed_for_another() -> None:
    places = Places[str](most=2, most_per_address=2)
    for name in "ab":
        assert places.add(name, "here") is None
        places.set_waiting(name, is_waiting=False)
    assert places.add("c", "here") == "c"
    assert places.add("d", "there") == "d"
    places.remove("a")
    assert places.add("e", "there") is None


def test_the_clients_of_a_proxy_are_bounded_only_together() -> None:
    places = Places[int](most=5, most_per_address=1)
    assert [places.add(number, "") for number in range(5)] == [None] * 5
    assert places.add(5, "") == 0


# ── The log ──────────────────────────────────────────────────────────────────────────────────────


def lines(messages: list[tuple[float, str, str]]) -> list[str]:
    """Returns what is logged of messages, each with its time, its text and its value."""
    seldom = RepeatFilter(most=2, window=60.0)
    shown = []
    for created, text, value in messages:
        record = logging.LogRecord("a", logging.WARNING, "", 0, text, (value,), None)
        record.created = created
        if seldom.filter(record):
            shown.append(record.getMessage())
    return shown


def test_lines_of_one_kind_are_left_out_and_counted() -> None:
    many = [(float(second), "no answer from %s", f"host {second}") for second in range(50)]
    later = [(61.0, "no answer from %s", "host 61"), (62.0, "no answer from %s", "host 62")]
    assert lines([*many, *later]) == [
        "no answer from host 0",
        "no answer from host 1",
        "no answer from host 61 (48 lines like this were left out)",
        "no answer from host 62",
    ]


def test_lines_of_another_kind_are_shown() -> None:
    messages = [(0.0, f"kind {kind} %s", "") for kind in range(5) for _ in range(3)]
    assert len(lines(messages)) == 10
