"""Tests that a server which sends without end is not spoken for hours and fills no memory."""

import asyncio
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

import pytest

from llm_router.assembly import open_router
from llm_router.clock import SystemClock, checkpoint
from llm_router.connections.record import Connection
from llm_router.failures import FailureClass
from llm_router.options import ReplyLimits, RouterOptions
from llm_router.routing.events import ReplyEvent
from llm_router.testing.router import open_scripted_router
from llm_router.testing.server import FaultyServer
from llm_router.types import ChatRequest, Chunk, ToolCall
from tests.attacks.heartbeat import heartbeat
from tests.contracts.wire import REQUEST, TEXT
from tests.contracts.wire_parsing import events, said

SPOKEN = ChatRequest(messages=REQUEST.messages, speech=True)
MIB = 1 << 20
FUSE = 60.0
"""Seconds after which a reply that does not end fails its test."""


class Flood:
    """A provider that yields one chunk without end."""

    continuation = "words"
    last_resort = False

    def __init__(self, *chunks: Chunk) -> None:
        self.chunks = chunks
        self.sent = 0
        self.is_closed = False
        self.requests: list[ChatRequest] = []

    async def warm(self) -> None: ...

    async def probe(self) -> None: ...

    async def models(self) -> Sequence[str]:
        return []

    async def aclose(self) -> None: ...

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        self.requests.append(request)
        try:
            while True:
                for chunk in self.chunks:
                    self.sent += 1
                    yield chunk
        finally:
            self.is_closed = True


class Answer(Flood):
    """A provider that says one sentence."""

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        self.requests.append(request)
        await checkpoint()
        yield Chunk("We open at nine.")
        yield Chunk(finish_reason="stop")


async def reply_of(
    *providers: Any, request: ChatRequest = SPOKEN, limits: ReplyLimits | None = None
) -> tuple[str, str, ReplyEvent]:
    """Returns the text, the finish reason and the event of a reply."""
    options = RouterOptions(limits=limits or ReplyLimits())
    names = {f"n{number}": provider for number, provider in enumerate(providers)}
    text, reason = [], ""
    async with (
        asyncio.timeout(FUSE),
        open_scripted_router(names, SystemClock(), options=options) as router,
        aclosing(router.stream(request)) as reply,
    ):
        async for chunk in reply:
            text.append(chunk.text)
            reason = chunk.finish_reason or reason
    return "".join(text), reason, reply.event


# ── What is given out ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [1, 400])
async def test_a_reply_without_end_is_spoken_for_minutes_and_ends_at_a_sentence(size: int) -> None:
    flood = Flood(Chunk("We are open today. " * size))
    text, reason, event = await reply_of(flood)
    assert text.endswith("We are open today.")
    assert reason == "length"
    assert 240 * 15 - 20 <= len(text) <= 240 * 15 + 500
    assert (event.attempts, [one.outcome for one in event.tries]) == (1, ["won"])
    assert flood.is_closed


@pytest.mark.parametrize("words", ["and so on ", "aaaaaaaaaa"])
async def test_a_sentence_without_end_is_ended_by_a_phrase(words: str) -> None:
    text, reason, _ = await reply_of(Flood(Chunk(words)))
    assert len(text) <= 240 * 15 + 600
    assert text.endswith("?")
    assert reason == "length"


async def test_a_text_without_end_is_read_up_to_its_limit() -> None:
    text, reason, _ = await reply_of(
        Flood(Chunk("One line.\n")), request=REQUEST, limits=ReplyLimits(characters=5000)
    )
    assert (len(text), reason) == (5000, "length")


async def test_tokens_after_the_end_are_awaited_for_a_moment_only() -> None:
    class Ended(Flood):
        async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
            yield Chunk("We open at nine.", finish_reason="stop")
            async with aclosing(super().stream(request)) as rest:
                async for chunk in rest:
                    yield chunk

    text, _, _ = await reply_of(Ended(Chunk("more")))
    assert text == "We open at nine."


@pytest.mark.parametrize(
    "chunk",
    [
        Chunk(reasoning="hmm " * 100),
        Chunk(),
        Chunk(" "),
        Chunk("\n" * 1000),
        Chunk(loading=True),
        Chunk(reasoning="x" * 60_000),
    ],
    ids=["reasoning", "nothing", "a blank", "blanks", "loading", "long thoughts"],
)
async def test_a_server_that_says_no_word_is_left_for_the_next(chunk: Chunk) -> None:
    flood = Flood(chunk)
    limits = ReplyLimits(hidden=50_000)
    text, _, event = await reply_of(flood, Answer(), limits=limits)
    assert text.strip() == "We open at nine."
    assert flood.is_closed
    kinds = {failure.kind for _, failure in event.failures}
    assert kinds <= {FailureClass.BROKEN_STREAM, FailureClass.SILENT, FailureClass.LOADING}


async def test_thoughts_between_the_words_end_a_reply_that_has_begun() -> None:
    flood = Flood(Chunk("We open "), *[Chunk(reasoning="x" * 1000)] * 1000)
    text, _, event = await reply_of(flood, Answer(), limits=ReplyLimits(hidden=20_000))
    assert text.startswith("We open ")
    assert event.resumes == 1


