"""Tests how planned calls are dialed, on each database, with a LiveKit that is scripted."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from livekit import api
from livekit.protocol.models import ParticipantInfo

from agent.dispatch import Dispatch
from agent.livekit_server import LiveKitUnavailableError
from agent.phone.dialing import DialDeps, Dialer, DialRules, WayOut
from agent.phone.do_not_call import DoNotCall, UncertainError
from agent.phone.faults import SetupFaultError
from agent.phone.schedule import Schedule
from llm_router.clock import checkpoint
from llm_router.connections.access import SYSTEM
from llm_router.net.guard import AddressGuard
from llm_router.store.calls import CallStore
from llm_router.store.database import Database
from llm_router.store.leases import Lease
from llm_router.store.planned_calls import CallRates, PlannedCalls
from llm_router.testing import ManualClock
from llm_router.voice.calls import CallAgent, CallFacts, CallFilters
from llm_router.voice.phone.plan import CallPlan, PlannedCall
from llm_router.voice.phone.setup import Outbound

NUMBER = "+15550123456"
AGENT = CallAgent(identity="agent", worker="w", job="j")
OPEN = AddressGuard(allow_private=True)


class QuickClock(ManualClock):
    """Passes the time of a sleep at once, on the event loop of the database."""

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        await checkpoint()


@dataclass
class LiveKit:
    """LiveKit as the dialer uses it. `answer` is what it answers to a dialed number."""

    answer: Callable[[], None] = lambda: None
    trunk: str = "ST_1"
    trunks: Mapping[str, str] = field(default_factory=dict)
    """Ids of trunks that have another one."""
    answers: dict[str, Callable[[], None]] = field(default_factory=dict)
    """Its answers by single trunks, in place of `answer`."""
    ways: list[tuple[str, str]] = field(default_factory=list)
    """The trunk and the caller id of each number that was dialed."""
    agent_state: str = "listening"
    states: list[str] = field(default_factory=list)
    """States of the agent before that one, one at each question."""
    line: str = ""
    lines: list[str] = field(default_factory=list)
    """States of the telephone before that one, one at each question; the last one stays."""
    broken_assistants: frozenset[str] = frozenset()
    dialed: list[str] = field(default_factory=list)
    dispatches: list[Dispatch] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    ready_at_dial: list[bool] = field(default_factory=list)
    is_away: bool = False
    takes: float = 0.0
    """Seconds until it answers."""
    wait: Callable[[float], object] = lambda _: None
    claim: Callable[[str], Awaitable[object]] = field(default=lambda _: checkpoint())
    """The agent's claim of its call."""

    async def find_trunk(self, name: str, mark: str) -> str:
        if self.is_away:
            raise LiveKitUnavailableError("LiveKit is away")
        return self.trunks.get(name, self.trunk)

    async def open_room(self, room: str, agent_name: str, **more: Any) -> None:
        self.dispatches.append(more["dispatch"])
        await self.claim(room)

    async def people(self, room: str) -> list[ParticipantInfo]:
        self.wait(self.takes)
        if self.is_away:
            raise LiveKitUnavailableError("LiveKit is away")
        state = self.states.pop(0) if self.states else self.agent_state
        if self.dispatches and self.dispatches[-1].assistant in self.broken_assistants:
            state = "initializing"
        if self.lines:
            self.line = self.lines.pop(0)
        attributes = {"lk.agent.name": "desk", "lk.agent.state": state}
        people = [ParticipantInfo(identity="a", attributes=attributes)]
        if self.line:
            kind = ParticipantInfo.Kind.SIP
            people.append(ParticipantInfo(kind=kind, attributes={"sip.callStatus": self.line}))
        return people

    async def dial(self, request: api.CreateSIPParticipantRequest) -> None:
        assert request.wait_until_answered
        assert NUMBER not in (request.participant_identity, request.participant_name)
        self.dialed.append(request.sip_call_to)
        self.ways.append((request.sip_trunk_id, request.sip_number))
        self.ready_at_dial.append(self.agent_state == "listening")
        await checkpoint()
        self.answers.get(request.sip_trunk_id, self.answer)()

    async def close_room(self, room: str) -> None:
        self.closed.append(room)

    def expect(self, room: str, dispatch: Dispatch) -> None:
        assert dispatch == self.dispatches[-1]


