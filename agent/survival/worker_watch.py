"""Watches the call processes of one worker: some die, some hang, some answer another's call."""

import logging
import os
import signal
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

from livekit.agents import AgentServer
from livekit.agents.ipc.job_executor import JobStatus

from agent.survival.black_box import Left, read_box
from agent.survival.requests import CallRequests, OwnCall
from agent.survival.rescuer import Lost, Rescuer
from agent.survival.silence import BEATS_EVERY, HungJobs, JobBeat
from llm_router.clock import Clock, utc_now
from llm_router.periodic import OutageLog, PeriodicTask
from llm_router.voice.calls import CallPort

_logger = logging.getLogger("agent")

_EVERY = 0.25
"""Seconds between readings of the black boxes."""
_RESCUES_END_WITHIN = 5.0
"""Seconds for which the worker's end waits for calls that are just being handed to others."""


class WorkerWatch:
    """Rescues the calls of this worker's processes, and shows others that they are alive.

    Use it in `async with`, once the worker is registered. Processes that end after the block are
    not replaced. `boxes` names the black box of a job.
    """

    def __init__(
        self,
        server: AgentServer,
        requests: CallRequests,
        calls: CallPort,
        rescuer: Rescuer,
        *,
        boxes: Callable[[str], Path],
        clock: Clock,
        worker: str,
    ) -> None:
        self._pool = server._proc_pool  # noqa: SLF001  LiveKit reports a dead process nowhere else
        self._requests = requests
        self._calls = calls
        self._rescuer = rescuer
        self._boxes = boxes
        self._clock = clock
        self._worker = worker
        self._hung = HungJobs(_EVERY)
        self._ended: set[int] = set()
        self.is_handing_over = False
        """Whether calls move to other workers, each when neither side of it speaks."""
        outage = OutageLog(
            "the database does not answer, so other workers cannot see that this worker's calls are"
            " alive and may take them over",
            "calls show signs of life again",
        )
        self._looking = PeriodicTask(self._step, clock, _EVERY, name="call processes")
        self._beating = PeriodicTask(
            self._beat, clock, BEATS_EVERY, name="beats of calls", outage=outage
        )

    async def __aenter__(self) -> Self:
        self._pool.on("process_closed", self._on_closed)
        self._looking.start()
        self._beating.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._pool.off("process_closed", self._on_closed)
        await self._looking.aclose()
        await self._beating.aclose()
        await self._rescuer.aclose(_RESCUES_END_WITHIN)

    def _running(self) -> dict[int, tuple[str, OwnCall]]:
        """Returns the calls of this worker by process, each with its job."""
        found = {}
        for process in self._pool.processes:
            running = process.running_job
            own = self._requests.accepted.get(running.job.id) if running else None
            if running and own and (pid := _pid(process)):
                found[pid] = (running.job.id, own)
        return found

    async def _step(self) -> None:
        running = self._running()
        boxes = {process: read_box(self._boxes(job)) for process, (job, _) in running.items()}
        beats = {
            process: JobBeat(box.beat if box else 0.0, waited_for_processor(process))
            for process, box in boxes.items()
        }
        for process in self._hung.step(beats, self._clock.now()):
            _logger.error(
                "the call in room %s hangs: its process is ended", running[process][1].room
            )
            _kill(process)
        if self.is_handing_over:
            at_rest = {process for process, box in boxes.items() if box and box.at_rest}
            self._hand_over([running[process] for process in at_rest])

    def _hand_over(self, calls: Sequence[tuple[str, OwnCall]]) -> None:
        """Moves one call at a time: the other workers have no process for many at once."""
        if self._rescuer.is_busy:
            return
        for job, own in calls:
            if own.call_id:
                self._rescuer.move(_planned(own), partial(self._requests.forget, job))
                return

    async def _beat(self) -> None:
        running = self._running()
        # An accepted call may wait for a process that is being started.
        accepted = self._requests.accepted.values()
        epochs = {own.call_id: own.dispatch.epoch for own in accepted if own.call_id}
        mine = await self._calls.beat(self._worker, epochs, utc_now(self._clock))
        await self._requests.claim_again()
        for process, (job, own) in running.items():
            if self._rescuer.is_bringing(own.room) or own.call_id in mine:
                continue
            if await self._is_another_s(own):
                _logger.warning("the call in room %s has another agent: this one ends", own.room)
                self._requests.forget(job)
                _kill(process)

    async def _is_another_s(self, own: OwnCall) -> bool:
        """Returns whether a call goes on without this agent; one that has ended lets it finish."""
        found = await self._calls.going_on(own.room)
        return found is not None and found.epoch > own.dispatch.epoch

    def _on_closed(self, process: Any) -> None:
        running = process.running_job
        if running is None:
            return
        box = self._boxes(running.job.id)
        left = read_box(box)
        box.unlink(missing_ok=True)
        own = self._requests.forget(running.job.id)
        if own is not None and process.status == JobStatus.FAILED:
            self._rescuer.rescue(self._lost(own, left))

    def _lost(self, own: OwnCall, left: Left | None) -> Lost:
        silent = self._clock.now() - left.beat if left and left.beat else 0.0
        dispatch = own.dispatch.model_copy(
            update={"lost_at": self._clock.wall() - silent, "planned": False}
        )
        return Lost(
            room=own.room,
            dispatch=dispatch,
            call_id=own.call_id,
            identity=own.identity,
            room_id=own.room_id,
            note=left.note if left else None,
            seen_dead=True,
        )


def waited_for_processor(process: int) -> float:
    """Returns how long the main thread of a process was ready to run and did not (s)."""
    try:
        _, waited, _ = Path(f"/proc/{process}/schedstat").read_text().split()
    except (OSError, ValueError):  # it has just ended, or this is not Linux
        return 0.0
    return int(waited) / 1e9


def _pid(process: Any) -> int:
    """Returns the number of a process, 0 before it has one."""
    return process.pid or 0


def _planned(own: OwnCall) -> Lost:
    """Returns a call whose agent leaves on purpose."""
    return Lost(
        room=own.room,
        dispatch=own.dispatch.model_copy(update={"lost_at": 0.0, "planned": True}),
        call_id=own.call_id,
        identity=own.identity,
        room_id=own.room_id,
    )


def _kill(process: int) -> None:
    """Ends a process that does not listen, or must not speak any more."""
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return