async def test_a_call_with_endless_arguments_is_no_answer() -> None:
    call = ToolCall("c1", "f", '{"a": "' + "x" * 2_500_000 + '"}')
    text, _, _ = await reply_of(Flood(Chunk(tool_calls=(call,))), Answer())
    assert text == "We open at nine."


async def test_a_slow_reader_slows_the_server_down() -> None:
    flood = Flood(Chunk("x" * 30_000))
    names: dict[str, Any] = {"flood": flood}
    async with (
        open_scripted_router(names, SystemClock()) as router,
        aclosing(router.stream(REQUEST)) as reply,
    ):
        await anext(aiter(reply))
        for _ in range(1000):
            await checkpoint()
        assert flood.sent < 10


# ── What a server is asked for ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("request_", "fields", "sent"),
    [
        (SPOKEN, {}, 2048),
        (REQUEST, {}, None),
        (SPOKEN, {"max_tokens": 300}, 300),
        (SPOKEN, {"context_length": 2000}, 500),
        (SPOKEN, {"extra_body": {"max_completion_tokens": 99}}, None),
        (ChatRequest(messages=REQUEST.messages, speech=True, max_tokens=7), {}, 7),
    ],
)
async def test_a_spoken_reply_is_limited_where_nothing_else_limits_it(
    request_: ChatRequest, fields: dict[str, Any], sent: int | None
) -> None:
    async with FaultyServer() as server:
        box = Connection(name="box", base_url=server.base_url, model_name="tiny", **fields)
        async with open_router([box]) as router, aclosing(router.stream(request_)) as reply:
            assert "".join([chunk.text async for chunk in reply]) == TEXT
        assert server.requests[-1].body.get("max_tokens") == sent


# ── What comes over the wire ─────────────────────────────────────────────────────────────────────

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"


def piece(**delta: Any) -> bytes:
    return events({"choices": [{"index": 0, "delta": delta}]}, done=False)


def arguments(text: str) -> bytes:
    return piece(tool_calls=[{"index": 0, "id": "c", "function": {"name": "f", "arguments": text}}])


FLOODS = {
    "an event without end": (b"data: ", b"x" * 65536),
    "a line without end": (b"", b"x" * 65536),
    "a megabyte in one event": (events(said("<" * MIB), done=False), b": more\n\n"),
    "keep-alives": (b"", b": keep-alive\n\n" * 1000),
    "blank lines": (b"", b"\n" * 65536),
    "roles": (b"", piece(role="assistant", content="") * 100),
    "reasoning": (b"", piece(reasoning_content="hmm " * 20) * 100),
    "tagged thoughts": (piece(content="<think>"), piece(content="hmm " * 20) * 100),
    "marks": (b"", piece(content="<|im_start|>" * 50) * 20),
    "a call in words": (piece(content="<tool_call>"), piece(content="[" * 300) * 20),
    "arguments": (b"", arguments("[1," * 100) * 20),
    "calls": (b"", b"".join(arguments('{"a":1}').replace(b'"c"', b'"%d"' % n) for n in range(300))),
    "nested": (b"", b"data: " + b'{"choices":[' * 5000 + b"\n\n"),
    "white space": (b"", piece(content=" " * 200) * 50),
}


WORDS = {
    "words": (b"", piece(content="And so on. ") * 1000),
    "half marks": (b"", piece(content="<a<{[`" * 50) * 20),
}


@asynccontextmanager
async def flooding(opening: bytes, rest: bytes) -> AsyncIterator[str]:
    """Yields the address of a server that answers with `opening`, and `rest` without end."""
    serving: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(HEAD + opening)
            while not writer.is_closing():
                writer.write(rest)
                await writer.drain()
                await checkpoint()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with asyncio.timeout(FUSE):
            await asyncio.gather(*filter(None, serving))  # the client has closed each


async def spoken_beside(opening: bytes, rest: bytes) -> str:
    """Returns the words that a caller gets of a server that floods, beside a good one.

    Checks that the event loop is never held up, and again, since to trace memory is work as well,
    that the reply takes little memory.
    """
    async with heartbeat() as heart:
        spoken = await reply_beside(opening, rest)
    assert heart.longest_gap < 0.4
    tracemalloc.start()
    try:
        await reply_beside(opening, rest)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 * MIB
    return spoken.strip()


async def reply_beside(opening: bytes, rest: bytes) -> str:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    request = ChatRequest(messages=REQUEST.messages, speech=True, tools=tools)
    async with flooding(opening, rest) as address, FaultyServer() as good:
        connections = [
            Connection(name="flood", base_url=address, model_name="tiny"),
            Connection(name="good", base_url=good.base_url, model_name="tiny", priority=1),
        ]
        async with (
            open_router(connections, policy="priority") as router,
            asyncio.timeout(FUSE),
            aclosing(router.stream(request)) as reply,
        ):
            return "".join([chunk.text async for chunk in reply])


@pytest.mark.parametrize("flood", FLOODS)
async def test_the_caller_hears_the_spare_while_a_server_floods(flood: str) -> None:
    assert (await spoken_beside(*FLOODS[flood])).endswith(TEXT.strip())


@pytest.mark.parametrize("flood", WORDS)
async def test_a_flood_of_words_is_spoken_for_minutes_at_most(flood: str) -> None:
    assert 3000 < len(await spoken_beside(*WORDS[flood])) < 5000
