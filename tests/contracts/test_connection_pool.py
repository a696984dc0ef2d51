"""Tests of the pool of connections, over a server that says which connection a request came on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx2
import pytest

from llm_router.net.connection_pool import ConnectionPool
from llm_router.net.network import Network, Transport


class Numbered:
    """Answers with the number of the connection; the rest of an answer waits for `may_end`."""

    def __init__(self) -> None:
        self.opened = 0
        self.open = 0
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_end = asyncio.Event()
        self.closed = asyncio.Event()
        self.may_answer.set()
        self.may_end.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        self.open += 1
        number = b"%d" % self.opened
        try:
            while head := await reader.read(10_000):
                assert head.endswith(b"\r\n\r\n")
                self.asked.set()
                await self.may_answer.wait()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + number)
                await self.may_end.wait()
                writer.write(b".")
        finally:
            self.open -= 1
            self.closed.set()
            writer.close()


@asynccontextmanager
async def asking(
    keepalive_expiry: float = 60.0,
) -> AsyncIterator[tuple[Numbered, httpx2.AsyncClient, ConnectionPool]]:
    numbered = Numbered()
    transport = Transport(Network(), False, keepalive_expiry)
    pool = transport._pool
    assert isinstance(pool, ConnectionPool)
    async with await asyncio.start_server(numbered.serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with httpx2.AsyncClient(transport=transport, base_url=url) as client:
            yield numbered, client, pool


def states(pool: ConnectionPool) -> tuple[int, int]:
    """Returns how many connections are in use, and how many rest."""
    return len(pool._in_use), len(pool._resting)


async def test_the_connection_that_rested_for_the_shortest_time_is_used_again() -> None:
    async with asking() as (numbered, client, pool):
        async with AsyncExitStack() as together:
            for _ in range(3):
                await together.enter_async_context(client.stream("GET", "/"))
            numbered.may_end.clear()
            assert states(pool) == (3, 0)
            assert repr(pool) == "<ConnectionPool: 3 in use, 0 resting>"
            numbered.may_end.set()
        assert numbered.opened == 3
        first = (await client.get("/")).text
        assert [(await client.get("/")).text for _ in range(3)] == [first] * 3


async def test_a_connection_that_rested_too_long_is_closed_and_not_used_again() -> None:
    async with asking(keepalive_expiry=-1.0) as (numbered, client, pool):
        assert [(await client.get("/")).text for _ in range(3)] == ["1.", "2.", "3."]
        assert states(pool) == (0, 1)
        await numbered.closed.wait()


async def test_a_request_that_is_cancelled_leaves_no_connection() -> None:
    async with asking() as (numbered, client, pool):
        numbered.may_answer.clear()
        request = asyncio.create_task(client.get("/"))
        await numbered.asked.wait()
        assert states(pool) == (1, 0)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert states(pool) == (0, 0)
        numbered.may_answer.set()
        await numbered.closed.wait()


async def test_a_response_that_is_left_before_its_end_closes_its_connection() -> None:
    async with asking() as (numbered, client, pool):
        numbered.may_end.clear()
        async with client.stream("GET", "/"):
            assert states(pool) == (1, 0)
        assert states(pool) == (0, 0)
        numbered.may_end.set()
        await numbered.closed.wait()
        assert (await client.get("/")).text == "2."


async def test_closing_the_pool_ends_what_is_in_progress_too() -> None:
    async with asking() as (numbered, client, pool):
        await client.get("/")
        numbered.may_end.clear()
        async with client.stream("GET", "/") as response:
            await pool.aclose()
            assert states(pool) == (0, 0)
            with pytest.raises(httpx2.HTTPError):
                await response.aread()
        assert states(pool) == (0, 0)
        numbered.may_end.set()
        await numbered.closed.wait()


async def test_a_connection_that_was_dialled_while_the_pool_closed_does_not_rest() -> None:
    async with asking() as (numbered, client, pool):
        numbered.may_answer.clear()
        request = asyncio.create_task(client.get("/"))
        await numbered.asked.wait()
        pool._in_use.clear()  # as closing the pool does for a connection that is being dialled
        numbered.may_answer.set()
        assert (await request).text == "1."
        assert states(pool) == (0, 0)
        await numbered.closed.wait()


async def test_another_address_gets_a_connection_of_its_own() -> None:
    async with asking() as (numbered, client, pool):
        assert (await client.get("/")).text == "1."
        other = str(client.base_url).replace("127.0.0.1", "localhost")
        assert (await client.get(other)).text == "2."
        assert (await client.get("/")).text == "1."
        assert states(pool) == (0, 2)
        assert numbered.open == 2


async def test_an_address_of_another_protocol_is_refused() -> None:
    async with asking() as (_, client, pool):
        with pytest.raises(httpx2.UnsupportedProtocol):
            await client.get("ftp://127.0.0.1/")
        assert states(pool) == (0, 0)
