"""A router over real servers, and servers whose answers break off where a test wants it."""

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
"""Nobody is asked because another is slow: the machine may be busy with anything."""
_WORD = re.compile(r"\s*\S+")


class CutShort:
    """A Provider that passes on what another says, and breaks off after so many words.

    The rest is heard and kept back: a server must not be left in mid-word hundreds of times (what
    that does to Ollama is told in docs/connections/ollama.md).
    """

    def __init__(self, provider: Provider, words: int) -> None:
        self._provider, self._words = provider, words
        self.continuation, self.last_resort = provider.continuation, provider.last_resort

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        said, whole = "", ""
        async with aclosing(self._provider.stream(request)) as stream:
            async for chunk in stream:
                whole += chunk.text
                if (allowed := first_words(whole, self._words)) == whole:
                    said = whole
                    yield chunk
        if said != (allowed := first_words(whole, self._words)):
            yield Chunk(allowed[len(said) :])
        raise BrokenStreamError("cut short by a test")

    async def warm(self) -> None:
        await self._provider.warm()

    async def probe(self) -> None:
        await self._provider.probe()

    async def models(self) -> Sequence[str]:
        return await self._provider.models()

    async def aclose(self) -> None:
        """The other stays open: it is not ours."""


def first_words(text: str, count: int) -> str:
    """The text up to the end of that word; all of it if there are no more."""
    words = [*_WORD.finditer(text)]
    return text if len(words) <= count else text[: words[count - 1].end()]


class Routed:
    """Asks providers in their order, by way of a router. `attempts`: connection and outcome."""

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
        """Told as every observer is."""

    async def answer(self, request: ChatRequest) -> str:
        try:
            async with aclosing(self._router.stream(request)) as reply:
                return "".join([chunk.text async for chunk in reply])
        finally:
            await self._router.aclose()
