"""Simulated workers: everything that workers and their calls ask of the store, without sound.

Each worker reports itself, beats for its calls and looks for silent ones of others; each call has a
router over the store with its two connections, asks a question now and then, and writes what was
said. All of it is the product's own code; LiveKit, the engines and the models are left out.

Prints lines of JSON: `"ready"`, and then for each change that a call has noticed its number and the
moment (monotonic, s).
"""

import asyncio
import json
import os
import random
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any, cast

from livekit import rtc
from livekit.agents import AgentSession, ConversationItemAddedEvent, llm

from agent.call_log import CallLog, LoggedCall
from agent.presence import worker_present
from agent.survival.identity import AGENT_NAME
from agent.survival.silence import BEATS_EVERY, QUIET_AFTER
from llm_router.clock import SystemClock, utc_now
from llm_router.periodic import OutageLog, PeriodicTask
from llm_router.routing.router import Router
from llm_router.store.calls import CallStore
from llm_router.store.database import Database
from llm_router.stored_router import (
    KnownConnections,
    StoreOptions,
    load_known,
    open_stored_router,
    opened_database,
)
from llm_router.types import ChatRequest
from llm_router.voice.calls import CallAgent, CallFacts
from llm_router.voice.workers import WorkerLoad

URL, KEY = "BENCH_DATABASE_URL", "BENCH_MASTER_KEY"
READY = "ready"
AGENT = "fleet"
PERIOD = 8.0
"""Seconds from one question of a call to the next."""
_SPOKEN = 2.0
"""Seconds for which an answer is voiced; its words arrive one by one."""
_POLL_INTERVAL = 0.01
_SILENT = 200
"""Silent calls that a worker asks for at most, as `agent.survival.call_watch`."""


class _Session(rtc.EventEmitter[Any]):
    """The events of a call's session."""

    current_speech: object = "the answer"

    def says(self, role: llm.ChatRole, text: str) -> None:
        message = llm.ChatMessage(role=role, content=[text])
        self.emit("conversation_item_added", ConversationItemAddedEvent(item=message))


@dataclass(frozen=True, slots=True)
class Fleet:
    """The parts that all simulated workers of this process share."""

    options: StoreOptions
    known: KnownConnections
    stack: AsyncExitStack
    routers: list[Router]
    clock: SystemClock

    async def add_worker(self, name: str, calls: int) -> None:
        """Starts a worker with so many calls, which ends with the stack."""
        database = Database(self.options.database, max_connections=2)
        self.stack.push_async_callback(database.aclose)
        load = WorkerLoad(calls=calls, load=0.5, limit=0.7, ready=1)
        present = worker_present(
            database, AGENT, self.clock, lambda: True, worker=name, load=lambda: load
        )
        await self.stack.enter_async_context(present)
        logs = [await self._add_call(name, f"{name}-{number}") for number in range(calls)]
        store = CallStore(database)

        async def beat() -> None:
            epochs = {log.call.id: 1 for log in logs if log.call}
            await store.beat(name, epochs, utc_now(self.clock))

        async def find_silent() -> None:
            late = utc_now(self.clock) - timedelta(seconds=QUIET_AFTER)
            await store.silent(late, {AGENT_NAME: AGENT}, _SILENT)

        for step in (beat, find_silent):
            outage = OutageLog(f"{name} waits for the store", f"{name} goes on")
            task = PeriodicTask(step, self.clock, BEATS_EVERY, name=name, outage=outage)
            task.start(delay=random.uniform(0, BEATS_EVERY))
            self.stack.push_async_callback(task.aclose)

    async def _add_call(self, worker: str, room: str) -> CallLog:
        database = await self.stack.enter_async_context(opened_database(self.options))
        router = await self.stack.enter_async_context(
            open_stored_router(self.options, self.known, database=database)
        )
        self.routers.append(router)
        logged = LoggedCall(
            room=room,
            epoch=1,
            agent=CallAgent(identity=f"agent-{room}-1", worker=worker, job=room),
            facts=CallFacts(assistant="desk", keep="transcript", metadata={AGENT_NAME: AGENT}),
        )
        log, session = CallLog(CallStore(database), logged), _Session()
        followed = cast("AgentSession[Any]", session)
        log.progress.follow(followed)
        log.start(followed, cast("rtc.Room", _EmptyRoom()))
        self.stack.push_async_callback(log.aclose)
        talking = asyncio.create_task(self._talk(router, log, session), name=room)
        self.stack.push_async_callback(_cancel, talking)
        return log

    async def _talk(self, router: Router, log: CallLog, session: _Session) -> None:
        await asyncio.sleep(random.uniform(0, PERIOD))
        while True:
            due = self.clock.now() + PERIOD
            session.says("user", "What time is it?")
            question = [{"role": "user", "content": "What time is it?"}]
            async with aclosing(router.stream(ChatRequest(messages=question))) as reply:
                text = "".join([chunk.text async for chunk in reply])
            for word in (spoken := text.split()):
                await log.progress.voiced.capture_text(f"{word} ")
                await asyncio.sleep(_SPOKEN / len(spoken))
            session.says("assistant", text)
            await asyncio.sleep(max(0.0, due - self.clock.now()))


class _EmptyRoom:
    """A room without a telephone."""

    remote_participants: dict[str, Any] = {}  # noqa: RUF012  it stays empty


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait({task})


def _report(what: object) -> None:
    print(json.dumps(what), flush=True)


async def _watch(routers: Sequence[Router]) -> None:
    """Reports each change of the connections' priority in each router."""
    seen = [0] * len(routers)
    while True:
        for place, router in enumerate(routers):
            [now] = {endpoint.connection.priority for endpoint in router.pool.endpoints}
            if now != seen[place]:
                seen[place] = now
                _report([now, monotonic()])
        await asyncio.sleep(_POLL_INTERVAL)


async def main(first: int, workers: int, calls: int) -> None:
    options = StoreOptions(
        database=os.environ[URL],
        master_keys=(os.environ[KEY],),
        master_key_file=Path(os.devnull),
        connections_file=Path("there is none.json"),
    )
    async with AsyncExitStack() as stack:
        known = await load_known(options, {})
        fleet = Fleet(options, known, stack, [], SystemClock())
        for number in range(first, first + workers):
            await fleet.add_worker(f"worker-{number}", calls)
        _report(READY)
        watching = asyncio.create_task(_watch(fleet.routers))
        stack.push_async_callback(_cancel, watching)
        await asyncio.to_thread(sys.stdin.read)  # until it is closed


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