@dataclass
class Stage:
    """A process that dials, over a database."""

    database: Database
    clock: QuickClock
    livekit: LiveKit
    forbidden: DoNotCall = field(default_factory=lambda: DoNotCall(None, "", OPEN))
    outbound: Mapping[str, Any] = field(default_factory=dict)
    ways: Sequence[WayOut] = (WayOut("main", "+15550100"),)
    plans: int = 0
    fault: str = ""
    """The fault of the telephone's file; empty: there is none."""
    removed_assistants: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.planned = PlannedCalls(self.database, self.clock)
        self.calls = CallStore(self.database)
        self.schedule = self.process()
        self.livekit.wait = self.clock.advance
        self.livekit.claim = lambda room: self.calls.claim(
            room, 1, AGENT, self.now, CallFacts(keep="facts")
        )

    @property
    def rules(self) -> DialRules:
        out: dict[str, Any] = {"trunk": "main", "caller_id": "+15550100", "calls_per_second": 50.0}
        return DialRules(
            outbound=Outbound(**out | {"calls_at_once": 5} | dict(self.outbound)),
            ways=self.ways,
            do_not_call=self.forbidden,
        )

    def read_rules(self) -> DialRules:
        if self.fault:
            raise SetupFaultError("failed", self.fault)
        return self.rules

    def process(self) -> Schedule:
        deps = DialDeps(
            livekit=self.livekit,  # type: ignore[arg-type]  # the parts that it uses
            agent_name="desk",
            agents=self.livekit,
            calls=self.calls,
            planned=self.planned,
            clock=self.clock,
            fault_of_assistant=self.fault_of_assistant,
        )
        lease = Lease(self.database, "planned calls", self.clock, 15.0)
        dialer = Dialer(deps, self.read_rules)
        return Schedule(self.planned, self.calls, dialer, lease, self.clock)

    async def fault_of_assistant(self, name: str) -> str:
        return f"there is no assistant {name!r}" if name in self.removed_assistants else ""

    async def plan(self, **fields: Any) -> PlannedCall:
        """Plans a call: the first one to NUMBER, each other one to the number after."""
        number = f"+{int(NUMBER) + self.plans}"
        self.plans += 1
        (call,) = await self.planned.plan(SYSTEM, [CallPlan(**{"number": number, **fields})])
        return call

    async def step(self) -> None:
        await self.schedule.step()
        await self.schedule.wait_for_dialing()

    async def state(self, call: PlannedCall) -> PlannedCall:
        return await self.planned.get(SYSTEM, call.id)

    async def called(self, **fields: Any) -> PlannedCall:
        """Plans a call and dials it; returns it as it is then."""
        call = await self.plan(**fields)
        await self.step()
        return await self.state(call)

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.wall(), UTC)

    async def ended(self, room: str, reason: str, **metadata: Any) -> None:
        """Stores the call of a room as its agent does, from begin to end."""
        facts = CallFacts(keep="facts", kind="phone", metadata=metadata)
        call = await self.calls.claim(room, 1, AGENT, self.now, facts)
        assert call
        await self.calls.end(call.id, reason, self.now)


@pytest.fixture
def stage(database: Database) -> Stage:
    return Stage(database, QuickClock(), LiveKit())


def busy() -> None:
    details = {"sip_status_code": "486", "sip_status": "Busy Here"}
    raise api.SipCallError("resource_exhausted", "busy", status=429, metadata=details)


def refuses(status: int) -> Callable[[], None]:
    def answer() -> None:
        details = {"sip_status_code": str(status), "sip_status": "no"}
        raise api.SipCallError("permission_denied", "refused", status=403, metadata=details)

    return answer


def rings_out() -> None:
    raise api.ServerError("canceled", "sip request timed out", status=408)


def breaks_off() -> None:
    raise aiohttp.ClientError


async def test_an_agent_is_ready_before_the_number_is_dialed(stage: Stage) -> None:
    call = await stage.called(assistant="desk", variables={"name": "Ann"}, voicemail="Bye.")
    assert (stage.livekit.dialed, stage.livekit.ready_at_dial) == ([NUMBER], [True])
    (dispatch,) = stage.livekit.dispatches
    assert dispatch.assistant == "desk"
    assert dispatch.outgoing
    assert (dispatch.outgoing.variables, dispatch.outgoing.voicemail) == ({"name": "Ann"}, "Bye.")
    assert dispatch.outgoing.max_seconds == stage.rules.outbound.max_minutes * 60
    assert (call.status, call.attempt) == ("answered", 1)
    assert NUMBER[1:] not in call.room


@pytest.mark.parametrize(
    ("metadata", "outcome"),
    [
        ({"answered_by": "person"}, "person"),
        ({"answered_by": "machine", "handed_to": "supervisor"}, "person"),
        ({"answered_by": "x"}, "answered"),
        ({}, "answered"),
    ],
)
async def test_an_answered_call_is_done_when_it_has_ended(
    stage: Stage, metadata: dict[str, str], outcome: str
) -> None:
    call = await stage.called()
    await stage.calls.claim(call.room, 1, AGENT, stage.now)
    await stage.step()
    assert (await stage.state(call)).status == "answered"
    await stage.ended(call.room, "caller left", **metadata)
    await stage.step()
    done = await stage.state(call)
    assert (done.status, done.outcome, done.reason) == ("done", outcome, "caller left")


def fails(*_: object) -> Any:
    raise RuntimeError


