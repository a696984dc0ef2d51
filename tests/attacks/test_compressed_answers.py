"""Tests that a small compressed answer neither fills the memory nor stops the event loop."""

import gzip
import tracemalloc
import zlib
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import pytest

from llm_router.assembly import open_router
from llm_router.connections.record import Connection
from llm_router.discovery.local_servers import identify_server
from llm_router.errors import BrokenStreamError, UpstreamError
from llm_router.providers.base import Provider
from llm_router.testing.server import FaultyServer
from llm_router.types import ChatRequest
from tests.attacks.heartbeat import heartbeat
from tests.contracts.byte_server import Answer, Asked, ByteServer, page
from tests.contracts.wire import REQUEST, TEXT, connect, read, text, wire
from tests.contracts.wire_parsing import ended, events, json_lines, line, said

__all__ = ["wire"]

BOMB = gzip.compress(bytes(1 << 27), 9)
"""An eighth of a megabyte that holds 128 MB."""
MIB = 1 << 20
SPOKEN = ChatRequest(messages=REQUEST.messages, speech=True)


def bomb(status: str = "200 OK") -> Callable[[Asked], Answer]:
    return lambda _: page(status, BOMB, "content-encoding: gzip")


def plain_reply(wire: str) -> bytes:
    if wire == "ollama":
        return json_lines(line("We open at nine."), line(done="stop"))
    return events(said("We open at nine."), ended("stop"))


def replies(body: bytes, encoding: str) -> Callable[[Asked], Answer]:
    """Answers each question with this body; a request to load a model with nothing."""

    def reply(asked: Asked) -> Answer:
        if asked.body and not asked.body["messages"]:
            return page("200 OK", b"{}")
        return page("200 OK", body, f"content-encoding: {encoding}")

    return reply


async def chat(provider: Provider) -> None:
    await read(provider, REQUEST)


async def list_models(provider: Provider) -> None:
    await provider.models()


@pytest.mark.parametrize("status", ["200 OK", "500 Oops", "404 Gone"])
@pytest.mark.parametrize("ask", [chat, list_models])
async def test_a_bomb_is_left_after_a_few_megabytes(
    wire: str, status: str, ask: Callable[[Provider], Awaitable[None]]
) -> None:
    async with (
        ByteServer(bomb(status)) as server,
        connect(server.root, provider=wire) as provider,
        heartbeat() as heart,
    ):
        tracemalloc.start()
        with pytest.raises(UpstreamError):
            await ask(provider)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 8 * MIB
    assert heart.longest_gap < 0.2


async def test_a_bomb_in_place_of_a_server_is_no_server() -> None:
    async with ByteServer(bomb()) as server, heartbeat() as heart:
        found = await identify_server(server.root, within=20.0)
    assert found is None or not found.models
    assert heart.longest_gap < 0.2


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "gzip, br", "compress"])
async def test_an_encoding_that_was_not_asked_for_is_refused_and_named(encoding: str) -> None:
    async with (
        ByteServer(replies(BOMB, encoding)) as server,
        connect(server.root) as provider,
    ):
        with pytest.raises(BrokenStreamError, match=f"compressed \\({encoding}"):
            await read(provider)
        assert all(asked.headers["accept-encoding"] == "identity" for asked in server.asked)


@pytest.mark.parametrize("name", ["none", "utf-8", "identity", "identity, none", "", "8bit"])
async def test_a_plain_reply_is_read_whatever_its_header_calls_plain(wire: str, name: str) -> None:
    async with (
        ByteServer(replies(plain_reply(wire), name)) as server,
        connect(server.root, provider=wire) as provider,
    ):
        assert text(await read(provider)) == "We open at nine."


@pytest.mark.parametrize("encode", [gzip.compress, zlib.compress])
async def test_a_reply_that_a_proxy_compressed_is_read(
    wire: str, encode: Callable[[bytes], bytes]
) -> None:
    name = "gzip" if encode is gzip.compress else "deflate"
    async with (
        ByteServer(replies(encode(plain_reply(wire)), name)) as server,
        connect(server.root, provider=wire) as provider,
    ):
        assert text(await read(provider)) == "We open at nine."


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def in_parts(data: bytes) -> bytes:
    half = len(data) // 2
    return gzip.compress(data[:half]) + gzip.compress(data[half:])


@pytest.mark.parametrize(
    ("name", "encode"),
    [
        ("gzip", in_parts),
        ("deflate", raw_deflate),
        ("gzip", lambda data: gzip.compress(data) + bytes(8)),
    ],
    ids=["several parts", "deflate without its header", "filled up with zeros"],
)
async def test_less_usual_compressed_replies_are_read(
    wire: str, name: str, encode: Callable[[bytes], bytes]
) -> None:
    async with (
        ByteServer(replies(encode(plain_reply(wire)), name)) as server,
        connect(server.root, provider=wire) as provider,
    ):
        assert text(await read(provider)) == "We open at nine."


async def test_bytes_that_are_not_compressed_as_announced_break_the_stream(wire: str) -> None:
    async with (
        ByteServer(replies(plain_reply(wire), "gzip")) as server,
        connect(server.root, provider=wire) as provider,
    ):
        with pytest.raises(BrokenStreamError, match="cannot be decompressed"):
            await read(provider)


async def test_the_caller_hears_the_good_server_beside_a_bomb() -> None:
    async with ByteServer(bomb()) as hostile, FaultyServer() as good, heartbeat() as heart:
        connections = [
            Connection(name=name, base_url=url, model_name="tiny", priority=priority)
            for priority, (name, url) in enumerate(
                {"hostile": f"{hostile.root}/v1", "good": good.base_url}.items()
            )
        ]
        async with (
            open_router(connections, policy="priority") as router,
            aclosing(router.stream(SPOKEN)) as reply,
        ):
            spoken = "".join([chunk.text async for chunk in reply])
    assert spoken == TEXT
    assert heart.longest_gap < 0.2
