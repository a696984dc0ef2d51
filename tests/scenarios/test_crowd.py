"""A worker dies with ten calls, and the one that is left starts its processes slowly.

Two processes search for the calls and rescue them. Requests, rescues and signs of life are the
product's own; LiveKit, the store and the call processes are played, at the pace that a test says.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent.dispatch import Dispatch
from agent.livekit_server import LiveKitServer
from agent.survival.call_watch import call_watch
from agent.survival.identity import ROOM_ID, epoch_in, identity_of
from agent.survival.requests import CallRequests
from agent.survival.rescuer import Rescuer
from agent.survival.worker_watch import WorkerWatch
from llm_router.clock import checkpoint, utc_now
from llm_router.testing import ManualClock
from llm_router.voice.calls import Call, CallAgent, CallFacts, CallItem

ROOMS = [f"call-{number}" for number in range(10)]
AT_A_TIME = 2
"""Call processes that a worker starts at a time."""
JOINS_IN = 0.4
LEAVES_IN = 0.1


@dataclass
class Store:
    """The stored calls; each request takes `delay` seconds."""

    clock: ManualClock
    delay: float
    calls: dict[str, Call] = field(default_factory=dict)

    async def claim(
        self, room: str, epoch: int, agent: CallAgent, now: datetime, facts: CallFacts
    ) -> Call | None:
        await self.clock.sleep(self.delay)
        call = self.calls[room]
        is_free = call.epoch == epoch - 1 or (call.epoch == epoch and call.job in {"", agent.job})
        if not is_free:
            return None
        call = replace(
            call, epoch=epoch, agent=agent.identity, worker=agent.worker, job=agent.job,
            last_beat=now,
        )  # fmt: skip
        self.calls[room] = call
        return call

    async def advance(self, room: str, epoch: int, now: datetime) -> bool:
        await self.clock.sleep(self.delay)
        call = self.calls[room]
        if call.epoch != epoch - 1:
            return False
        self.calls[room] = replace(call, epoch=epoch, worker="", job="", last_beat=now)
        return True

    async def beat(self, worker: str, epochs: Mapping[str, int], now: datetime) -> set[str]:
        await self.clock.sleep(self.delay)
        own = [
            call
            for call in self.calls.values()
            if call.worker == worker and epochs.get(call.id) == call.epoch
        ]
        for call in own:
            self.calls[call.room] = replace(call, last_beat=now)
        return {call.id for call in own}

    async def going_on(self, room: str) -> Call | None:
        await self.clock.sleep(self.delay)
        return self.calls[room]

    async def silent(
        self, before: datetime, metadata: Mapping[str, str], limit: int
    ) -> Sequence[Call]:
        await self.clock.sleep(self.delay)
        calls = self.calls.values()
        return [one for one in calls if one.last_beat < before or (one.job and not one.worker)]

    async def append(self, call_id: str, items: Sequence[CallItem], now: datetime) -> int:
        return 0

    async def note(self, call_id: str, epoch: int, now: datetime, **what: Any) -> bool:
        return True


@dataclass
class Rooms:
    """LiveKit: who is in each room, and what becomes of requests for agents."""

    clock: ManualClock
    answer: Callable[[Any], Awaitable[None]]
    present: dict[str, set[str]]
    jobs: dict[str, list[asyncio.Task[None]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    most_voices: int = 1

    async def room_id(self, room: str) -> str:
        return f"RM_{room}"

    async def evict(self, room: str, agent_name: str, identity: str) -> bool:
        await self.clock.sleep(0.05)
        self.present[room].clear()
        return True

    async def call_agent(self, room: str, agent_name: str, dispatch: Dispatch) -> None:
        self.asked.append(room)
        job = f"AJ_{len(self.asked)}"
        request = SimpleNamespace(
            id=job,
            room=SimpleNamespace(name=room, sid=f"RM_{room}"),
            job=SimpleNamespace(metadata=dispatch.to_metadata()),
            reject=checkpoint,
        )
        self.jobs.setdefault(room, []).append(asyncio.ensure_future(self.answer(request)))

    async def is_present(self, room: str, identity: str, agent_name: str = "") -> bool:
        await self.clock.sleep(0.05)
        return identity in self.present[room]

    async def has_job(self, room: str, agent_name: str) -> bool:
        return True

    async def close_room(self, room: str) -> None:
        pytest.fail("a caller is hung up on")

    def joins(self, room: str, identity: str) -> None:
        """Lets an agent in. One of an earlier epoch leaves soon, and a later one waits for that."""
        there, mine = self.present[room], epoch_in(identity, room)
        there.add(identity)
        earlier = [one for one in there if epoch_in(one, room) < mine]
        loop = asyncio.get_running_loop()
        for one in earlier:
            loop.call_later(LEAVES_IN, there.discard, one)
        voices = [one for one in there if one not in earlier]
        self.most_voices = max(self.most_voices, len(voices))


@dataclass
class Worker:
    """The worker that is left: it starts call processes, each of which becomes an agent."""

    clock: ManualClock
    store: Store
    starts_in: float
    idle: int = 1
    rooms: Rooms | None = None

    def __post_init__(self) -> None:
        self._starting = asyncio.Semaphore(AT_A_TIME)

    async def accept(self, request: Any, identity: str) -> None:
        if self.idle:
            self.idle -= 1
        else:
            async with self._starting:
                await self.clock.sleep(self.starts_in)
        room = request.room.name
        asyncio.get_running_loop().create_task(self._serve(room, identity))

    async def _serve(self, room: str, identity: str) -> None:
        assert self.rooms
        await self.clock.sleep(JOINS_IN)
        call = await self.store.going_on(room)
        if call and call.epoch == epoch_in(identity, room):
            self.rooms.joins(room, identity)


def nothing_left(job: str) -> None:
    """Finds no black box: the processes died on another machine."""


async def farewell(room: str, identity: str) -> None:
    pytest.fail("a caller is sent away")


@pytest.mark.parametrize("starts_in", [0.5, 3.0, 10.0])
@pytest.mark.parametrize("delay", [0.0, 0.2])
@pytest.mark.parametrize("are_noted", [True, False], ids=["noted their end", "fell silent"])
def test_each_caller_of_a_dead_worker_gets_one_agent_however_slow_the_next_worker_is(
    starts_in: float, delay: float, *, are_noted: bool
) -> None:
    clock = ManualClock()

    async def run() -> tuple[Rooms, Store]:
        store, now = Store(clock, delay), utc_now(clock)
        for room in ROOMS:
            store.calls[room] = Call(
                id=room, room=room, job="AJ_dead", worker="" if are_noted else "dead",
                last_beat=now, started_at=now, updated_at=now, metadata={ROOM_ID: f"RM_{room}"},
            )  # fmt: skip
        worker = Worker(clock, store, starts_in)
        requests = CallRequests("desk", "left", clock, worker.accept)
        requests.calls = cast("Any", store)
        rooms = Rooms(clock, requests.answer, {room: {identity_of(room, 1)} for room in ROOMS})
        worker.rooms = rooms
        rescuers = [
            Rescuer(cast("LiveKitServer", rooms), "desk", cast("Any", store), clock, farewell)
            for _ in range(2)
        ]
        pool = SimpleNamespace(processes=[], on=lambda *_: None, off=lambda *_: None)
        watch = WorkerWatch(
            cast("Any", SimpleNamespace(_proc_pool=pool)),
            requests,
            cast("Any", store),
            rescuers[0],
            boxes=lambda _: Path("/nonexistent"),
            clock=clock,
            worker="left",
        )
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(watch)
            for rescuer in rescuers:
                stack.push_async_callback(rescuer.aclose)
                watching = call_watch(cast("Any", store), rescuer, "desk", clock, nothing_left)
                await stack.enter_async_context(watching)
            await clock.sleep(90.0)
            for job in [one for jobs in rooms.jobs.values() for one in jobs]:
                await job
        return rooms, store

    rooms, store = clock.run(run())
    assert rooms.present == {room: {identity_of(room, 2)} for room in ROOMS}
    assert sorted(rooms.asked) == ROOMS
    assert rooms.most_voices == 1
    assert {call.epoch for call in store.calls.values()} == {2}
