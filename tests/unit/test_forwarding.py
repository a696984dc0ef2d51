"""Tests who has to pay for the time that a forwarded answer takes: the server, or its reader."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, nullcontext

import pytest
from starlette.types import Message

from llm_router.errors import BrokenStreamError
from llm_router.gateway.forwarded.response import ForwardedResponse
from llm_router.providers.base import Body, ForwardedAnswer
from llm_router.routing.events import ReplyEvent
from llm_router.routing.forwarding import Forwarding, ForwardRequest
from llm_router.testing import ManualClock, ScriptedProvider, open_scripted_router

SPEECH = ForwardRequest(
    route="/audio/speech", body_for=lambda _: Body(b"", ""), characters=9, silence=15.0
)


class Speaker(ScriptedProvider):
    """Answers in four pieces, and waits so many seconds before each."""

    def __init__(self, clock: ManualClock, gap: float) -> None:
        super().__init__([], clock=clock)
        self.gap = gap

    @asynccontextmanager
    async def forward(self, route: str, body: Body) -> AsyncIterator[ForwardedAnswer]:
        async with aclosing(self._pieces()) as pieces:
            yield ForwardedAnswer("audio/wav", pieces)

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        self.open += 1
        try:
            for _ in range(4):
                await self.clock.sleep(self.gap)
                yield b"la"
        finally:
            self.open -= 1


@asynccontextmanager
async def forwarding(speaker: Speaker) -> AsyncIterator[Forwarding]:
    """Yields a request to the speaker, whose connection has a timeout of 60 s."""
    async with open_scripted_router({"desk": speaker}, speaker.clock) as router:
        yield router.forward(SPEECH, router.pool.endpoints)
        [endpoint] = router.pool.endpoints
        assert (speaker.open, endpoint.in_flight) == (0, 0)


async def read(answering: Forwarding, clock: ManualClock, pause: float) -> bytes:
    """Reads an answer, with so many seconds after each piece."""
    read = b""
    async with answering as answer, aclosing(answer.pieces()) as pieces:
        async for piece in pieces:
            read += piece
            await clock.sleep(pause)
    return read


def test_a_reader_that_takes_its_time_is_no_failure_of_the_server() -> None:
    clock = ManualClock()

    async def run() -> tuple[bytes, ReplyEvent]:
        async with forwarding(Speaker(clock, gap=10.0)) as answering:
            return await read(answering, clock, pause=50.0), answering.event

    whole, event = clock.run(run())
    assert (whole, event.failures, event.cancelled) == (b"lalalala", [], False)
    assert event.duration == pytest.approx(240)


@pytest.mark.parametrize("pause", [0.0, 50.0])
def test_a_server_that_is_waited_for_too_long_in_all_has_failed(pause: float) -> None:
    clock = ManualClock()

    async def run() -> ReplyEvent:
        async with forwarding(Speaker(clock, gap=16.0)) as answering:
            with pytest.raises(BrokenStreamError):
                await read(answering, clock, pause)
            return answering.event

    event = clock.run(run())
    assert [name for name, _ in event.failures] == ["desk"]
    assert event.duration == pytest.approx(60 + 3 * pause)


def test_a_reader_that_takes_nothing_ends_its_own_stream_alone() -> None:
    clock = ManualClock()

    async def client(message: Message) -> None:
        if message.get("body"):
            await asyncio.Event().wait()

    async def stays() -> Message:
        await asyncio.Event().wait()
        return {}

    async def run() -> ReplyEvent:
        async with forwarding(Speaker(clock, gap=1.0)) as answering:

            async def opening() -> Forwarding:
                return answering

            await ForwardedResponse(opening, nullcontext())({}, stays, client)
            return answering.event

    event = clock.run(run())
    assert (event.failures, event.cancelled) == ([], True)
    assert clock.now() == pytest.approx(61)