async def test_a_bug_before_the_number_is_dialed_counts_as_an_attempt(stage: Stage) -> None:
    stage.livekit.claim = fails
    call = await stage.called(retry_after_minutes=[30])
    assert (call.status, call.outcome, call.attempt) == ("waiting", "failed", 1)
    assert stage.livekit.closed == [call.room]
    stage.clock.advance(1_801.0)
    await stage.step()
    call = await stage.state(call)
    assert (call.status, call.outcome, call.attempt) == ("done", "failed", 2)
    assert (len(stage.livekit.dispatches), stage.livekit.dialed) == (2, [])


async def test_a_bug_after_the_number_was_dialed_leaves_open_whether_it_was_answered(
    stage: Stage,
) -> None:
    stage.livekit.answer = fails
    assert (await stage.called(retry_after_minutes=[30])).status == "dialing"
    assert stage.livekit.closed == []


async def test_a_machine_on_which_nothing_was_left_is_called_again(stage: Stage) -> None:
    call = await stage.called(retry_after_minutes=[30])
    await stage.ended(call.room, "machine", answered_by="machine")
    await stage.step()
    again = await stage.state(call)
    assert (again.status, again.outcome, again.attempt) == ("waiting", "machine", 1)


@pytest.mark.parametrize(("answer", "outcome"), [(busy, "busy"), (rings_out, "no_answer")])
async def test_a_failed_call_ends_its_room_and_is_dialed_again_after_its_pause(
    stage: Stage, answer: Callable[[], None], outcome: str
) -> None:
    stage.livekit.answer = answer
    call = await stage.called(retry_after_minutes=[10])
    assert (call.status, call.outcome) == ("waiting", outcome)
    assert stage.livekit.closed == [call.room]
    stage.clock.advance(599.0)
    await stage.step()
    assert len(stage.livekit.dialed) == 1
    stage.clock.advance(2.0)
    await stage.step()
    done = await stage.state(call)
    assert (done.status, done.outcome, done.attempt) == ("done", outcome, 2)
    assert done.room != call.room


async def test_the_stored_call_of_a_failed_attempt_has_the_reason(stage: Stage) -> None:
    call = await stage.plan()
    stage.livekit.answer = busy
    await stage.step()
    await stage.state(call)
    (stored,), _ = await stage.calls.find(CallFilters())
    assert (stored.state, stored.reason) == ("ended", "busy")


async def test_no_more_calls_are_under_way_than_may_be(stage: Stage) -> None:
    stage.outbound = {"calls_at_once": 2}
    calls = [await stage.plan() for _ in range(4)]
    stage.livekit.line = "active"
    await stage.step()
    assert len(stage.livekit.dialed) == 2
    first = next(call for call in [await stage.state(c) for c in calls] if call.room)
    await stage.ended(first.room, "caller left", answered_by="person")
    await stage.step()
    assert len(stage.livekit.dialed) == 3


async def test_a_call_whose_assistant_was_removed_waits_for_it_and_holds_no_other(
    stage: Stage,
) -> None:
    stage.removed_assistants.add("desk")
    orphan, other = await stage.plan(assistant="desk"), await stage.plan()
    await stage.step()
    waits = await stage.state(orphan)
    assert (waits.status, waits.outcome, waits.attempt) == ("waiting", "failed", 0)
    assert "no assistant 'desk'" in waits.reason
    assert (await stage.state(other)).status == "answered"
    assert [dispatch.assistant for dispatch in stage.livekit.dispatches] == [""]
    stage.removed_assistants.clear()
    stage.clock.advance(61.0)
    await stage.step()
    assert (await stage.state(orphan)).status == "answered"


# ── Faults of the set-up ─────────────────────────────────────────────────────────────────────────


def has_no_agent(stage: Stage) -> None:
    stage.livekit.agent_state = "initializing"


def loses_its_agent(stage: Stage) -> None:
    stage.livekit.states = ["listening"]
    stage.livekit.agent_state = "initializing"


def is_without_livekit(stage: Stage) -> None:
    stage.livekit.is_away = True


def has_no_trunk(stage: Stage) -> None:
    stage.livekit.trunk = ""


def has_no_outbound(stage: Stage) -> None:
    stage.fault = "add [outbound]"


def refused(code: str, message: str, **metadata: str) -> Callable[[], None]:
    def refuse() -> None:
        raise (
            api.SipCallError.from_server_error(
                api.ServerError(code, message, status=503, metadata=metadata)
            )
            if metadata
            else api.ServerError(code, message, status=503)
        )

    return refuse


def has_no_sip_service(stage: Stage) -> None:
    stage.livekit.answer = refused("unavailable", "no response from servers")


def has_a_wrong_password(stage: Stage) -> None:
    stage.livekit.answer = refused(
        "permission_denied", "x", sip_status_code="401", sip_status="Unauthorized"
    )


def mend(stage: Stage) -> None:
    stage.livekit.agent_state = "listening"
    stage.livekit.is_away = False
    stage.livekit.trunk = "ST_1"
    stage.livekit.answer = lambda: None
    stage.fault = ""


