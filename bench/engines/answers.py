"""The same question to a real engine, directly and through the router, in turn."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter
from types import MappingProxyType

import httpx2

from bench.report.command import Progress
from llm_router import Connection, open_router
from tests.live.exchanges import LONG
from tests.live.receptionist import ANSWERS, ask

_QUESTION, _ANSWER = ask(LONG), ANSWERS[LONG]


class WrongAnswerError(Exception):
    """The engine did not give the answer that the model knows, so its times would mean nothing."""


@dataclass(slots=True)
class Answer:
    """An answer; times in seconds from the question."""

    started: float = field(default_factory=perf_counter)
    first_byte: float = 0.0
    first_word: float = 0.0
    last_word: float = 0.0
    end: float = 0.0
    text: str = ""
    pieces: int = 0

    def receive(self, text: str) -> None:
        """Records the arrival of data; `text`: the words in it, if any."""
        now = perf_counter() - self.started
        self.first_byte = self.first_byte or now
        if text:
            self.first_word = self.first_word or now
            self.last_word = now
            self.text += text
            self.pieces += 1

    @property
    def rate(self) -> float:
        """Pieces a second after the first; each is a token."""
        return (self.pieces - 1) / (self.last_word - self.first_word)


Ask = Callable[[Answer], Awaitable[None]]


@asynccontextmanager
async def _direct(connection: Connection) -> AsyncIterator[Ask]:
    """Opens the HTTP client alone, with as little parsing as yields the words."""
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

        async def ask(answer: Answer) -> None:
            async with client.stream("POST", url, json=body) as response:
                answer.receive("")
                async for line in response.aiter_lines():
                    if line.startswith("data: {"):
                        for choice in json.loads(line[len("data: ") :])["choices"]:
                            answer.receive(choice["delta"].get("content") or "")

        yield ask


@asynccontextmanager
async def _routed(connection: Connection) -> AsyncIterator[Ask]:
    async with open_router([connection]) as router:

        async def ask(answer: Answer) -> None:
            async with aclosing(router.stream(_QUESTION)) as chunks:
                async for chunk in chunks:
                    answer.receive(chunk.text)

        yield ask


OpenClient = Callable[[Connection], AbstractAsyncContextManager[Ask]]
CLIENTS: Mapping[str, OpenClient] = MappingProxyType({"direct": _direct, "router": _routed})


async def collect_answers(
    connection: Connection, warm_up: int, runs: int, progress: Progress
) -> Mapping[str, Sequence[Answer]]:
    """Returns the answers by client, without those of the warm-up. The first client changes every
    run.

    Raises WrongAnswerError for an answer that is not the one the model knows.
    """
    answers: dict[str, list[Answer]] = {client: [] for client in CLIENTS}
    async with AsyncExitStack() as stack:
        asks = {
            client: await stack.enter_async_context(open_client(connection))
            for client, open_client in CLIENTS.items()
        }
        for number in range(-warm_up, runs):
            progress(f"{connection.name}: {max(number, 0) + 1} of {runs}")
            for client in sorted(CLIENTS, reverse=number % 2 == 0):
                answer = Answer()
                await asks[client](answer)
                answer.end = perf_counter() - answer.started
                if answer.text != _ANSWER:
                    raise WrongAnswerError(f"{connection.name}, {client}: {answer.text!r}")
                if number >= 0:
                    answers[client].append(answer)
    return answers
