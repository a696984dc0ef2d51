"""Routes over real servers, and over providers that break off their answers where a test wants."""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from llm_router.clock import SystemClock
from llm_router.connections.record import Connection
from llm_router.errors import BrokenStreamError
from llm_router.options import PatienceOptions, RouterOptions
from llm_router.providers.base import Provider
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.events import AttemptEvent, ReplyEvent
from llm_router.routing.policies.priority import Priority
from llm_router.routing.pool import Pool
from llm_router.routing.router import Router
from llm_router.types import ChatRequest, Chunk

PATIENT = RouterOptions(patience=PatienceOptions(cold_hedge=20.0, cold_silent=20.0))
"""Starts no second attempt because the first is slow: the machine may be busy."""
_WORD = re.compile(r"\s*\S+")


class CutShort:
    """Provider that passes on another's answer and breaks off after the given number of words.

    It reads the rest of the answer and drops it: a server must not be interrupted hundreds of times
    (docs/connections/ollama.md says what that does to Ollama).
    """

    def __init__(self, provider: Provider, words: int) -> None:
        self._provider = provider
        self._words = words
        self.continuation = provider.continuation
        self.last_resort = provider.last_resort

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        sent = ""
        whole = ""
        async with aclosing(self._provider.stream(request)) as stream:
            async for chunk in stream:
                whole += chunk.text
                if (allowed := first_words(whole, self._words)) == whole:
                    sent = whole
                    yield chunk
        if sent != (allowed := first_words(whole, self._words)):
            yield Chunk(allowed[len(sent) :])
        raise BrokenStreamError("cut short by a test")

    async def warm(self) -> None:
        await self._provider.warm()

    async def probe(self) -> None:
        await self._provider.probe()

    async def models(self) -> Sequence[str]:
        return await self._provider.models()

    async def aclose(self) -> None:
        """Does nothing: the other provider belongs to the test."""


def first_words(text: str, count: int) -> str:
    """Returns the first `count` words of the text; all of it if it has no more."""
    words = [*_WORD.finditer(text)]
    return text if len(words) <= count else text[: words[count - 1].end()]


class Routed:
    """Routes requests to providers in the given order; `attempts` holds connection and outcome."""

    def __init__(self, *providers: Provider) -> None:
        endpoints = [
            Endpoint(Connection(name=str(place), priority=place), provider, PATIENT.breaker)
            for place, provider in enumerate(providers)
        ]
        pool = Pool(endpoints, Priority(), PATIENT.target)
        self._router = Router(pool, PATIENT, clock=SystemClock(), observers=[self])
        self.attempts: list[tuple[str, str]] = []

    def attempt_ended(self, event: AttemptEvent) -> None:
        self.attempts.append((event.connection, event.outcome))

    def reply_ended(self, event: ReplyEvent) -> None:
        """Does nothing: the attempts are enough."""

    async def answer(self, request: ChatRequest) -> str:
        try:
            async with aclosing(self._router.stream(request)) as reply:
                return "".join([chunk.text async for chunk in reply])
        finally:
            await self._router.aclose()
