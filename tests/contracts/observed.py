"""Shared by the observers' tests: a router whose replies are observed."""

from collections.abc import Sequence
from contextlib import aclosing

from llm_router.connections.record import Connection
from llm_router.options import RouterOptions
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.events import AttemptEvent, Observer, ReplyEvent
from llm_router.routing.policies.priority import Priority
from llm_router.routing.pool import Pool
from llm_router.routing.router import Router
from llm_router.testing import ManualClock, ScriptedProvider, Step, say
from llm_router.types import ChatRequest, Chunk, Usage

QUESTION = "a-word-only-the-caller-said"
ANSWER = "We open at nine in the morning, and we close at six."
COUNTED = [
    *say(ANSWER, finish=None),
    Step(0.0, Chunk(finish_reason="stop")),
    Step(0.0, Chunk(usage=Usage(7, 12, 3))),
]
SPARE = say(ANSWER, first=0.2)


class Recorder:
    def __init__(self) -> None:
        self.attempts: list[AttemptEvent] = []
        self.replies: list[ReplyEvent] = []

    def attempt_ended(self, event: AttemptEvent) -> None:
        self.attempts.append(event)

    def reply_ended(self, event: ReplyEvent) -> None:
        self.replies.append(event)


class Scene:
    """Connections `a`, `b`… that play their scripts while observers record the events."""

    def __init__(self, *scripts: Sequence[Step]) -> None:
        self.clock = ManualClock(now=100.0)
        self.endpoints = [
            Endpoint(
                Connection(
                    name=chr(97 + i),
                    base_url=f"http://host-{i}:800{i}/v1",
                    model_name=f"model-{i}",
                    priority=i,
                ),
                ScriptedProvider([script], clock=self.clock),
            )
            for i, script in enumerate(scripts)
        ]

    def ask(
        self,
        *observers: Observer,
        turns: int = 1,
        stop_after: int | None = None,
        speech: bool = True,
    ) -> Recorder:
        recorder = Recorder()

        async def main() -> None:
            options = RouterOptions(hedge_budget=1.0)
            pool = Pool(self.endpoints, Priority(), options.target)
            router = Router(pool, options, clock=self.clock, observers=[recorder, *observers])
            for _ in range(turns):
                await self._listen(router, stop_after, speech=speech)
                await self.clock.sleep(1.0)
            await router.aclose()

        self.clock.run(main())
        return recorder

    @staticmethod
    async def _listen(router: Router, stop_after: int | None, *, speech: bool) -> None:
        request = ChatRequest(
            messages=[{"role": "user", "content": QUESTION}],
            speech=speech,
            session_id="call-1",
            integration="livekit",
        )
        chunks = 0
        async with aclosing(router.stream(request)) as reply:
            async for _ in reply:
                chunks += 1
                if chunks == stop_after:
                    return
