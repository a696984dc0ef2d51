"""The same question to a real engine, direct and through the router, turn about."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter
from types import MappingProxyType

import httpx2

from bench.report.table import Progress
from llm_router import Connection, open_router
from tests.live.exchanges import LONG
from tests.live.receptionist import ANSWERS, ask

_QUESTION, _ANSWER = ask(LONG), ANSWERS[LONG]


class WrongAnswerError(Exception):
    """The engine did not say what the model knows: its times would mean nothing."""


@dataclass(slots=True)
class Answer:
    """One answer; times in seconds from the question."""

    started: float = field(default_factory=perf_counter)
    first_byte: float = 0.0
    first_word: float = 0.0
    last_word: float = 0.0
    end: float = 0.0
    text: str = ""
    pieces: int = 0

    def hear(self, text: str) -> None:
        """Something came; `text` is what of it can be said."""
        now = perf_counter() - self.started
        self.first_byte = self.first_byte or now
        if text:
            self.first_word = self.first_word or now
            self.last_word = now
            self.text += text
            self.pieces += 1

    @property
    def rate(self) -> float:
        """Pieces in a second after the first; each is a token."""
        return (self.pieces - 1) / (self.last_word - self.first_word)


Ask = Callable[[Answer], Awaitable[None]]


@asynccontextmanager
async def _direct(connection: Connection) -> AsyncIterator[Ask]:
    """The HTTP client alone, with as little reading as gives the words."""
    url = f"{connection.base_url}/chat/completions"
    body = {
        "model": connection.model_name,
        "messages": _QUESTION.messages,
        "temperature": _QUESTION.temperature,
        "max_tokens": _QUESTION.max_tokens,
        "stream": True,
    }
    headers = {"Authorization": f"Bearer {connection.api_key}"}
    async with httpx2.AsyncClient(timeout=None, headers=headers) as client:

        async def hear(answer: Answer) -> None:
            async with client.stream("POST", url, json=body) as response:
                answer.hear("")
                async for line in response.aiter_lines():
                    if line.startswith("data: {"):
                        for choice in json.loads(line[len("data: ") :])["choices"]:
                            answer.hear(choice["delta"].get("content") or "")

        yield hear


@asynccontextmanager
async def _routed(connection: Connection) -> AsyncIterator[Ask]:
    async with open_router([connection]) as router:

        async def hear(answer: Answer) -> None:
            async with aclosing(router.stream(_QUESTION)) as chunks:
                async for chunk in chunks:
                    answer.hear(chunk.text)

        yield hear


Way = Callable[[Connection], AbstractAsyncContextManager[Ask]]
WAYS: Mapping[str, Way] = MappingProxyType({"direct": _direct, "router": _routed})


async def answers(
    connection: Connection, warm_up: int, runs: int, tell: Progress
) -> Mapping[str, Sequence[Answer]]:
    """By way. Who begins changes from run to run; those of the warm-up are not counted.

    Raises WrongAnswerError for an answer that is not the one the model knows.
    """
    found: dict[str, list[Answer]] = {way: [] for way in WAYS}
    async with AsyncExitStack() as stack:
        asks = {
            way: await stack.enter_async_context(opened(connection)) for way, opened in WAYS.items()
        }
        for number in range(-warm_up, runs):
            tell(f"{connection.name}: {max(number, 0) + 1} of {runs}")
            order = sorted(WAYS, reverse=number % 2 == 0)
            for way in order:
                answer = Answer()
                await asks[way](answer)
                answer.end = perf_counter() - answer.started
                if answer.text != _ANSWER:
                    raise WrongAnswerError(f"{connection.name}, {way}: {answer.text!r}")
                if number >= 0:
                    found[way].append(answer)
    return found
