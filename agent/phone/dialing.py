"""Dials one number: an agent first, then the telephone, so that no person picks up to silence.

It runs in the HTTP process. What was dialed, and what came of it, is noted in the store before and
after each step, so that another process knows where one has stopped. Where LiveKit does not say
what came of it, the room does: a number is given up only once no telephone is there any more.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NoReturn, Protocol

import aiohttp
from google.protobuf.duration_pb2 import Duration
from livekit import api
from livekit.protocol.models import ParticipantInfo

from agent.dispatch import Dispatch, Outgoing
from agent.dispatches import is_agent
from agent.livekit_server import LiveKitError, LiveKitServer
from agent.phone.caller import HAS_RUNG, STATUS
from agent.phone.do_not_call import DoNotCall, NumberUncertainError, UncertainError
from agent.phone.faults import SetupFaultError
from agent.phone.objects import mark_of
from llm_router.clock import Clock, utc_now
from llm_router.errors import StoreError
from llm_router.store.planned_calls import CallRates, PlannedCalls
from llm_router.voice.calls import CallPort
from llm_router.voice.phone.outcomes import ANSWERED, NO_TRUNK, UNKNOWN, Result, result_of
from llm_router.voice.phone.plan import (
    PlannedCall,
    PlanOutcome,
    after_outcome,
    is_open,
    put_off,
    taken_back,
)
from llm_router.voice.phone.setup import LONGEST_RING, Outbound

_logger = logging.getLogger("agent.api")

CALLEE = "callee"
"""Identity of the person who is called, in the room. It says nothing of their number."""
_READY = frozenset({"listening", "idle", "thinking", "speaking"})
"""States of an agent whose session has begun."""
_READY_WITHIN = 20.0
_POLL = 0.25
_ASK_AGAIN = timedelta(minutes=1)
"""Time for which a call waits for a fault that is its own."""
_SETTLES = 10.0
"""Seconds in which a telephone may still come into its room after LiveKit's answer was lost."""
_JOIN_WITHIN = 120
"""Seconds for which a room may be empty before the number is dialed."""
_NO_AGENT = "no agent was ready, so the number was not dialed: start a worker, or read its log"


