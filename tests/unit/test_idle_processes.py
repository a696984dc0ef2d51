"""Tests how many call processes are started in advance, and which calls are covered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.agents import AgentServer, JobRequest, utils
from livekit.agents.job import JobAcceptArguments
from livekit.protocol.agent import Job
from livekit.protocol.models import Room

from agent.receptionist.idle import Arrivals, StartupTime, most_idle
from agent.receptionist.processes import CallProcesses, free_megabytes
from llm_router.testing.clock import ManualClock

GAPS = st.lists(st.floats(0, 100), max_size=60)


def after(gaps: list[float]) -> tuple[Arrivals, float]:
    arrivals, now = Arrivals(), 0.0
    for gap in gaps:
        now += gap
        arrivals.arrived(now)
    return arrivals, now


@given(GAPS, st.floats(0, 20), st.integers(1, 8), st.integers(0, 32))
def test_the_number_stays_within_its_bounds(
    gaps: list[float], startup: float, least: int, more: int
) -> None:
    arrivals, now = after(gaps)
    assert least <= arrivals.target(now, startup, least=least, most=least + more) <= least + more


@given(GAPS, st.floats(0, 20), st.floats(0, 20))
def test_slower_processes_never_make_it_smaller(gaps: list[float], one: float, two: float) -> None:
    arrivals, now = after(gaps)
    slow, fast = (
        arrivals.target(now, startup, least=1, most=99)
        for startup in (max(one, two), min(one, two))
    )
    assert slow >= fast


@given(GAPS)
def test_five_quiet_minutes_bring_it_back(gaps: list[float]) -> None:
    arrivals, now = after(gaps)
    assert arrivals.target(now + 300.1, 3.0, least=1, most=99) == 1


def test_a_burst_is_expected_to_come_again() -> None:
    arrivals, now = after([100.0, 0.5, 0.5])
    assert arrivals.target(now + 120, 3.0, least=1, most=99) == 3


def test_a_steady_stream_has_spare_processes() -> None:
    arrivals, now = after([5.0] * 60)
    assert arrivals.target(now, 3.0, least=1, most=99) == 2


def test_an_odd_call_changes_nothing() -> None:
    arrivals, now = after([50.0])
    assert arrivals.target(now, 3.0, least=1, most=99) == 1


def test_the_bound_follows_memory_and_cores() -> None:
    assert most_idle(1, 2, free_megabytes=16_000) == 10
    assert most_idle(1, 64, free_megabytes=3_200) == 10
    assert most_idle(2, 2, free_megabytes=100) == 2


def test_the_latest_processes_show_how_long_one_needs() -> None:
    startup = StartupTime()
    assert startup.seconds == 3.0
    startup.measured(8.0)
    assert startup.seconds == 8.0
    for _ in range(20):
        startup.measured(2.0)
    assert startup.seconds == pytest.approx(2.0, abs=0.1)


def test_a_busy_machine_starts_no_more_for_being_slow() -> None:
    startup = StartupTime()
    startup.measured(40.0)
    assert startup.seconds == 10.0


def test_a_container_has_its_own_memory(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:    4096000 kB\n")
    assert free_megabytes(tmp_path, meminfo) == 4000
    (tmp_path / "memory.current").write_text(f"{2**30}\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert free_megabytes(tmp_path, meminfo) == 4000
    (tmp_path / "memory.max").write_text(f"{3 * 2**30}\n")
    assert free_megabytes(tmp_path, meminfo) == 2048


def test_a_system_without_that_file_is_taken_for_a_small_machine(tmp_path: Path) -> None:
    assert free_megabytes(tmp_path, tmp_path / "none") == 2048


# ── Calls that find no process ───────────────────────────────────────────────────────────────────


class Pool(utils.EventEmitter[Any]):
    """LiveKit's processes, as far as they are asked."""

    def __init__(self, idle: int) -> None:
        super().__init__()
        self._warmed_proc_queue = asyncio.Queue[int]()
        for number in range(idle):
            self._warmed_proc_queue.put_nowait(number)
        self.target = idle
        self._default_num_idle_processes = idle

    def set_target_idle_processes(self, target: int) -> None:
        self.target = target


