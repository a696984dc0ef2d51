"""A router over scripted providers, on a clock that jumps in place of waiting."""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from llm_router.connections.record import Connection
from llm_router.options import RouterOptions
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.events import AttemptEvent, ReplyEvent
from llm_router.routing.policies.base import Policy
from llm_router.routing.policies.priority import Priority
from llm_router.routing.pool import Pool
from llm_router.routing.router import Router
from llm_router.testing import ManualClock, ScriptedProvider, Step
from llm_router.types import ChatRequest, Chunk

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], "speech": True}


@dataclass
class Received:
    """The chunks that one caller received and, for each, its time (s from the start)."""

    chunks: list[Chunk] = field(default_factory=list)
    at: list[float] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(chunk.text for chunk in self.chunks)

    @property
    def first_word_at(self) -> float:
        return next(at for chunk, at in zip(self.chunks, self.at, strict=True) if chunk.useful)

    @property
    def tool_calls(self) -> list[str]:
        return [call.name for chunk in self.chunks for call in chunk.tool_calls]


class Stage:
    """Endpoints `a`, `b`, `c`… in that priority, each with its scripts; observes every reply."""

    def __init__(self, *scripts: Sequence[Sequence[Step]]) -> None:
        self.clock = ManualClock()
        self.events: list[AttemptEvent] = []
        self.replies: list[ReplyEvent] = []
        self.providers = [ScriptedProvider(s, clock=self.clock) for s in scripts]
        self.connections = [
            Connection(name=chr(97 + i), priority=i) for i in range(len(self.providers))
        ]
        self.options = RouterOptions()
        self.policy: Policy = Priority()
        self.router = ""
        """The router's repr after the last turn."""

    def attempt_ended(self, event: AttemptEvent) -> None:
        self.events.append(event)

    def reply_ended(self, event: ReplyEvent) -> None:
        self.replies.append(event)

    def be_of_different_kinds(self) -> None:
        """Makes every endpoint another kind of server, by its address."""
        self.connections = [
            replace(one, base_url=f"http://{one.name}.test/v1") for one in self.connections
        ]

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        return [(event.connection, event.outcome) for event in self.events]

    def open_router(self) -> Router:
        endpoints = [
            Endpoint(connection, provider, self.options.breaker)
            for connection, provider in zip(self.connections, self.providers, strict=True)
        ]
        pool = Pool(endpoints, self.policy, self.options.target)
        return Router(pool, self.options, clock=self.clock, observers=[self])

    def ask(
        self,
        *,
        turns: int = 1,
        pause: float = 1.0,
        stop_when: Callable[[Received], bool] | None = None,
        **request: Any,
    ) -> list[Received]:
        """Asks `turns` times, one after another; checks that every stream is closed at the end."""
        received: list[Received] = []

        async def main() -> None:
            router = self.open_router()
            for _ in range(turns):
                one = Received()
                received.append(one)
                start = self.clock.now()
                asked = ChatRequest(**(HELLO | request))
                async with aclosing(router.stream(asked)) as reply:
                    async for chunk in reply:
                        one.chunks.append(chunk)
                        one.at.append(self.clock.now() - start)
                        if stop_when and stop_when(one):
                            break
                await self.clock.sleep(pause)
            self.router = repr(router)
            await router.aclose()

        self.clock.run(main())
        assert [provider.open for provider in self.providers] == [0] * len(self.providers)
        return received