class Expecting(Protocol):
    def expect(self, room: str, dispatch: Dispatch) -> None:
        """Makes sure that the agent that was just called to a room comes, or else another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DialDeps:
    """The parts that a dialer works with."""

    livekit: LiveKitServer
    agent_name: str
    agents: Expecting
    calls: CallPort
    planned: PlannedCalls
    clock: Clock
    fault_of_assistant: Callable[[str], Awaitable[str]]
    """Returns why no assistant of a name can speak; empty: one can. Raises StoreError."""


@dataclass(frozen=True, slots=True)
class WayOut:
    """A trunk for calls out, by its name, and the number that its calls show."""

    trunk: str
    caller_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DialRules:
    """How, and which, numbers are dialed. `ways`: one at least, in the order of their use."""

    outbound: Outbound
    ways: Sequence[WayOut]
    do_not_call: DoNotCall

    @property
    def rates(self) -> CallRates:
        out = self.outbound
        return CallRates(at_once=out.calls_at_once, per_second=out.calls_per_second)

    def request(
        self, call: PlannedCall, way: WayOut, trunk_id: str
    ) -> api.CreateSIPParticipantRequest:
        out = self.outbound
        return api.CreateSIPParticipantRequest(
            sip_trunk_id=trunk_id,
            sip_call_to=call.number,
            sip_number=way.caller_id,
            room_name=call.room,
            participant_identity=CALLEE,
            participant_name=CALLEE,
            hide_phone_number=True,
            wait_until_answered=True,
            ringing_timeout=Duration(seconds=round(out.ring_for)),
            # LiveKit counts the ringing as well.
            max_call_duration=Duration(seconds=round(out.max_minutes * 60 + out.ring_for)),
        )


@dataclass(frozen=True, slots=True)
class _Refusals:
    """How many trunks have refused a call that is dialed by the next one.

    `result`: the first refusal that was no fault of a trunk's set-up; None: there was none.
    """

    trunks: int = 0
    result: Result | None = None

    def and_then(self, result: Result) -> "_Refusals":
        first = self.result or (None if result.is_setup else result)
        return _Refusals(self.trunks + 1, first)


class Dialer:
    """Carries out attempts that this process has claimed, one after the other or side by side."""

    def __init__(self, deps: DialDeps, read_rules: Callable[[], DialRules]) -> None:
        """`read_rules` may read files. It raises SetupFaultError."""
        self._deps = deps
        self._read_rules = read_rules
        self._refusals: dict[tuple[str, str], _Refusals] = {}
        """By the id of a call that waits for its next trunk, and the room of its last try."""

    async def rules(self) -> DialRules:
        """Returns the rules as they are now. Raises SetupFaultError."""
        return await asyncio.to_thread(self._read_rules)

    async def forget_refusals(self) -> None:
        """Forgets what trunks said of calls that are over, or are dialed by another process.

        Raises StoreError.
        """
        if known := {*self._refusals}:
            waiting = await self._deps.planned.last_tries([call for call, _ in known])
            for key in known - waiting:  # others may have come meanwhile
                self._refusals.pop(key, None)

    async def dial(self, call: PlannedCall, rules: DialRules, last_room: str = "") -> bool:
        """Carries out an attempt, until it is answered or has failed; returns whether it dialed.

        Where a carrier refuses and no telephone has rung, the call waits for its next trunk, in the
        same attempt. `last_room`: the call's room before this one. Raises StoreError, and
        SetupFaultError for an attempt that rang no telephone.
        """
        refusals = self._refusals.pop((call.id, last_room), _Refusals())
        way, *others = rules.ways[refusals.trunks :] or rules.ways[:1]
        try:
            if not await self._may_be_called(call, rules):
                return False
            mark = mark_of(self._deps.agent_name)
            trunk_id = await self._deps.livekit.find_trunk(way.trunk, mark)
            if not trunk_id:
                reason = f"LiveKit has no trunk {way.trunk!r}: run `llm-router phone apply`"
                if not others and not refusals.result:
                    raise SetupFaultError("failed", reason)
                missing = replace(NO_TRUNK, meaning=reason)
                return await self._note_result(call, missing, others, refusals)
            await self._prepare(call, rules)
            if not await self._may_dial_now(call, rules):
                return False
            if not await self._is_ready(call.room):  # it may have left while the number waited
                await self._give_up(call, "no_agent", _NO_AGENT)
        except (UncertainError, LiveKitError) as error:
            raise SetupFaultError("failed", str(error)) from None
        result, has_rung = await self._ring(call, rules.request(call, way, trunk_id))
        if result and result.is_setup and has_rung:
            result = UNKNOWN  # it may have been answered, at an address that does not exist
        others = [] if has_rung else others
        return not result or await self._note_result(call, result, others, refusals)

    async def _may_be_called(self, call: PlannedCall, rules: DialRules) -> bool:
        """Returns whether to go on; else the call has ended, or waits and holds no other.

        Raises UncertainError and StoreError.
        """
        try:
            if await _is_forbidden(call.number, rules):
                await self._settle(call, "blocked", "the number is not to be called")
                return False
        except NumberUncertainError as error:
            await self._wait(call, "blocked", str(error))
            return False
        if fault := await self._deps.fault_of_assistant(call.assistant):
            await self._wait(call, "failed", fault)  # another one must not speak in its place
            return False
        return True

    async def _wait(self, call: PlannedCall, outcome: PlanOutcome, reason: str) -> None:
        after = put_off(call, self._now(), _ASK_AGAIN, outcome, reason)
        await self._deps.planned.settle(call, after)
        _logger.warning("planned call %s waits: %s", call.id, reason)

    async def _reroute(self, call: PlannedCall, refusals: _Refusals, result: Result) -> None:
        """Lets a call that has rung no telephone wait for its next trunk, in a room of its own."""
        outcome: PlanOutcome = result.outcome.value
        await self._close(call, outcome)
        self._refusals[call.id, call.room] = refusals
        after = put_off(call, self._now(), timedelta(), outcome, result.meaning)
        # It goes before the calls that have not begun.
        await self._deps.planned.settle(call, replace(after, next_at=call.earliest))
        level = logging.ERROR if result.is_setup else logging.WARNING
        _logger.log(level, "planned call %s goes to the next trunk: %s", call.id, result.meaning)

    async def _prepare(self, call: PlannedCall, rules: DialRules) -> None:
        """Has an agent ready in the room."""
        livekit = self._deps.livekit
        dispatch = Dispatch(
            assistant=call.assistant,
            outgoing=Outgoing(
                variables=dict(call.variables),
                voicemail=call.voicemail,
                detect_machine=call.detect_machine,
                max_seconds=rules.outbound.max_minutes * 60,
            ),
        )
        await livekit.open_room(
            call.room, self._deps.agent_name, join_within=_JOIN_WITHIN, dispatch=dispatch
        )
        self._deps.agents.expect(call.room, dispatch)
        if not await self._until(lambda: self._is_ready(call.room), _READY_WITHIN):
            await self._give_up(call, "no_agent", _NO_AGENT)

    async def _note_result(
        self, call: PlannedCall, result: Result, others: Sequence[WayOut], refusals: _Refusals
    ) -> bool:
        """Notes what came of a call, or sends it to one of the others; returns False then."""
        if result.may_reroute and others:
            await self._reroute(call, refusals.and_then(result), result)
            return False
        if result.may_reroute and result.is_setup and refusals.result:
            # Only the last trunk is at fault: another one carries calls.
            _logger.error(
                "planned call %s: its last trunk is at fault: %s", call.id, result.meaning
            )
            result = refusals.result
        outcome: PlanOutcome = result.outcome.value
        if result is ANSWERED:
            await self._deps.planned.note(call, "answered", self._now())
        elif result.is_setup:
            await self._give_up(call, outcome, result.meaning)
        else:
            await self._close(call, outcome)
            await self._settle(call, outcome, result.meaning, may_retry=result.may_retry)
        return True

    async def _may_dial_now(self, call: PlannedCall, rules: DialRules) -> bool:
        """Waits for the number's turn; returns False if its attempt has ended meanwhile."""
        while is_open(call, self._now()):
            turn = await self._deps.planned.begin_dialing(call, self._now(), rules.rates)
            if turn == "dial":
                return True
            if turn == "lost":
                await self._deps.livekit.close_room(call.room)
                return False
            await self._deps.clock.sleep((turn - self._now()).total_seconds())
        await self._deps.livekit.close_room(call.room)
        await self._deps.planned.settle(call, taken_back(call, self._now()))
        return False

    async def _ring(
        self, call: PlannedCall, request: api.CreateSIPParticipantRequest
    ) -> tuple[Result | None, bool]:
        """Dials, and returns what became of it, None: that is not known yet; and whether a
        telephone has rung, as far as can be known.
        """
        has_rung = asyncio.Event()
        ringing = asyncio.create_task(self._note_ringing(call, has_rung), name="ringing")
        try:
            return await self._dialed(call, request), has_rung.is_set()
        finally:
            ringing.cancel()
            await asyncio.wait({ringing})

    async def _dialed(
        self, call: PlannedCall, request: api.CreateSIPParticipantRequest
    ) -> Result | None:
        try:
            await self._deps.livekit.dial(request)
        except api.SipCallError as error:
            return result_of(error.sip_status_code, error.code, error.message)
        except api.ServerError as error:
            result = result_of(None, error.code, error.message)
            return await self._seen(call, result, 0.0 if result is not UNKNOWN else _SETTLES)
        except (aiohttp.ClientError, TimeoutError):
            return await self._seen(call, UNKNOWN, _SETTLES)
        return ANSWERED

    async def _seen(self, call: PlannedCall, otherwise: Result, settles: float) -> Result | None:
        """Returns what the room shows of a call of which no telephone network has spoken.

        That is `otherwise` once no telephone was there for so many seconds; None: LiveKit is away,
        or it rings for longer than any telephone may.
        """
        clock = self._deps.clock
        gone_at = clock.now() + settles
        until = gone_at + LONGEST_RING
        try:
            while (status := await self.sip_status(call.room)) != "active":
                if not status and clock.now() >= gone_at:
                    return otherwise
                if clock.now() >= until:
                    return None
                await clock.sleep(_POLL)
        except LiveKitError:
            return None
        return ANSWERED

    async def _note_ringing(self, call: PlannedCall, has_rung: asyncio.Event) -> None:
        async def rings() -> bool:
            try:
                return await self.sip_status(call.room) in HAS_RUNG
            except LiveKitError:
                has_rung.set()  # perhaps, unseen
                return False

        try:
            if await self._until(rings, LONGEST_RING):
                has_rung.set()
                await self._deps.planned.note(call, "ringing", self._now())
        except StoreError:
            _logger.debug("it is not noted that a number rings", exc_info=True)

    async def sip_status(self, room: str) -> str:
        """Returns the state of the person's line: dialing, ringing, active; empty: there is none.

        Raises LiveKitError.
        """
        people = await self._deps.livekit.people(room)
        lines = [one for one in people if one.kind == ParticipantInfo.Kind.SIP]
        return lines[0].attributes.get(STATUS, "dialing") if lines else ""

    async def hang_up(self, call: PlannedCall, reason: str) -> None:
        """Ends what an attempt has opened, with the reason. Raises StoreError and LiveKitError."""
        stored = await self._deps.calls.going_on(call.room)
        if stored is not None:
            await self._deps.calls.end(stored.id, reason, self._now())
        await self._deps.livekit.close_room(call.room)

    async def _is_ready(self, room: str) -> bool:
        # Its call is stored by then, so that a quick refusal finds what it has to end.
        if await self._deps.calls.going_on(room) is None:
            return False
        name = self._deps.agent_name
        return any(
            is_agent(one, name) and one.attributes.get("lk.agent.state") in _READY
            for one in await self._deps.livekit.people(room)
        )

    async def _until(self, holds: Callable[[], Awaitable[bool]], within: float) -> bool:
        clock = self._deps.clock
        until = clock.now() + within
        while not await holds():
            if clock.now() >= until:
                return False
            await clock.sleep(_POLL)
        return True

    async def _give_up(self, call: PlannedCall, outcome: PlanOutcome, reason: str) -> NoReturn:
        """Ends what an attempt has opened that a fault of the set-up has stopped."""
        await self._close(call, outcome)
        raise SetupFaultError(outcome, reason)

    async def _close(self, call: PlannedCall, outcome: PlanOutcome) -> None:
        try:
            await self.hang_up(call, outcome.replace("_", " "))
        except LiveKitError as error:
            _logger.warning("room %s could not be closed: %s", call.room, error)

    async def _settle(
        self, call: PlannedCall, outcome: PlanOutcome, reason: str, *, may_retry: bool = False
    ) -> None:
        after = after_outcome(call, outcome, self._now(), reason=reason, may_retry=may_retry)
        await self._deps.planned.settle(call, after)
        _logger.info("planned call %s, attempt %d: %s", call.id, call.attempt, outcome)

    def _now(self) -> datetime:
        return utc_now(self._deps.clock)


async def _is_forbidden(number: str, rules: DialRules) -> bool:
    allowed = number.startswith(rules.outbound.allowed_prefixes or ("",))
    return not allowed or await rules.do_not_call.forbids(number)
