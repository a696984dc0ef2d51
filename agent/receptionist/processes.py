"""Keeps as many call processes idle as calls are expected, and sees which calls find none."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from livekit.agents import AgentServer, JobRequest
from livekit.agents.utils.hw import get_cpu_monitor

from agent.receptionist.idle import Arrivals, StartupTime, most_idle
from llm_router.clock import Clock
from llm_router.periodic import PeriodicTask, log_bug

_EVERY = 5.0
"""Seconds from one adjustment of their number to the next."""
_SOON = 0.3
"""Seconds in which a process is up on a machine that is not busy. The receptionist needs longer to
be in the room."""
_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")
_UNKNOWN = 2048.0
"""Memory (MB) that is taken for free where the system does not say."""

Cover = Callable[[str], Awaitable[None]]
"""Sends the receptionist to the room of this name."""
Elsewhere = Callable[[], Awaitable[int]]
"""Returns how many calls would come at once if another worker died."""


async def _none_elsewhere() -> int:
    return 0


class CallProcesses:
    """Accepts the calls of a worker, and has processes started before they are needed.

    `accept` is the worker's request function. `least`: processes that are idle in any case.
    """

    def __init__(self, clock: Clock, least: int) -> None:
        self._clock = clock
        self._least = least
        self._arrivals = Arrivals()
        self._startup = StartupTime()
        self._began: dict[int, float] = {}
        self._accepting = 0
        self._server: AgentServer | None = None
        self._cover: Cover | None = None
        self._elsewhere: Elsewhere = _none_elsewhere
        self._covering: set[asyncio.Task[None]] = set()

    async def accept(self, request: JobRequest, identity: str = "") -> None:
        """Accepts a call. If no process has it within a moment, sends the receptionist ahead."""
        self._arrivals.arrived(self._clock.now())
        self._accepting += 1
        if self._server and self._accepting > 1:
            # Processes for later calls would hold up those of a burst. The server's own number
            # stays: by that, LiveKit judges what a call that has not begun costs.
            self._server._proc_pool._default_num_idle_processes = self._least  # noqa: SLF001  as below
        has_process = asyncio.Event()
        try:
            if self._cover and self._accepting > self.idle:
                covering = _cover_unless(has_process, self._cover, request.room.name)
                task = asyncio.create_task(covering, name="receptionist ahead")
                self._covering.add(task)
                task.add_done_callback(self._covering.discard)
                task.add_done_callback(log_bug)
            await request.accept(identity=identity)
        finally:
            has_process.set()
            self._accepting -= 1

    @asynccontextmanager
    async def watched(
        self, server: AgentServer, cover: Cover, elsewhere: Elsewhere = _none_elsewhere
    ) -> AsyncIterator[None]:
        """Adjusts the number of idle processes of a running server during the block."""
        self._server, self._cover, self._elsewhere = server, cover, elsewhere
        pool = server._proc_pool  # noqa: SLF001  LiveKit says nowhere else when a process is up
        pool.on("process_created", self._on_created)
        pool.on("process_ready", self._on_ready)
        adjusting = PeriodicTask(self._adjust, self._clock, _EVERY, name="idle processes")
        adjusting.start(delay=_EVERY)
        try:
            yield
        finally:
            self._server = self._cover = None
            pool.off("process_created", self._on_created)
            pool.off("process_ready", self._on_ready)
            await adjusting.aclose()
            if self._covering:
                await asyncio.wait(self._covering)

    @property
    def idle(self) -> int:
        """Processes that wait for a call; 0 while no server is watched."""
        return self._server._proc_pool._warmed_proc_queue.qsize() if self._server else 0  # noqa: SLF001  as above

    async def _adjust(self) -> None:
        if self._server is None or self._accepting:
            return
        most = most_idle(self._least, get_cpu_monitor().cpu_count(), free_megabytes())
        now, startup = self._clock.now(), self._startup.seconds
        least = min(most, max(self._least, await self._elsewhere()))
        target = self._arrivals.target(now, startup, least=least, most=most)
        if not self._accepting:
            self._set_target(target)

    def _set_target(self, target: int) -> None:
        if self._server is None:
            return
        # LiveKit lowers a target as the load rises, but lets none exceed these two.
        self._server._num_idle_processes = target  # noqa: SLF001  its update_options wants a stopped server
        self._server._proc_pool._default_num_idle_processes = target  # noqa: SLF001  as above
        self._server._proc_pool.set_target_idle_processes(target)  # noqa: SLF001  as above

    def _on_created(self, process: Any) -> None:
        self._began[id(process)] = self._clock.now()

    def _on_ready(self, process: Any) -> None:
        if (began := self._began.pop(id(process), None)) is not None:
            self._startup.measured(self._clock.now() - began)


async def _cover_unless(has_process: asyncio.Event, cover: Cover, room: str) -> None:
    """Sends the receptionist, unless a process has the call soon: the agent would wait for it."""
    try:
        async with asyncio.timeout(_SOON):
            await has_process.wait()
    except TimeoutError:
        await cover(room)


def free_megabytes(cgroup: Path = _CGROUP, meminfo: Path = _MEMINFO) -> float:
    """Returns the memory (MB) that is free on this machine, or in its container if that is less."""
    free = _UNKNOWN
    with suppress(OSError, ValueError, IndexError):  # not Linux
        free = int(meminfo.read_text().partition("MemAvailable:")[2].split()[0]) / 1024
    with suppress(OSError, ValueError):  # no container, or one without a limit
        limit = int((cgroup / "memory.max").read_text())
        free = min(free, (limit - int((cgroup / "memory.current").read_text())) / 2**20)
    return free
