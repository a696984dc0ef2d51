"""Tests of connections that the server closes while they rest."""

import pytest

from llm_router.errors import BrokenStreamError, UnreachableError
from llm_router.net.network import IdleLimit
from tests.contracts.byte_server import Answer, Asked, ByteServer, page, said
from tests.contracts.wire import connect, read, text

ENDS: list[Answer] = ["close", "reset"]


@pytest.mark.parametrize("end", ENDS)
async def test_a_request_on_a_connection_that_was_just_closed_is_sent_again(end: Answer) -> None:
    def reply(asked: Asked) -> Answer:
        return end if asked.nth else said("Nine.")

    async with ByteServer(reply) as server, connect(f"{server.root}/v1") as provider:
        replies = [text(await read(provider)) for _ in range(3)]
    assert replies == ["Nine.", "Nine.", "Nine."]
    first, again = server.posts[1:3]
    assert again.body == first.body
    assert again.nth == 0


@pytest.mark.parametrize("end", ENDS)
async def test_it_is_sent_again_only_once(end: Answer) -> None:
    def reply(asked: Asked) -> Answer:
        return said("Nine.") if asked.connection == 1 and not asked.nth else end

    async with ByteServer(reply) as server, connect(f"{server.root}/v1") as provider:
        await read(provider)
        with pytest.raises(UnreachableError):
            await read(provider)
    assert len(server.posts) == 3


@pytest.mark.parametrize("end", ENDS)
async def test_a_fresh_connection_that_is_closed_is_a_failure(end: Answer) -> None:
    async with ByteServer(lambda _: end) as server, connect(f"{server.root}/v1") as provider:
        with pytest.raises(UnreachableError):
            await read(provider)
    assert len(server.posts) == 1


@pytest.mark.parametrize(
    "begun",
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\ndata: {",
    ],
)
async def test_a_request_whose_answer_had_begun_is_not_sent_again(begun: bytes) -> None:
    server: ByteServer

    def reply(asked: Asked) -> Answer:
        if not asked.nth:
            return said("Nine.")
        writer = list(server._serving.values())[-1]
        writer.write(begun)
        return "close"

    server = ByteServer(reply)
    async with server, connect(f"{server.root}/v1") as provider:
        await read(provider)
        with pytest.raises((UnreachableError, BrokenStreamError)):
            await read(provider)
    assert len(server.posts) == 2


async def test_all_resting_connections_are_left_once_one_was_closed() -> None:
    """A restarted server has closed all of them: the second try must not meet another."""
    opened = []

    def reply(asked: Asked) -> Answer:
        if asked.method == "GET":
            return page("200 OK", b'{"data": []}')
        opened.append(asked.connection)
        return "reset" if asked.nth else said("Nine.")

    async with ByteServer(reply) as server, connect(f"{server.root}/v1") as provider:
        for _ in range(4):
            await provider.models()
            assert text(await read(provider)) == "Nine."


@pytest.mark.parametrize(
    ("header", "limit"),
    [
        ("timeout=5", 4.0),
        ("timeout=5, max=100", 4.0),
        ("max=100, Timeout = 75", 74.0),
        ("timeout=1", 0.5),
        ("timeout=0", 0.0),
        ("max=100", float("inf")),
        ("timeout=soon", float("inf")),
    ],
)
async def test_what_the_server_says_of_resting_connections_is_heeded(
    header: str, limit: float
) -> None:
    async with (
        ByteServer(lambda _: said("Nine.", f"keep-alive: {header}")) as server,
        connect(f"{server.root}/v1") as provider,
    ):
        await read(provider)
        assert provider._http._idle.seconds == limit  # type: ignore[attr-defined]  # inside it


def test_what_a_close_teaches_is_heeded_within_reason() -> None:
    limit = IdleLimit()
    limit.note_closed(10.0)
    assert limit.seconds == 8.0
    limit.note_closed(0.1)  # a restart
    assert limit.seconds == 1.0
    limit.note_stated(60.0)
    assert limit.seconds == 1.0


@pytest.mark.parametrize(("seconds", "connection"), [(0, 2), (60, 1)])
async def test_a_connection_is_used_again_only_as_long_as_the_server_keeps_it(
    seconds: int, connection: int
) -> None:
    async with (
        ByteServer(lambda _: said("Nine.", f"keep-alive: timeout={seconds}")) as server,
        connect(f"{server.root}/v1") as provider,
    ):
        await read(provider)
        await read(provider)
    assert server.posts[-1].connection == connection