FAULTS = [
    (has_no_agent, "no_agent", "start a worker"),
    (loses_its_agent, "no_agent", "start a worker"),
    (is_without_livekit, "failed", "LiveKit is away"),
    (has_no_trunk, "failed", "llm-router phone apply"),
    (has_no_outbound, "failed", "[outbound]"),
    (has_no_sip_service, "failed", "start livekit-sip"),
    (has_a_wrong_password, "failed", "correct them in [[trunks]]"),
]
faults = pytest.mark.parametrize(("breaks", "outcome", "reason"), FAULTS)
Breaks = Callable[[Stage], None]


async def pass_minutes(stage: Stage, minutes: int) -> None:
    for _ in range(minutes):
        await stage.step()
        stage.clock.advance(60.0)


@faults
async def test_a_call_waits_with_the_reason_until_the_set_up_is_mended(
    stage: Stage, breaks: Breaks, outcome: str, reason: str
) -> None:
    breaks(stage)
    call = await stage.called()
    assert (call.status, call.outcome, call.attempt) == ("waiting", outcome, 0)
    assert reason in call.reason
    assert {*stage.livekit.closed} == ({call.room} if stage.livekit.dispatches else set())
    mend(stage)
    stage.livekit.dialed.clear()
    await pass_minutes(stage, 3)
    now = await stage.state(call)
    assert (now.status, now.attempt, now.reason) == ("answered", 1, "")
    assert stage.livekit.dialed == [NUMBER]


@faults
async def test_a_fault_that_is_not_mended_ends_a_call_with_its_reason_when_its_window_closes(
    stage: Stage, breaks: Breaks, outcome: str, reason: str
) -> None:
    breaks(stage)
    call = await stage.plan(latest=stage.now + timedelta(minutes=30))
    await pass_minutes(stage, 15)  # some last longer, as they wait for an agent
    assert (await stage.state(call)).status == "waiting"
    await pass_minutes(stage, 20)
    ended = await stage.state(call)
    assert (ended.status, ended.outcome, ended.attempt) == ("done", outcome, 0)
    assert reason in ended.reason


async def test_one_number_at_a_time_shows_whether_the_set_up_is_mended(stage: Stage) -> None:
    has_no_agent(stage)
    calls = [await stage.plan() for _ in range(12)]
    await stage.step()
    begun = len(stage.livekit.dispatches)
    assert begun == 5  # as many as may be at once
    reasons = {(await stage.state(call)).reason for call in calls}
    assert len(reasons) == 1
    await stage.step()
    assert len(stage.livekit.dispatches) == begun
    stage.clock.advance(60.0)
    await stage.step()
    assert len(stage.livekit.dispatches) == begun + 1
    mend(stage)
    await pass_minutes(stage, 4)
    assert len(stage.livekit.dialed) == 5
    assert {(await stage.state(call)).reason for call in calls} == {""}


async def test_a_fault_leaves_the_outcome_of_an_attempt_to_a_call_that_waits_for_the_next(
    stage: Stage,
) -> None:
    stage.livekit.answer = busy
    latest = stage.now + timedelta(minutes=5)
    call = await stage.called(retry_after_minutes=[1], latest=latest)
    assert (call.status, call.outcome) == ("waiting", "busy")
    stage.fault = "add [outbound]"
    stage.clock.advance(61.0)
    await stage.step()
    waits = await stage.state(call)
    assert (waits.outcome, waits.reason, waits.attempt) == ("busy", "add [outbound]", 1)
    await pass_minutes(stage, 5)
    ended = await stage.state(call)
    assert (ended.status, ended.outcome) == ("done", "busy")


async def test_a_fault_that_another_process_has_noted_is_forgotten_as_a_call_is_dialed(
    stage: Stage,
) -> None:
    stage.outbound = {"calls_at_once": 1}
    has_no_outbound(stage)
    calls = [await stage.plan() for _ in range(3)]
    await stage.step()
    assert {(await stage.state(call)).reason for call in calls} == {"add [outbound]"}
    await stage.schedule.aclose()
    mend(stage)
    stage.schedule = stage.process()
    await stage.step()
    now = [await stage.state(call) for call in calls]
    assert sorted(call.status for call in now) == ["answered", "waiting", "waiting"]
    assert {(call.outcome, call.reason) for call in now} == {("", "")}


async def test_a_call_whose_own_agent_fails_does_not_stop_the_others(stage: Stage) -> None:
    stage.outbound = {"calls_at_once": 1}
    broken = await stage.plan(assistant="broken")
    stage.clock.advance(1.0)
    others = [await stage.plan() for _ in range(3)]
    stage.livekit.broken_assistants = frozenset({"broken"})
    for _ in range(40):
        await stage.step()
        for call in others:
            if (now := await stage.state(call)).status == "answered":
                await stage.ended(now.room, "caller left", answered_by="person")
        stage.clock.advance(10.0)
    assert [(await stage.state(call)).outcome for call in others] == ["person"] * 3
    assert (await stage.state(broken)).status == "waiting"


