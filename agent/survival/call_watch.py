"""Watches the calls in the database, for those whose worker is gone with all its processes.

Every worker and every HTTP process does so. Which of them acts, the calls themselves decide: each
moves to its next epoch once.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from agent.survival.black_box import read_box
from agent.survival.identity import AGENT_NAME, ROOM_ID
from agent.survival.rescuer import Lost, Rescuer, dispatch_of
from agent.survival.silence import (
    BEAT_AFTER,
    BEATS_EVERY,
    QUIET_AFTER,
    STANDS_AFTER,
    SilentCalls,
    is_gone,
)
from llm_router.clock import Clock, utc_now
from llm_router.errors import StoreError
from llm_router.periodic import OutageLog, PeriodicTask
from llm_router.voice.calls import Call

_MOST = 200
"""Calls whose beats may be late at a time; the others are found once those are seen to."""
_ORPHANS_EVERY = 0.25
"""Seconds between checks of the files of workers on this machine, which cost next to nothing."""


class CallSearch(Protocol):
    async def silent(
        self, before: datetime, metadata: Mapping[str, str], limit: int
    ) -> Sequence[Call]: ...

    async def of_jobs(self, jobs: Collection[str]) -> Sequence[Call]: ...


Boxes = Callable[[str], Path | None]
"""Returns the black box that a job has left on this machine; None: there is none."""
Abandoned = Callable[[], Mapping[str, Path]]
"""Returns the black boxes of dead workers on this machine, by job."""


def _none_abandoned() -> Mapping[str, Path]:
    return {}


@asynccontextmanager
async def call_watch(
    calls: CallSearch,
    rescuer: Rescuer,
    agent_name: str,
    clock: Clock,
    boxes: Boxes,
    *,
    abandoned: Abandoned = _none_abandoned,
) -> AsyncIterator[None]:
    """Brings agents to the calls of `agent_name` whose beats have stopped, during the block.

    Those of a worker that has died on this machine are found at once.
    """
    silent, orphans = SilentCalls(), OrphanedJobs()

    async def find_orphans() -> None:
        if left := orphans.step(abandoned(), clock.now()):
            try:
                found = await calls.of_jobs(left.keys())
            except StoreError:
                orphans.forget(left.keys())  # they are looked up again
                raise
            for call in found:
                if call.metadata.get(AGENT_NAME) == agent_name:
                    rescuer.rescue(_lost(call, left.get))

    async def find_silent() -> None:
        late = utc_now(clock) - timedelta(seconds=QUIET_AFTER)
        ours = await calls.silent(late, {AGENT_NAME: agent_name}, _MOST)
        now = clock.now()
        for call in silent.step([call for call in ours if not is_near(call, boxes, now)], now):
            rescuer.rescue(_lost(call, boxes))

    outage = OutageLog(
        "calls whose worker has died get no other agent until the database answers again",
        "calls whose worker has died get another agent again",
    )
    orphaned = OutageLog(
        "calls whose worker has died on this machine get another agent later than usual, until the"
        " database answers again",
        "calls whose worker has died on this machine get another agent at once again",
    )
    watching = [
        PeriodicTask(find_orphans, clock, _ORPHANS_EVERY, name="orphaned calls", outage=orphaned),
        PeriodicTask(find_silent, clock, BEATS_EVERY, name="silent calls", outage=outage),
    ]
    for task in watching:
        task.start()
    try:
        yield
    finally:
        for task in watching:
            await task.aclose()


class OrphanedJobs:
    """Finds the call processes that have stopped since their worker died on this machine."""

    def __init__(self) -> None:
        self._found: set[str] = set()

    def step(self, abandoned: Mapping[str, Path], now: float) -> Mapping[str, Path]:
        """Returns their black boxes by job, each once; `abandoned` are all those of dead workers.

        A process ends by itself as soon as it notices: until it stops, it may voice a word more.
        """
        self._found &= abandoned.keys()
        fresh = [job for job in abandoned if job not in self._found][:_MOST]
        left = {job: abandoned[job] for job in fresh if _stands(abandoned[job], now)}
        self._found |= left.keys()
        return left

    def forget(self, jobs: Collection[str]) -> None:
        """Has the next step find these once more."""
        self._found.difference_update(jobs)


def _stands(box: Path, now: float) -> bool:
    left = read_box(box)
    return left is None or abs(now - left.beat) > STANDS_AFTER


def is_near(call: Call, boxes: Boxes, now: float) -> bool:
    """Returns whether the process of a call beats on this machine: then the database alone is slow.

    `now` is the machine's monotonic time. An agent that has noted its end is gone all the same.
    """
    box = boxes(call.job) if call.job and call.worker else None
    left = read_box(box) if box else None
    # A box that has outlived a restart of the machine holds a beat that is still to come.
    return left is not None and abs(now - left.beat) < BEAT_AFTER


def _lost(call: Call, boxes: Boxes) -> Lost:
    # An agent that has noted its end has stored its last words before.
    box = boxes(call.job) if call.job and not is_gone(call) else None
    left = read_box(box) if box else None
    return Lost(
        room=call.room,
        dispatch=dispatch_of(call, call.epoch),
        call_id=call.id,
        identity=call.agent,
        room_id=str(call.metadata.get(ROOM_ID, "")),
        note=left.note if left else None,
    )
