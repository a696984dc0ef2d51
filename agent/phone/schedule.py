"""Dials planned calls when they are due: of several HTTP processes, one at a time.

Numbers are claimed in the database before they are dialed. When a process dies, another one finds
its attempts: a number that was not dialed yet waits again, one that was answered goes on, and one
of which nothing is known is not dialed again by itself.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

from agent.livekit_server import LiveKitError
from agent.phone.dialing import Dialer, DialRules
from agent.phone.faults import FaultPause, SetupFaultError
from llm_router.clock import Clock, utc_now
from llm_router.connections.access import SYSTEM
from llm_router.errors import StoreError
from llm_router.periodic import OutageLog, PeriodicTask
from llm_router.store.calls import CallStore
from llm_router.store.leases import Lease
from llm_router.store.planned_calls import PlannedCalls
from llm_router.voice.calls import Call, CallFilters, answered_by
from llm_router.voice.phone.plan import (
    PlannedCall,
    PlanOutcome,
    after_outcome,
    is_open,
    not_yet,
    put_off,
    taken_back,
)
from llm_router.voice.phone.rooms import outgoing_room

_logger = logging.getLogger("agent.api")

_EVERY = 1.0
"""Seconds from one reading of what is due to the next."""
_DEAD_AFTER = timedelta(seconds=20)
"""Time without a sign of life after which the process of an attempt has died."""
_BEAT_EVERY = 5.0
_ASK_FOR = 4.0
"""Seconds of a step in which LiveKit is asked; what is left is asked in the next ones."""
_AT_A_TIME = 50
_ASK_AGAIN = timedelta(minutes=1)
_KNOWN: frozenset[PlanOutcome] = frozenset({"person", "voicemail", "machine"})


class Schedule:
    """The planned calls that this process dials, from `start` to `aclose`.

    While the set-up is at fault, calls wait, and one is tried at a time, after a pause.
    """

    def __init__(
        self,
        planned: PlannedCalls,
        calls: CallStore,
        dialer: Dialer,
        lease: Lease,
        clock: Clock,
    ) -> None:
        self._planned = planned
        self._calls = calls
        self._dialer = dialer
        self._pause = FaultPause()
        self._may_have_faults = True
        """Whether calls may bear a fault that this process, or the one before it, has noted."""
        self._lease = lease
        self._clock = clock
        self._holder = uuid4().hex
        self._dialing: dict[asyncio.Task[None], str] = {}
        """Ids of the calls that are dialed here, by their tasks."""
        self._ask_until = 0.0
        outage = OutageLog(
            "no planned call is dialed until the database answers again",
            "planned calls are dialed again",
        )
        self._task = PeriodicTask(self.step, clock, _EVERY, name="planned calls", outage=outage)
        self._beating = PeriodicTask(
            self.beat, clock, _BEAT_EVERY, name="beat of planned calls",
            outage=OutageLog(
                "other processes may take numbers that are dialed here for abandoned",
                "numbers that are dialed here are known again to other processes",
            ),
        )  # fmt: skip

    def start(self) -> None:
        self._task.start()
        self._beating.start()

    async def aclose(self) -> None:
        """Ends the work. Attempts under way are left to the next process."""
        await self._task.aclose()
        for task in self._dialing:
            task.cancel()
        if self._dialing:
            await asyncio.wait([*self._dialing])
        await self._beating.aclose()
        await self._lease.release()

    async def step(self) -> None:
        """Dials what is due, and follows what is answered. Raises StoreError."""
        if not await self._lease.acquire():
            self._may_have_faults = True
            return
        self._ask_until = self._clock.now() + _ASK_FOR
        await self._recover()
        await self._dialer.forget_refusals()
        for call in await self._planned.answered():
            await self._follow(call)
        now = utc_now(self._clock)
        due = await self._planned.due(now, _AT_A_TIME)
        for call in due:
            if not is_open(call, now):
                await self._planned.postpone(call, not_yet(call, now))
        await self._dial_all([call for call in due if is_open(call, now)])

    async def beat(self) -> None:
        """Notes a sign of life of the numbers that are dialed here. Raises StoreError."""
        if calls := {*self._dialing.values()}:
            await self._planned.beat(self._holder, calls, utc_now(self._clock))

    async def wait_for_dialing(self) -> None:
        """Returns when every attempt that has begun here is answered or has failed."""
        while self._dialing:
            await asyncio.wait([*self._dialing])

    async def _dial_all(self, due: Sequence[PlannedCall]) -> None:
        if not due or not self._pause.may_try(self._clock.now()):
            return
        try:
            rules = await self._dialer.rules()
        except SetupFaultError as fault:
            await self._hold(fault)
            return
        # Where the last number met a fault, one shows whether it is mended.
        for call in due[:1] if self._pause.reason else due:
            if not (self._pause.reason and self._dialing):
                await self._begin(call, rules)

    async def _begin(self, call: PlannedCall, rules: DialRules) -> None:
        now = utc_now(self._clock)
        if call.attempt and await self._goes_on(call):
            return
        room = outgoing_room(uuid4().hex)
        claimed = await self._planned.claim(call, self._holder, room, now, rules.rates)
        if claimed is not None:
            task = asyncio.create_task(self._dial(claimed, rules, call.room), name="dialing")
            self._dialing[task] = claimed.id
            task.add_done_callback(self._dialing.pop)

    async def _goes_on(self, call: PlannedCall) -> bool:
        """Lets a call wait while a telephone is, or may be, in the room of its last attempt."""
        if self._clock.now() >= self._ask_until:
            return True
        try:
            if not await self._dialer.sip_status(call.room):
                return False
        except LiveKitError as error:
            await self._hold(SetupFaultError("failed", str(error)))
            return True
        now = utc_now(self._clock)
        reason = "the telephone of its last attempt is still in the call"
        await self._planned.postpone(call, put_off(call, now, _ASK_AGAIN, "unknown", reason))
        return True

    async def _dial(self, call: PlannedCall, rules: DialRules, last_room: str) -> None:
        try:
            try:
                if await self._dialer.dial(call, rules, last_room):
                    await self._go_on()
            except SetupFaultError as fault:
                pause = await self._hold(fault)
                now = utc_now(self._clock)
                after = put_off(call, now, pause, fault.outcome, str(fault))
                await self._planned.settle(call, after)
        except StoreError as error:
            _logger.warning("planned call %s is left to the next process: %s", call.id, error)
        except Exception:
            _logger.exception("a bug in dialing planned call %s", call.id)
            await self._count(call)

    async def _count(self, call: PlannedCall) -> None:
        """Counts an attempt that a bug has ended before the number was dialed.

        Taken over as one of a dead process it would not count, and be begun again and again.
        """
        try:
            stored = await self._planned.get(SYSTEM, call.id)
            if stored.status != "preparing":
                return
            now, reason = utc_now(self._clock), "a bug: see the log of the HTTP process"
            after = after_outcome(call, "failed", now, reason=reason, may_retry=True)
            if await self._planned.settle(call, after):
                await self._dialer.hang_up(call, "failed")
        except (StoreError, LiveKitError) as error:
            _logger.warning("planned call %s is left to the next process: %s", call.id, error)

    async def _hold(self, fault: SetupFaultError) -> timedelta:
        """Lets all calls wait for a fault of the set-up; returns for how long this one does."""
        reason, is_new = str(fault), str(fault) != self._pause.reason
        pause = self._pause.failed(reason, self._clock.now())
        self._may_have_faults = True
        if is_new:
            _logger.error("planned calls wait: %s", reason)
        await self._planned.explain(utc_now(self._clock), fault.outcome, reason)
        # It may be this call's assistant that has no agent: others go first then.
        is_its_own = fault.outcome == "no_agent"
        return max(timedelta(seconds=pause), _ASK_AGAIN if is_its_own else timedelta(0))

    async def _go_on(self) -> None:
        if self._pause.reason:
            self._pause.worked()
            _logger.info("planned calls are dialed again")
        if self._may_have_faults:
            self._may_have_faults = False
            await self._planned.forget_faults(utc_now(self._clock))

    # ── Calls that go on ─────────────────────────────────────────────────────────────────────────

    async def _follow(self, planned: PlannedCall) -> None:
        """Settles an answered call once it has ended, by what its agent has found out."""
        call = await self._stored(planned.room)
        if call.state != "ended" if call is not None else await self._has_line(planned.room):
            return
        outcome: PlanOutcome = "answered"
        if call is not None and (found := answered_by(call)) in _KNOWN:
            outcome = found
        after = after_outcome(
            planned,
            outcome,
            utc_now(self._clock),
            reason=call.reason if call else "",
            may_retry=outcome == "machine" and call is not None and call.reason != "fax",
        )
        await self._planned.settle(planned, after)

    async def _has_line(self, room: str) -> bool:
        """Returns whether a telephone is in a room, as far as can be known."""
        if self._clock.now() >= self._ask_until:
            return True
        try:
            return bool(await self._dialer.sip_status(room))
        except LiveKitError:
            return True

    async def _stored(self, room: str) -> Call | None:
        found, _ = await self._calls.find(CallFilters(room=room), limit=1)
        return found[0] if found else None

    # ── Attempts of processes that have died ─────────────────────────────────────────────────────

    async def _recover(self) -> None:
        abandoned = await self._planned.abandoned(utc_now(self._clock) - _DEAD_AFTER)
        for call in abandoned:
            if self._clock.now() >= self._ask_until:
                return
            # From now on its process, should it only have been slow, can change nothing.
            own = await self._planned.adopt(call, self._holder, utc_now(self._clock))
            if own is None:
                continue
            try:
                await self._take_over(own)
            except LiveKitError as error:
                _logger.warning("planned call %s waits for LiveKit: %s", call.id, error)

    async def _take_over(self, call: PlannedCall) -> None:
        """Ends an attempt that was abandoned, or leaves it for later while its number rings."""
        now = utc_now(self._clock)
        if call.status == "preparing":
            await self._planned.settle(call, taken_back(call, now))
            await self._dialer.hang_up(call, "failed")
            return
        status = await self._dialer.sip_status(call.room)
        if status == "active":
            await self._planned.note(call, "answered", now)
        elif not status:
            reason = (
                "the process that dialed it has died, or LiveKit's answer was lost; it may have"
                " been answered"
            )
            await self._planned.settle(call, after_outcome(call, "unknown", now, reason=reason))
            await self._dialer.hang_up(call, "failed")


@asynccontextmanager
async def running(schedule: Schedule) -> AsyncIterator[None]:
    """Dials planned calls until the end of the block."""
    schedule.start()
    try:
        yield
    finally:
        await schedule.aclose()
