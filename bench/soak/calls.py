"""Turns at a steady rate, as calls make them: through LiveKit's stream layer, with tools, and with
callers who interrupt.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from livekit.agents import function_tool, llm, telemetry
from prometheus_client import CollectorRegistry

from bench.report.table import Progress
from bench.soak.server import continues
from llm_router import Connection, open_router
from llm_router.integrations.livekit import RouterLLM
from llm_router.routing.breaker import BreakerRecord
from llm_router.routing.events import AttemptEvent, Observer, ReplyEvent
from llm_router.routing.router import Router
from llm_router.sync.scoreboard.sqlite import SqliteScoreboard
from llm_router.telemetry.opentelemetry import OpenTelemetryObserver
from llm_router.telemetry.prometheus import PrometheusObserver

_TURNS_OF_A_CALL = 6
_INTERRUPTED, _HANGS_UP_AFTER = 0.25, 10.0
"""Share of the turns that a caller cuts short, and seconds after which every caller has enough."""
_NOBODY = "http://127.0.0.1:9/v1"
"""The discard port, at which no model server listens: it is refused as long as the run lasts."""
_MENDED_EVERY = 10.0  # s
_LONG = 60.0
"""Seconds of rest that a breaker takes by itself at most; a longer one waits for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """`rate`: turns a second."""

    seconds: float
    rate: float
    seed: int

    def warming_up(self) -> "Load":
        """Of the same kind, by other callers, a fifth as long."""
        return replace(self, seconds=self.seconds / 5, seed=self.seed + 1)

    @property
    def says(self) -> str:
        return f"{self.seconds / 60:g} minutes of {self.rate:g} turns a second"


@function_tool
async def lookup(query: str) -> str:
    """Looks something up."""
    return f"nothing is known of {query}"


class Tally:
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


class House:
    """What a worker's process has all the time, whatever routers it opens and closes."""

    def __init__(self, base_urls: Sequence[str], folder: Path) -> None:
        self._connections = [
            Connection(name="nobody", base_url=_NOBODY, model_name="none", priority=-1),
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
        self._board = SqliteScoreboard(folder / "scoreboard.sqlite")
        self._observers: list[Observer] = [
            PrometheusObserver(CollectorRegistry()),
            OpenTelemetryObserver(telemetry.tracer),
        ]

    @asynccontextmanager
    async def router(self, tally: Tally) -> AsyncIterator[Router]:
        async with open_router(
            self._connections, observers=[*self._observers, tally], scoreboard=self._board
        ) as router:
            yield router

    async def aclose(self) -> None:
        await self._board.aclose()


async def calls(router: Router, load: Load, tell: Progress) -> int:
    """Begin so many turns; returns how many when the last has ended.

    What a turn raises is raised here: none may.
    """
    rng = Random(load.seed)
    loop = asyncio.get_running_loop()
    began, number = loop.time(), 0
    mending = asyncio.create_task(_mend(router))
    try:
        async with asyncio.TaskGroup() as turns:
            while (due := number / load.rate) < load.seconds:
                await asyncio.sleep(began + due - loop.time())
                session = f"call {number // _TURNS_OF_A_CALL}"
                cut = rng.uniform(0.0, 2.0) if rng.random() < _INTERRUPTED else _HANGS_UP_AFTER
                turns.create_task(_turn(RouterLLM(router, session_id=session), cut))
                number += 1
                tell(f"{due / 60:.1f} of {load.seconds / 60:.1f} minutes, {number} turns")
    finally:
        mending.cancel()
        await asyncio.wait([mending])
    return number


async def _turn(model: RouterLLM, cut_after: float) -> None:
    """A question, and the answer to its tool's result where a tool is asked for."""
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
        pass  # the caller spoke up


async def _read(model: RouterLLM, context: llm.ChatContext) -> list[llm.FunctionToolCall]:
    async with model.chat(chat_ctx=context, tools=[lookup]) as stream:
        deltas = [chunk.delta async for chunk in stream if chunk.delta]
    return [call for delta in deltas for call in delta.tool_calls]


async def _mend(router: Router) -> None:
    """Now and then somebody renews the keys, or half an hour of random faults would leave only
    servers that wait for it.
    """
    while True:
        await asyncio.sleep(_MENDED_EVERY)
        now = router.clock.now()
        for endpoint in router.pool.endpoints:
            if endpoint.breaker.opens_again_at() > now + _LONG:
                endpoint.breaker.adopt(BreakerRecord())