async def test_a_window_that_closes_while_calls_wait_ends_its_call_at_once(stage: Stage) -> None:
    stage.fault = "add [outbound]"
    await stage.planned.plan(SYSTEM, [CallPlan(number=NUMBER)] * 60)
    short = await stage.plan(latest=stage.now + timedelta(minutes=5))
    await pass_minutes(stage, 7)
    assert (await stage.state(short)).status == "done"


# ── Answers of LiveKit that are lost ─────────────────────────────────────────────────────────────


async def test_an_attempt_of_which_nothing_is_known_is_not_given_up_while_livekit_is_away(
    stage: Stage,
) -> None:
    def goes_away() -> None:
        stage.livekit.is_away = True
        breaks_off()

    stage.livekit.answer = goes_away
    call = await stage.called(retry_after_minutes=[1])
    stage.clock.advance(600.0)
    await stage.step()
    assert (await stage.state(call)).status == "dialing"
    stage.livekit.is_away, stage.livekit.line = False, "active"
    stage.clock.advance(21.0)
    await stage.step()
    assert (await stage.state(call)).status == "answered"
    assert stage.livekit.dialed == [NUMBER]


RANG_ON = ["", "ringing", "ringing", "active"]
RANG_OUT = ["ringing", "ringing", ""]


@pytest.mark.parametrize(
    ("answer", "lines", "status", "outcome"),
    [
        (breaks_off, RANG_ON, "answered", ""),
        (breaks_off, [""], "done", "unknown"),
        (refused("deadline_exceeded", "request timed out"), RANG_OUT, "done", "unknown"),
        (refused("failed_precondition", "broken pipe"), RANG_ON, "answered", ""),
        (refused("internal", "?"), RANG_OUT, "done", "unknown"),
    ],
)
async def test_where_livekit_does_not_say_what_became_of_a_dial_its_room_does(
    stage: Stage, answer: Callable[[], None], lines: list[str], status: str, outcome: str
) -> None:
    def answer_and_change() -> None:
        stage.livekit.lines = [*lines]
        answer()

    stage.livekit.answer = answer_and_change
    call = await stage.called(retry_after_minutes=[1, 1])
    assert (call.status, call.outcome) == (status, outcome)
    await pass_minutes(stage, 5)
    assert stage.livekit.dialed == [NUMBER]


async def test_a_telephone_that_answers_as_it_rings_out_is_not_dialed_again(stage: Stage) -> None:
    def answers_late() -> None:
        stage.livekit.line = "active"
        rings_out()

    stage.livekit.answer = answers_late
    call = await stage.called(retry_after_minutes=[1])
    assert call.status == "answered"


async def test_a_number_is_not_dialed_again_while_a_telephone_is_in_its_last_room(
    stage: Stage,
) -> None:
    stage.livekit.answer = busy
    call = await stage.called(retry_after_minutes=[1])
    stage.livekit.line = "active"
    await pass_minutes(stage, 5)
    waiting = await stage.state(call)
    assert (waiting.status, waiting.outcome) == ("waiting", "unknown")
    assert "still in the call" in waiting.reason
    assert len(stage.livekit.dialed) == 1
    stage.livekit.line = ""
    await pass_minutes(stage, 3)
    assert len(stage.livekit.dialed) == 2


# ── Numbers that are not called ──────────────────────────────────────────────────────────────────


async def test_a_number_in_the_file_is_never_dialed_and_the_file_may_change(
    stage: Stage, tmp_path: Path
) -> None:
    file = tmp_path / "no.txt"
    file.write_text("# Never\n+1 (555) 0123-456  Ann\n".replace("  Ann", "  # Ann"))
    stage.forbidden = DoNotCall(file, "", OPEN)
    call = await stage.called(retry_after_minutes=[1])
    assert (call.status, call.outcome, stage.livekit.dialed) == ("done", "blocked", [])
    file.write_text("")
    assert (await stage.called()).status == "answered"


@pytest.mark.parametrize(
    "line", ["0049 30 1234567", "030 1234567", "+49 (0)30 1234567", "?", "+1555012345 6789 0123"]
)
async def test_a_line_that_is_no_number_stops_all_calls_and_is_named_without_it(
    tmp_path: Path, line: str
) -> None:
    file = tmp_path / "no.txt"
    file.write_text(f"# Never\n+15550123\n{line}  # who\n")
    with pytest.raises(UncertainError, match=r"no\.txt, line 3: .* \+4930123456") as raised:
        await DoNotCall(file, "", OPEN).forbids(NUMBER)
    assert line not in str(raised.value)


async def test_a_number_outside_the_allowed_beginnings_is_never_dialed(stage: Stage) -> None:
    stage.outbound = {"allowed_prefixes": ("+49",)}
    assert (await stage.called()).outcome == "blocked"


async def test_where_it_is_not_known_whether_a_number_may_be_called_it_waits(
    stage: Stage, tmp_path: Path
) -> None:
    stage.forbidden = DoNotCall(tmp_path / "absent.txt", "", OPEN)
    call = await stage.called()
    assert (call.status, call.attempt, stage.livekit.dialed) == ("waiting", 0, [])
    assert call.next_at
    assert call.next_at > stage.now


