"""Turns at a steady rate, as in calls: through LiveKit's stream layer, with tools, and with callers
who interrupt.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from livekit.agents import function_tool, llm, telemetry
from prometheus_client import CollectorRegistry

from bench.report.command import Progress
from bench.soak.servers import continues
from llm_router import Connection, open_router
from llm_router.integrations.livekit import RouterLLM
from llm_router.routing.breaker import BreakerRecord
from llm_router.routing.events import AttemptEvent, Observer, ReplyEvent
from llm_router.routing.router import Router
from llm_router.sync.scoreboard.sqlite import SqliteScoreboard
from llm_router.telemetry.opentelemetry import OpenTelemetryObserver
from llm_router.telemetry.prometheus import PrometheusObserver

_TURNS_OF_A_CALL = 6
_INTERRUPTED = 0.25
"""Share of the turns that the caller interrupts."""
_HANG_UP_AFTER = 10.0
"""Seconds after which every caller hangs up."""
_UNREACHABLE = "http://127.0.0.1:9/v1"
"""The discard port, which refuses connections as long as the run lasts."""
_KEYS_RENEWED_EVERY = 10.0  # s
_LONGEST_BACKOFF = 60.0
"""Longest time that a breaker stays open by itself (s); a longer one waits for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """`rate`: turns a second."""

    seconds: float
    rate: float
    seed: int

    def warm_up(self, least: float) -> "Load":
        """Returns a like load by other callers: a fifth as long, and `least` seconds at least."""
        return replace(self, seconds=max(self.seconds / 5, least), seed=self.seed + 1)

    def progress(self, number: int) -> str:
        """Describes how far a run is at this turn."""
        minutes = number / self.rate / 60
        return f"{minutes:.1f} of {self.seconds / 60:.1f} minutes, {number + 1} turns"

    def __str__(self) -> str:
        return f"{self.seconds / 60:g} minutes of {self.rate:g} turns a second"


@function_tool
async def lookup(query: str) -> str:
    """Looks something up."""
    return f"no result for {query}"


class OutcomeCounter:
    """An observer that counts how attempts and replies ended."""

    def __init__(self) -> None:
        self.attempts: Counter[str] = Counter()
        self.replies: Counter[str] = Counter()

    def attempt_ended(self, event: AttemptEvent) -> None:
        self.attempts[event.outcome] += 1

    def reply_ended(self, event: ReplyEvent) -> None:
        self.replies["resumed"] += event.resumes
        if event.cancelled:
            self.replies["interrupted"] += 1
        else:
            self.replies["ended in a phrase" if event.last_resort else "answered"] += 1


class WorkerProcess:
    """The parts of a worker's process that outlive a router: connections, scoreboard, observers."""

    def __init__(
        self, connections: Sequence[Connection], policy: str | Mapping[str, str], folder: Path
    ) -> None:
        self._connections = connections
        self._policy = policy
        self._scoreboard = SqliteScoreboard(folder / "scoreboard.sqlite")
        self._observers: list[Observer] = [
            PrometheusObserver(CollectorRegistry()),
            OpenTelemetryObserver(telemetry.tracer),
        ]

    @asynccontextmanager
    async def router(self, counter: OutcomeCounter) -> AsyncIterator[Router]:
        async with open_router(
            self._connections,
            policy=self._policy,
            observers=[*self._observers, counter],
            scoreboard=self._scoreboard,
        ) as router:
            yield router

    async def aclose(self) -> None:
        await self._scoreboard.aclose()


def connect_faulty(base_urls: Sequence[str]) -> Sequence[Connection]:
    """Makes connections to servers that fail at random, and one to a server that is not there."""
    return [
        Connection(name="unreachable", base_url=_UNREACHABLE, model_name="none", priority=-1),
        *(
            Connection(
                name=f"server {place + 1}",
                base_url=url,
                model_name="faulty",
                priority=place,
                continuation="flags" if continues(place) else "words",
            )
            for place, url in enumerate(base_urls)
        ),
    ]


async def steady(load: Load, began: float) -> AsyncGenerator[int, None]:
    """Yields the number of each turn when it is due. `began`: the loop's time of the first."""
    loop = asyncio.get_running_loop()
    number = 0
    while (due := number / load.rate) < load.seconds:
        await asyncio.sleep(began + due - loop.time())
        yield number
        number += 1


async def make_calls(router: Router, load: Load, progress: Progress) -> int:
    """Makes the turns of the load and returns their number when the last has ended.

    Raises what a turn raises: none may.
    """
    rng = Random(load.seed)
    began = asyncio.get_running_loop().time()
    number = -1
    renewing = asyncio.create_task(
        close_breakers(router, every=_KEYS_RENEWED_EVERY, open_for=_LONGEST_BACKOFF)
    )
    try:
        async with asyncio.TaskGroup() as turns, aclosing(steady(load, began)) as due:
            async for number in due:
                session = f"call {number // _TURNS_OF_A_CALL}"
                cut = rng.uniform(0.0, 2.0) if rng.random() < _INTERRUPTED else _HANG_UP_AFTER
                turns.create_task(_turn(RouterLLM(router, session_id=session, speech=True), cut))
                progress(load.progress(number))
    finally:
        renewing.cancel()
        await asyncio.wait([renewing])
    return number + 1


async def _turn(model: RouterLLM, cut_after: float) -> None:
    """Asks a question; if the reply calls a tool, also asks with its result."""
    context = llm.ChatContext.empty()
    context.add_message(role="system", content="You answer the telephone of a small restaurant.")
    context.add_message(role="user", content="I booked a table for tonight. Is all right with it?")
    try:
        async with asyncio.timeout(cut_after):
            for call in await _read(model, context):
                result = llm.FunctionCallOutput(
                    call_id=call.call_id, name=call.name, output="It is.", is_error=False
                )
                asked = llm.FunctionCall(
                    call_id=call.call_id, name=call.name, arguments=call.arguments
                )
                context.insert([asked, result])
                await _read(model, context)
    except TimeoutError:
        pass  # the caller interrupted


async def _read(model: RouterLLM, context: llm.ChatContext) -> list[llm.FunctionToolCall]:
    async with model.chat(chat_ctx=context, tools=[lookup]) as stream:
        deltas = [chunk.delta async for chunk in stream if chunk.delta]
    return [call for delta in deltas for call in delta.tool_calls]


async def close_breakers(router: Router, *, every: float, open_for: float) -> None:
    """Closes, every so many seconds, the breakers that would stay open for longer than `open_for`.

    Otherwise half an hour of random faults would leave only servers that wait for a person, who
    renews their key.
    """
    while True:
        await asyncio.sleep(every)
        now = router.clock.now()
        for endpoint in router.pool.endpoints:
            if endpoint.breaker.opens_again_at() > now + open_for:
                endpoint.breaker.adopt(BreakerRecord())
