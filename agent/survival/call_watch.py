"""Watches the calls in the database, for those whose worker is gone with all its processes.

Every worker and every HTTP process does so. Which of them acts, the calls themselves decide: each
moves to its next epoch once.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Protocol

from agent.survival.identity import AGENT_NAME, ROOM_ID
from agent.survival.rescuer import Lost, Rescuer, dispatch_of
from agent.survival.silence import BEATS_EVERY, QUIET_AFTER, SilentCalls
from llm_router.clock import Clock, utc_now
from llm_router.periodic import OutageLog, PeriodicTask
from llm_router.voice.calls import Call

_MOST = 200
"""Calls whose beats may be late at a time; the others are found once those are seen to."""


class CallSearch(Protocol):
    async def silent(
        self, before: datetime, metadata: Mapping[str, str], limit: int
    ) -> Sequence[Call]: ...


@asynccontextmanager
async def call_watch(
    calls: CallSearch, rescuer: Rescuer, agent_name: str, clock: Clock
) -> AsyncIterator[None]:
    """Brings agents to the calls of `agent_name` whose beats have stopped, during the block."""
    silent = SilentCalls()

    async def step() -> None:
        late = utc_now(clock) - timedelta(seconds=QUIET_AFTER)
        ours = await calls.silent(late, {AGENT_NAME: agent_name}, _MOST)
        for call in silent.step(ours, clock.now()):
            rescuer.rescue(_lost(call))

    outage = OutageLog(
        "calls whose worker dies are not noticed", "calls whose worker dies are noticed again"
    )
    watching = PeriodicTask(step, clock, BEATS_EVERY, name="silent calls", outage=outage)
    watching.start()
    try:
        yield
    finally:
        await watching.aclose()


def _lost(call: Call) -> Lost:
    return Lost(
        room=call.room,
        dispatch=dispatch_of(call, call.epoch),
        call_id=call.id,
        identity=call.agent,
        room_id=str(call.metadata.get(ROOM_ID, "")),
    )
