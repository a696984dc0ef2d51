"""Tests of how providers open, reuse and close connections, and of models and probes."""

import asyncio
from contextlib import aclosing

import pytest

from llm_router.errors import (
    BrokenStreamError,
    StatusError,
    UnreachableError,
)
from llm_router.testing.server import Fault, Script
from tests.contracts.wire import (
    REQUEST,
    TEXT,
    connect,
    http,
    raw_server,
    read,
    serve,
    text,
)

# --- Closing and reconnecting


@pytest.mark.parametrize(
    "fault",
    [
        Fault.HANG_BEFORE_HEADERS,
        Fault.HEADERS_THEN_NOTHING,
        Fault.ROLE_ONLY,
        Fault.KEEP_ALIVES_ONLY,
        Fault.REASONING_ENDLESS,
        Fault.STALL_AFTER,
    ],
)
async def test_cancelling_closes_the_connection_so_that_the_engine_stops(
    fault: Fault, wire: str
) -> None:
    async with serve(Script(fault=fault), provider=wire) as (server, provider):
        reading = asyncio.create_task(read(provider))
        await server.received()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await server.disconnected() is not None


async def test_closing_a_stream_midway_closes_the_connection(wire: str) -> None:
    async with serve(Script(words=["word "] * 1000, gap=0.01), provider=wire) as (
        server,
        provider,
    ):
        async with aclosing(provider.stream(REQUEST)) as stream:
            await anext(stream)
        assert await server.disconnected() is not None
        assert server.words_sent < 1000


async def test_a_finished_stream_gives_its_connection_back(wire: str) -> None:
    async with serve(provider=wire) as (server, provider):
        for _ in range(3):
            await read(provider)
        assert await server.disconnected(0) is None
        assert server.connections == 1


async def test_warming_up_opens_the_connection_the_first_call_uses(wire: str) -> None:
    async with serve(provider=wire) as (server, provider):
        await provider.warm()
        assert server.connections == 1
        assert server.requests == []
        await read(provider)
        assert server.connections == 1


async def test_warming_up_never_fails(wire: str) -> None:
    async with serve(Script(fault=Fault.REFUSE), provider=wire) as (_, provider):
        await provider.warm()
    async with (
        raw_server(http("500 Oh", b"no")) as url,
        connect(url, provider=wire) as provider,
    ):
        await provider.warm()


async def test_many_streams_run_side_by_side(wire: str) -> None:
    async with serve(Script(gap=0.001), provider=wire) as (_, provider):
        replies = await asyncio.gather(*(read(provider) for _ in range(30)))
    assert {text(reply) for reply in replies} == {TEXT}


async def test_a_restarted_server_is_reached_again(wire: str) -> None:
    async with serve(provider=wire) as (server, provider):
        await read(provider)
        await server.behave(Script(fault=Fault.REFUSE))
        async with connect(server.base_url, provider=wire) as newcomer:
            with pytest.raises(UnreachableError):
                await read(newcomer)
        await server.behave(Script())
        assert text(await read(provider)) == TEXT


# --- Models and probes


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b'{"data": [{"id": "a"}, {"id": "b"}, {}]}', ["a", "b"]),
        (b'{"models": [{"name": "a"}]}', ["a"]),
        (b'[{"id": "a"}]', ["a"]),
    ],
)
async def test_models_are_listed_in_every_shape(body: bytes, names: list[str]) -> None:
    async with raw_server(http("200 OK", body)) as url, connect(url) as provider:
        assert await provider.models() == names


@pytest.mark.parametrize("body", [b"<html>", b'"a"', b'{"data": 7}', b""])
async def test_a_malformed_list_of_models_is_an_error(body: bytes, wire: str) -> None:
    async with (
        raw_server(http("200 OK", body)) as url,
        connect(url, provider=wire) as provider,
    ):
        with pytest.raises(BrokenStreamError):
            await provider.models()


async def test_a_probe_fails_if_the_server_does(wire: str) -> None:
    async with raw_server(http("503 Busy")) as url, connect(url, provider=wire) as provider:
        with pytest.raises(StatusError):
            await provider.probe()


async def test_a_server_without_a_list_of_models_is_healthy() -> None:
    async with raw_server(http("404 Not Found")) as url, connect(url) as provider:
        await provider.probe()


async def test_a_probe_of_a_hung_server_ends(wire: str) -> None:
    async with (
        raw_server(hold=True) as url,
        connect(url, timeout=0.05, provider=wire) as provider,
    ):
        with pytest.raises(UnreachableError):
            await provider.probe()