async def _serve(answer: bytes, *refused: str, status: int = 422) -> tuple[asyncio.Server, str]:
    """Serves the answer for each number, and the status for those that are refused."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"}")
        is_refused = any(number.encode() in asked for number in refused)
        head = b"HTTP/1.1 %d OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        writer.write(head % (status if is_refused else 200, len(answer)) + answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/check"


@pytest.mark.parametrize(
    ("answer", "forbids"), [(b'{"allowed": true}', False), (b'{"allowed": false}', True)]
)
async def test_a_service_decides_about_each_number(answer: bytes, forbids: bool) -> None:
    server, url = await _serve(answer)
    async with server:
        assert await DoNotCall(None, url, OPEN).forbids(NUMBER) is forbids


@pytest.mark.parametrize("status", [400, 422])
async def test_a_number_that_the_service_does_not_judge_waits_and_holds_no_other(
    stage: Stage, status: int
) -> None:
    server, url = await _serve(b'{"allowed": true}', NUMBER, status=status)
    async with server:
        stage.forbidden = DoNotCall(None, url, OPEN)
        first, other = await stage.plan(), await stage.plan()
        await stage.step()
        waits = await stage.state(first)
        assert (waits.status, waits.outcome, waits.attempt) == ("waiting", "blocked", 0)
        assert str(status) in waits.reason
        assert (await stage.state(other)).status == "answered"
        assert (await stage.called()).status == "answered"


@pytest.mark.parametrize("status", [401, 404, 429, 503])
async def test_a_service_that_answers_no_question_holds_all_calls(
    stage: Stage, status: int
) -> None:
    server, url = await _serve(b'{"allowed": true}', NUMBER, status=status)
    async with server:
        stage.forbidden = DoNotCall(None, url, OPEN)
        await stage.called()
        assert (await stage.called()).status == "waiting"


@pytest.mark.parametrize("answer", [b"", b"[]", b"no", b'{"allowed": "true"}'])
async def test_a_service_that_makes_no_sense_forbids_every_call(answer: bytes) -> None:
    server, url = await _serve(answer)
    async with server:
        with pytest.raises(UncertainError, match="no number is dialed"):
            await DoNotCall(None, url, OPEN).forbids(NUMBER)


async def test_the_address_of_the_service_is_guarded() -> None:
    server, url = await _serve(b'{"allowed": true}')
    async with server:
        with pytest.raises(UncertainError, match="do_not_call_url"):
            await DoNotCall(None, url, AddressGuard()).forbids(NUMBER)


# ── Processes that die ───────────────────────────────────────────────────────────────────────────


async def begun(stage: Stage, *, dials: bool) -> PlannedCall:
    """Leaves an attempt behind as a process does that is killed."""
    call = await stage.plan(retry_after_minutes=[1, 1])
    rates = stage.rules.rates
    claimed = await stage.planned.claim(call, "dead", "phone-out-1", stage.now, rates)
    assert claimed
    if dials:
        assert await stage.planned.begin_dialing(claimed, stage.now, rates) == "dial"
    return claimed


async def test_an_attempt_that_did_not_dial_is_begun_again(stage: Stage) -> None:
    call = await begun(stage, dials=False)
    await stage.step()
    assert stage.livekit.dialed == []
    stage.clock.advance(21.0)
    await stage.step()
    again = await stage.state(call)
    assert (stage.livekit.dialed, again.status, again.attempt) == ([NUMBER], "answered", 1)


async def test_a_number_that_may_have_been_answered_is_not_dialed_again(stage: Stage) -> None:
    call = await begun(stage, dials=True)
    stage.clock.advance(21.0)
    await stage.step()
    left = await stage.state(call)
    assert (left.status, left.outcome, stage.livekit.dialed) == ("done", "unknown", [])
    assert stage.livekit.closed == [call.room]


async def test_a_number_that_still_rings_is_waited_for_and_then_followed(stage: Stage) -> None:
    call = await begun(stage, dials=True)
    stage.clock.advance(21.0)
    stage.livekit.line = "ringing"
    await stage.step()
    assert (await stage.state(call)).status == "dialing"
    stage.livekit.line = "active"
    await stage.calls.claim(call.room, 1, AGENT, stage.now)
    stage.clock.advance(21.0)
    await stage.step()
    assert (await stage.state(call)).status == "answered"


async def test_a_livekit_that_does_not_answer_is_asked_for_seconds_of_a_step_only(
    stage: Stage,
) -> None:
    for _ in range(3):
        call = await stage.plan()
        rates = CallRates(at_once=5, per_second=50.0)
        claimed = await stage.planned.claim(call, "dead", f"phone-{call.id}", stage.now, rates)
        assert claimed
        assert await stage.planned.begin_dialing(claimed, stage.now, rates) == "dial"
    stage.clock.advance(21.0)
    stage.livekit.takes = 4.0
    await stage.step()
    assert len(await stage.planned.abandoned(stage.now)) == 2


async def test_an_answer_of_livekit_that_is_lost_is_looked_up(stage: Stage) -> None:
    stage.livekit.answer = breaks_off
    stage.livekit.line = "active"
    assert (await stage.called()).status == "answered"
    stage.livekit.line = ""
    assert (await stage.called(retry_after_minutes=[1])).outcome == "unknown"


async def test_of_two_processes_one_dials(stage: Stage) -> None:
    other = stage.process()
    for _ in range(3):
        await stage.plan()
    await asyncio.gather(stage.schedule.step(), other.step())
    await stage.schedule.wait_for_dialing()
    await other.wait_for_dialing()
    assert len(stage.livekit.dialed) == 3


# ── Several carriers ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def carriers(stage: Stage) -> Stage:
    """Two carriers, of which the first refuses every call."""
    stage.ways = (WayOut("main", "+15550100"), WayOut("second", "+15550199"))
    stage.livekit.trunks = {"second": "ST_2"}
    stage.livekit.answers["ST_1"] = refuses(503)
    return stage


@pytest.mark.parametrize(
    "answer", [refuses(503), refuses(403), refuses(401), refuses(404), refuses(408), rings_out]
)
async def test_a_call_that_a_carrier_refuses_goes_out_by_the_next_one(
    carriers: Stage, answer: Callable[[], None]
) -> None:
    carriers.livekit.answers["ST_1"] = answer
    call = await carriers.called()
    assert (call.status, call.attempt) == ("waiting", 0)
    refused = carriers.livekit.closed[0]
    await carriers.step()
    call = await carriers.state(call)
    assert (call.status, call.attempt) == ("answered", 1)
    assert carriers.livekit.ways == [("ST_1", "+15550100"), ("ST_2", "+15550199")]
    # The agent of the first line has ended with it; the next one has a room of its own.
    assert refused != call.room
    assert len(carriers.livekit.dispatches) == 2


@pytest.mark.parametrize(("answer", "outcome"), [(busy, "busy"), (refuses(603), "declined")])
async def test_a_person_who_is_busy_or_declines_is_not_called_by_another_carrier(
    carriers: Stage, answer: Callable[[], None], outcome: str
) -> None:
    carriers.livekit.answers["ST_1"] = answer
    call = await carriers.called()
    await carriers.step()
    assert (await carriers.state(call)).outcome == outcome
    assert [trunk for trunk, _ in carriers.livekit.ways] == ["ST_1"]


def loses_the_answer() -> None:
    message = "lookup telephone.invalid: no such host"
    raise api.ServerError("invalid_argument", message, status=400)


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (refuses(503), "ringing"),
        (rings_out, "ringing"),
        (loses_the_answer, "ringing"),
        (refuses(503), "automation"),
        (refuses(503), "active"),
    ],
)
async def test_a_telephone_that_has_rung_does_not_ring_again_by_another_carrier(
    carriers: Stage, answer: Callable[[], None], line: str
) -> None:
    livekit = carriers.livekit
    rung, dial = asyncio.Event(), livekit.dial
    people = livekit.people

    async def ringing(room: str) -> list[ParticipantInfo]:
        found = await people(room)
        if livekit.line == line:
            rung.set()
        return found

    async def dial_while_ringing(request: api.CreateSIPParticipantRequest) -> None:
        livekit.line = line
        await rung.wait()
        livekit.line = ""
        await dial(request)

    livekit.people, livekit.dial = ringing, dial_while_ringing  # type: ignore[method-assign]
    livekit.answers["ST_1"] = answer
    call = await carriers.called()
    await carriers.step()
    assert (await carriers.state(call)).status == "done"
    assert [trunk for trunk, _ in livekit.ways] == ["ST_1"]


async def test_a_telephone_that_may_have_rung_unseen_does_not_ring_by_another_carrier(
    carriers: Stage,
) -> None:
    livekit = carriers.livekit
    seen, dial, people = asyncio.Event(), livekit.dial, livekit.people

    async def people_at_the_second_question(room: str) -> list[ParticipantInfo]:
        if livekit.is_away:
            livekit.is_away = False
            raise LiveKitUnavailableError("LiveKit is away")
        seen.set()
        return await people(room)

    async def dial_unseen(request: api.CreateSIPParticipantRequest) -> None:
        livekit.is_away = True
        seen.clear()
        await seen.wait()
        await dial(request)

    livekit.people, livekit.dial = people_at_the_second_question, dial_unseen  # type: ignore[method-assign]
    call = await carriers.called()
    await carriers.step()
    assert (await carriers.state(call)).status == "done"
    assert [trunk for trunk, _ in livekit.ways] == ["ST_1"]


async def test_a_call_that_every_carrier_refuses_ends_as_the_last_one_says(
    carriers: Stage,
) -> None:
    carriers.livekit.answers["ST_2"] = refuses(403)
    call = await carriers.called(retry_after_minutes=[10])
    await carriers.step()
    done = await carriers.state(call)
    assert (done.status, done.outcome, done.attempt) == ("done", "blocked", 1)


async def test_a_later_attempt_begins_with_the_first_carrier_again(carriers: Stage) -> None:
    carriers.livekit.answers["ST_2"] = busy
    await carriers.called(retry_after_minutes=[10])
    await carriers.step()
    carriers.clock.advance(601.0)
    await carriers.step()
    await carriers.step()
    assert [trunk for trunk, _ in carriers.livekit.ways] == ["ST_1", "ST_2"] * 2


async def test_a_trunk_that_livekit_does_not_have_is_passed_over(carriers: Stage) -> None:
    carriers.livekit.trunk = ""
    call = await carriers.called()
    await carriers.step()
    assert (await carriers.state(call)).status == "answered"
    assert carriers.livekit.ways == [("ST_2", "+15550199")]


async def test_a_call_whose_window_closes_before_the_next_carrier_says_why(
    carriers: Stage,
) -> None:
    call = await carriers.plan(latest=carriers.now + timedelta(seconds=1))
    await carriers.step()
    carriers.clock.advance(1.0)
    await carriers.step()
    done = await carriers.state(call)
    assert (done.status, done.outcome) == ("done", "capacity")
    assert [trunk for trunk, _ in carriers.livekit.ways] == ["ST_1"]


MISSING = 0


def answer(carriers: Stage, statuses: Sequence[int]) -> None:
    """Lets as many carriers refuse every call; of one that is MISSING, LiveKit has no trunk."""
    livekit = carriers.livekit
    names = [f"carrier {number}" for number in range(len(statuses))]
    carriers.ways = [WayOut(name, "+15550100") for name in names]
    ids = {name: f"ST_{name}" for name in names}
    found = zip(names, statuses, strict=True)
    livekit.trunks = {name: ids[name] if status != MISSING else "" for name, status in found}
    refusals = zip(ids.values(), statuses, strict=True)
    livekit.answers = {trunk: refuses(status) for trunk, status in refusals}


@pytest.mark.parametrize(
    ("statuses", "outcome"),
    [
        ([503, 401], "capacity"),
        ([503, MISSING], "capacity"),
        ([401, 503, 407], "capacity"),
        ([403, 503, MISSING], "blocked"),
    ],
)
async def test_a_last_carrier_that_is_at_fault_itself_ends_its_call_and_holds_up_no_other(
    carriers: Stage, statuses: Sequence[int], outcome: str
) -> None:
    answer(carriers, statuses)
    call = await carriers.plan()
    for _ in statuses:
        await carriers.step()
    done = await carriers.state(call)
    assert (done.status, done.outcome, done.attempt) == ("done", outcome, 1)
    carriers.livekit.answers = {}
    assert (await carriers.called()).status == "answered"


@pytest.mark.parametrize("statuses", [[401, 407], [401, MISSING], [MISSING, 401]])
async def test_calls_wait_where_every_carrier_is_at_fault(
    carriers: Stage, statuses: Sequence[int]
) -> None:
    answer(carriers, statuses)
    call = await carriers.plan()
    for _ in statuses:
        await carriers.step()
    waiting = await carriers.state(call)
    assert (waiting.status, waiting.attempt) == ("waiting", 0)
    assert "llm-router phone apply" in waiting.reason
    carriers.livekit.answers = {}
    assert (await carriers.called()).status == "waiting"


async def test_a_refused_call_reaches_the_next_carrier_before_others_begin(
    carriers: Stage,
) -> None:
    for _ in range(12):
        await carriers.plan()
    carriers.clock.advance(1.0)
    have_begun, dial = asyncio.Event(), carriers.livekit.dial

    async def dial_once_they_have(request: api.CreateSIPParticipantRequest) -> None:
        await have_begun.wait()
        await dial(request)

    carriers.livekit.dial = dial_once_they_have  # type: ignore[method-assign]
    await carriers.schedule.step()
    have_begun.set()
    await carriers.schedule.wait_for_dialing()
    await carriers.step()
    assert [trunk for trunk, _ in carriers.livekit.ways] == ["ST_1"] * 5 + ["ST_2"] * 5


async def test_what_a_carrier_said_counts_for_its_own_attempt_only(carriers: Stage) -> None:
    await carriers.called(retry_after_minutes=[10])
    carriers.clock.advance(20.0)
    other = carriers.process()
    carriers.livekit.answers["ST_1"] = busy
    await other.step()
    await other.wait_for_dialing()
    carriers.clock.advance(601.0)
    await carriers.step()
    assert [trunk for trunk, _ in carriers.livekit.ways] == ["ST_1"] * 3


async def test_what_a_carrier_said_of_a_call_that_is_cancelled_is_forgotten(
    carriers: Stage,
) -> None:
    call = await carriers.called()
    dialer = carriers.schedule._dialer
    assert [*dialer._refusals] == [(call.id, call.room)]
    await carriers.planned.cancel(SYSTEM, call.id)
    await carriers.step()
    assert not dialer._refusals