class Server:
    def __init__(self, idle: int) -> None:
        self._proc_pool = Pool(idle)
        self._num_idle_processes = idle


class Site:
    """A worker with some idle processes, on which calls come in."""

    def __init__(self, idle: int) -> None:
        self.clock = ManualClock()
        self.server = Server(idle)
        self.processes = CallProcesses(self.clock, idle)
        self.covered: list[str] = []

    async def cover(self, room: str) -> None:
        self.covered.append(room)

    async def call(self, room: str) -> None:
        async def accept(_: JobAcceptArguments) -> None:
            await self.server._proc_pool._warmed_proc_queue.get()

        async def reject(_: bool) -> None:
            raise AssertionError

        job = Job(id=room, room=Room(name=room))
        await self.processes.accept(JobRequest(job=job, on_reject=reject, on_accept=accept))

    @asynccontextmanager
    async def calls(self, *rooms: str) -> AsyncIterator[None]:
        """Has calls come at once; at the end of the block the missing processes come up."""
        coming = [asyncio.ensure_future(self.call(room)) for room in rooms]
        await asyncio.wait(coming, timeout=0)
        yield
        for number in range(len(rooms)):
            self.server._proc_pool._warmed_proc_queue.put_nowait(number)
        await asyncio.wait(coming)

    @asynccontextmanager
    async def watched(self, *rooms: str) -> AsyncIterator[None]:
        """Has calls come at once to a worker whose processes are watched."""
        server = cast("AgentServer", self.server)
        async with self.processes.watched(server, self.cover), self.calls(*rooms):
            yield


def test_calls_beyond_the_idle_processes_are_covered() -> None:
    site = Site(idle=1)

    async def run() -> None:
        async with site.watched("one", "two", "three"):
            await site.clock.sleep(1.0)

    site.clock.run(run())
    assert site.covered == ["two", "three"]


def test_a_call_whose_process_is_up_in_a_moment_is_not_covered() -> None:
    site = Site(idle=1)

    async def run() -> None:
        async with site.watched("one", "two", "three"):
            await site.clock.sleep(0.2)
        await site.clock.sleep(5.0)

    site.clock.run(run())
    assert site.covered == []


def test_a_burst_has_more_processes_started() -> None:
    site = Site(idle=1)

    async def run() -> list[int]:
        async with site.processes.watched(cast("AgentServer", site.server), site.cover):
            targets = []
            async with site.calls("one", "two", "three"):
                await site.clock.sleep(6.0)
                targets.append(site.server._proc_pool.target)
            await site.clock.sleep(6.0)
            return [*targets, site.server._proc_pool.target]

    assert site.clock.run(run()) == [1, 3]


def test_a_call_that_finds_a_process_is_not_covered() -> None:
    site = Site(idle=2)

    async def run() -> None:
        async with site.watched("one", "two"):
            await site.clock.sleep(1.0)

    site.clock.run(run())
    assert site.covered == []


def test_as_many_processes_wait_as_another_worker_has_calls() -> None:
    site = Site(idle=1)

    async def elsewhere() -> int:
        return 3

    async def run() -> None:
        watching = site.processes.watched(cast("AgentServer", site.server), site.cover, elsewhere)
        async with watching:
            await site.clock.sleep(6.0)
            assert site.server._proc_pool.target == 3
            async with site.calls("one", "two", "three"):
                most = site.server._proc_pool._default_num_idle_processes
                assert most == 1, "none is started beside calls that begin"
                assert site.server._num_idle_processes == 3, "LiveKit judges calls by it"
            await site.clock.sleep(6.0)
            assert site.server._proc_pool._default_num_idle_processes >= 3, "the burst is over"

    site.clock.run(run())
