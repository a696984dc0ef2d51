"""A worker shows that it has its calls, from their claim on, and hands them on one by one."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.dispatch import Dispatch
from agent.survival.black_box import BlackBox, Note
from agent.survival.call_watch import call_watch, is_near
from agent.survival.identity import AGENT_NAME
from agent.survival.requests import CallRequests
from agent.survival.rescuer import Lost, dispatch_of
from agent.survival.worker_watch import WorkerWatch
from llm_router.clock import utc_now
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


def request(room: str, dispatch: Dispatch | None = None) -> Any:
    return SimpleNamespace(
        id=f"AJ_{room}",
        room=SimpleNamespace(name=room, sid="RM_1"),
        job=SimpleNamespace(metadata=dispatch.to_metadata() if dispatch else ""),
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
        boxes=lambda job: folder / job,
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


def test_what_is_tried_is_stored_with_the_claim_for_later_agents() -> None:
    clock = ManualClock()
    calls = Calls(clock)

    async def accept(_: object, __: str) -> None:
        """Takes it."""

    async def main() -> None:
        requests = CallRequests("desk", "w", clock, accept)
        requests.calls = calls  # type: ignore[assignment]  # the parts that it uses
        await requests.answer(request("r", Dispatch(trial="sealed")))

    clock.run(main())
    assert dispatch_of(calls.claimed["r"], 2).trial == "sealed"


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
        with BlackBox(tmp_path / "AJ_a") as first, BlackBox(tmp_path / "AJ_b") as second:
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
        silent = call_watch(NoCalls(), rescuer, "desk", clock, no_box)  # type: ignore[arg-type]  # the parts that it uses
        async with watch, silent:
            await clock.sleep(1.0)

    clock.run(main())
    assert closed == [5.0]


@pytest.mark.parametrize("worker", ["dead", ""], ids=["killed as well", "stored its last words"])
def test_the_words_that_a_dead_worker_s_process_could_not_store_are_found_on_this_machine(
    tmp_path: Path, worker: str
) -> None:
    clock = ManualClock()
    now = utc_now(clock)
    silent = Call(
        id="c", room="r", job="AJ_r", worker=worker, last_beat=now, started_at=now, updated_at=now
    )
    found = list[Lost]()

    class OneCall:
        async def silent(
            self, before: datetime, metadata: Mapping[str, str], limit: int
        ) -> list[Call]:
            return [silent]

    rescues = SimpleNamespace(rescue=found.append)

    async def main() -> None:
        watch = call_watch(OneCall(), rescues, "desk", clock, tmp_path.joinpath)  # type: ignore[arg-type]  # the parts that it uses
        with BlackBox(tmp_path / "AJ_r") as box:
            box.write(Note(voiced="We open at"))
            async with watch:
                await clock.sleep(8.0)

    clock.run(main())
    [lost] = found
    assert lost.note == (Note(voiced="We open at", tools=[], items=[]) if worker else None)


def test_a_slow_database_costs_no_call_whose_process_beats_on_this_machine(tmp_path: Path) -> None:
    clock = ManualClock()
    now = utc_now(clock)
    late = Call(
        id="c", room="r", job="AJ_r", worker="w", last_beat=now, started_at=now, updated_at=now
    )
    found = list[Lost]()

    class OneCall:
        async def silent(
            self, before: datetime, metadata: Mapping[str, str], limit: int
        ) -> list[Call]:
            return [late]

    rescues = SimpleNamespace(rescue=found.append)

    async def main() -> float:
        watch = call_watch(OneCall(), rescues, "desk", clock, tmp_path.joinpath)  # type: ignore[arg-type]  # the parts that it uses
        with BlackBox(tmp_path / "AJ_r") as box:
            async with watch:
                for _ in range(40):
                    box.beat(clock.now())
                    await clock.sleep(0.25)
                assert found == []
                died = clock.now()
                while not found:
                    await clock.sleep(0.1)
                return clock.now() - died

    assert clock.run(main()) < 7.0


def test_the_calls_of_a_worker_that_dies_on_this_machine_are_found_once_their_processes_stand(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    now = utc_now(clock)
    theirs = [
        Call(
            id=room, room=room, job=f"AJ_{room}", worker="dead", last_beat=now, started_at=now,
            updated_at=now, metadata={AGENT_NAME: name},
        )
        for room, name in (("a", "desk"), ("b", "desk"), ("c", "another"))
    ]  # fmt: skip
    found = list[Lost]()

    class TheirCalls:
        async def silent(
            self, before: datetime, metadata: Mapping[str, str], limit: int
        ) -> list[Call]:
            return []  # they have just beaten

        async def of_jobs(self, jobs: Collection[str]) -> list[Call]:
            return [call for call in theirs if call.job in jobs]

    rescues = SimpleNamespace(rescue=found.append)
    boxes = {call.job: tmp_path / call.job for call in theirs}

    async def main() -> None:
        watch = call_watch(
            TheirCalls(),
            rescues,  # type: ignore[arg-type]  # the part that it uses
            "desk",
            clock,
            tmp_path.joinpath,
            abandoned=lambda: boxes,
        )
        with ExitStack() as stack:
            first, *_ = [stack.enter_context(BlackBox(box)) for box in boxes.values()]
            first.write(Note(voiced="We open at"))
            async with watch:
                for _ in range(8):  # it has not noticed yet
                    first.beat(clock.now())
                    await clock.sleep(0.25)
                assert [lost.room for lost in found] == ["b"]
                first.beat(stopped := clock.now())
                first.stop()
                while len(found) == 1:
                    await clock.sleep(0.01)
                assert clock.now() - stopped < 0.26

    clock.run(main())
    assert [lost.room for lost in found] == ["b", "a"]
    assert found[1].note == Note(voiced="We open at", tools=[], items=[])


@pytest.mark.parametrize(
    ("ago", "beats"), [(0.5, True), (5.5, False), (-0.5, True), (-3600.0, False)]
)
def test_a_box_that_outlives_a_restart_of_its_machine_does_not_beat(
    tmp_path: Path, ago: float, beats: bool
) -> None:
    now = utc_now(ManualClock())
    call = Call(
        id="c", room="r", job="AJ_r", worker="w", last_beat=now, started_at=now, updated_at=now
    )
    with BlackBox(tmp_path / "AJ_r") as box:
        box.beat(5000.0 - ago)
        assert is_near(call, tmp_path.joinpath, 5000.0) is beats


def no_box(job: str) -> None:
    """Finds nothing."""


async def answered(request: object, identity: str) -> None:
    """Accepts."""
