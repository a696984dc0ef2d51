"""A worker shows that it has its calls, from their claim on, and hands them on one by one."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from agent.survival.black_box import BlackBox
from agent.survival.call_watch import call_watch
from agent.survival.requests import CallRequests
from agent.survival.rescuer import Lost
from agent.survival.worker_watch import WorkerWatch
from llm_router.testing import ManualClock
from llm_router.voice.calls import Call, CallAgent, CallFacts


@dataclass
class Calls:
    """The store of calls, which is slow at first; `late`: seconds for the first claim."""

    clock: ManualClock
    late: float = 0.0
    claimed: dict[str, Call] = field(default_factory=dict)
    beats: dict[str, list[float]] = field(default_factory=dict)

    async def claim(
        self, room: str, epoch: int, agent: CallAgent, now: datetime, facts: CallFacts
    ) -> Call:
        late, self.late = self.late, 0.0
        call = Call(
            id=room, room=room, epoch=epoch, agent=agent.identity, job=agent.job,
            last_beat=now, started_at=now, updated_at=now, metadata=facts.metadata,
        )  # fmt: skip
        self.claimed[room] = call
        await self.clock.sleep(late)
        return call

    async def beat(self, worker: str, epochs: Mapping[str, int], now: datetime) -> set[str]:
        for call in epochs:
            self.beats.setdefault(call, []).append(self.clock.now())
        return set(epochs)


@dataclass
class Pool:
    """The call processes of a worker."""

    processes: list[Any] = field(default_factory=list)

    def on(self, event: str, listener: object) -> None:
        """Has no events."""

    off = on


@dataclass
class Rescuer:
    """Moves calls, which takes as long as the test says."""

    moved: list[str] = field(default_factory=list)
    is_busy: bool = False

    def move(self, lost: Lost, on_moved: Callable[[], object]) -> None:
        self.moved.append(lost.room)
        self.is_busy = True
        on_moved()

    def is_bringing(self, room: str) -> bool:
        return False

    async def aclose(self, within: float = 0.0) -> None:
        """Has nothing under way."""


def request(room: str) -> Any:
    return SimpleNamespace(
        id=f"AJ_{room}",
        room=SimpleNamespace(name=room, sid="RM_1"),
        job=SimpleNamespace(metadata=""),
    )


def watching(  # noqa: PLR0917  the parts of a watch, each of its own type
    clock: ManualClock,
    requests: CallRequests,
    calls: Calls,
    pool: Pool,
    rescuer: Rescuer,
    folder: Path,
) -> WorkerWatch:
    return WorkerWatch(
        SimpleNamespace(_proc_pool=pool),  # type: ignore[arg-type]  # the part that it uses
        requests,
        calls,  # type: ignore[arg-type]  # the parts that it uses
        rescuer,  # type: ignore[arg-type]  # the parts that it uses
        boxes=lambda process: folder / str(process),
        clock=clock,
        worker="w",
    )


def beats_while_a_process_starts(late: float) -> tuple[list[float], Call]:
    """Returns the beats of a call whose process takes 10 s to start, and the call."""
    clock = ManualClock()
    calls = Calls(clock, late)

    async def start(_: object, __: str) -> None:
        await clock.sleep(10.0)

    async def main() -> None:
        requests = CallRequests("desk", "w", clock, start)
        requests.calls = calls  # type: ignore[assignment]  # the parts that it uses
        watch = watching(clock, requests, calls, Pool(), Rescuer(), Path("/nonexistent"))
        async with watch, asyncio.timeout(20):
            await requests.answer(request("r"))

    clock.run(main())
    return calls.beats["r"], calls.claimed["r"]


def test_a_call_shows_signs_of_life_while_its_process_is_being_started() -> None:
    beats, _ = beats_while_a_process_starts(late=0.0)
    assert max(b - a for a, b in zip([0.0, *beats], [*beats, 10.0], strict=True)) < 0.6


def test_a_call_whose_claim_was_answered_too_late_is_claimed_again() -> None:
    beats, call = beats_while_a_process_starts(late=5.0)
    assert beats[0] <= 1.5
    assert call.metadata["agent_name"] == "desk"


def test_calls_are_handed_on_one_at_a_time(tmp_path: Path) -> None:
    clock, pool, rescuer = ManualClock(), Pool(), Rescuer()
    calls = Calls(clock)

    async def start(asked: Any, _: str) -> None:
        job = SimpleNamespace(id=asked.id)
        pool.processes.append(
            SimpleNamespace(pid=len(pool.processes) + 1, running_job=SimpleNamespace(job=job))
        )

    async def main() -> None:
        requests = CallRequests("desk", "w", clock, start)
        requests.calls = calls  # type: ignore[assignment]  # the parts that it uses
        watch = watching(clock, requests, calls, pool, rescuer, tmp_path)
        with BlackBox(tmp_path / "1") as first, BlackBox(tmp_path / "2") as second:
            async with watch:
                await requests.answer(request("a"))
                await requests.answer(request("b"))
                first.beat(1.0, at_rest=True)
                second.beat(1.0, at_rest=True)
                watch.is_handing_over = True
                await clock.sleep(1.0)
                assert len(rescuer.moved) == 1
                rescuer.is_busy = False
                await clock.sleep(1.0)

    clock.run(main())
    assert sorted(rescuer.moved) == ["a", "b"]


def test_a_watch_of_silent_calls_ends_no_rescue() -> None:
    clock, closed = ManualClock(), list[float]()

    class Used(Rescuer):
        async def aclose(self, within: float = 0.0) -> None:
            closed.append(within)

    class NoCalls:
        async def silent(
            self, before: datetime, metadata: Mapping[str, str], limit: int
        ) -> list[Call]:
            return []

    async def main() -> None:
        rescuer, requests = Used(), CallRequests("desk", "w", clock, answered)
        watch = watching(clock, requests, Calls(clock), Pool(), rescuer, Path("/nonexistent"))
        silent = call_watch(NoCalls(), rescuer, "desk", clock)  # type: ignore[arg-type]  # the parts that it uses
        async with watch, silent:
            await clock.sleep(1.0)

    clock.run(main())
    assert closed == [5.0]


async def answered(request: object, identity: str) -> None:
    """Accepts."""
