"""Another agent is called to a call that has lost its own, until one is there."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.budget import CallSoFar
from agent.dispatch import Dispatch, SiteTerms
from agent.livekit_server import LiveKitUnavailableError
from agent.survival.black_box import Note
from agent.survival.identity import ROOM_ID, identity_of
from agent.survival.patience import CLAIM_WITHIN
from agent.survival.rescuer import Cover, Lost, Rescuer, dispatch_of
from agent.survival.takeover import take_over
from llm_router.errors import StoreError
from llm_router.testing import ManualClock
from llm_router.voice.calls import Call, CallItem

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CALL = Call(id="c", room="r", job="j1", last_beat=NOW, started_at=NOW, updated_at=NOW)
LOST = Lost(
    room="r",
    room_id="RM_1",
    dispatch=Dispatch(caller="ann", lost_at=5.0),
    call_id="c",
    identity="agent-r-1",
    seen_dead=True,
)


@dataclass
class Calls:
    """One stored call. `is_down`: the database does not answer."""

    call: Call | None = CALL
    is_down: bool = False
    ended: str = ""
    items: list[CallItem] = field(default_factory=list)

    async def append(self, call_id: str, items: Sequence[CallItem], now: datetime) -> int:
        self._check()
        self.items.extend(items)
        return len(self.items)

    def _check(self) -> None:
        if self.is_down:
            raise StoreError("down")

    async def advance(self, room: str, epoch: int, now: datetime) -> bool:
        self._check()
        if self.call is None or self.ended or self.call.epoch != epoch - 1:
            return False
        self.call = replace(self.call, epoch=epoch, job="")
        return True

    async def going_on(self, room: str) -> Call | None:
        self._check()
        return self.call if self.call and not self.ended else None

    async def history(self, room: str) -> tuple[Call, list[CallItem]] | None:
        call = await self.going_on(room)
        return (call, []) if call else None

    async def note(self, call_id: str, epoch: int, now: datetime, **what: Any) -> bool:
        self._check()
        assert self.call is not None
        assert epoch == self.call.epoch
        self.call = replace(self.call, voiced=what["voiced"])
        return True

    async def end(self, call_id: str, reason: str, now: datetime) -> bool:
        self._check()
        self.ended = reason
        return True


@dataclass
class Room:
    """LiveKit with one room. `answers` decides what becomes of a call for an agent."""

    calls: Calls
    answers: Callable[["Room", Dispatch], None]
    agents: set[str] = field(default_factory=lambda: {"agent-r-1"})
    has_caller: bool = True
    dispatched: list[Dispatch] = field(default_factory=list)
    most_agents: int = 1
    is_closed: bool = False
    id: str = "RM_1"
    has_running_job: bool = False
    dismissed: list[int] = field(default_factory=list)

    async def room_id(self, room: str) -> str:
        return self.id

    async def evict(self, room: str, agent_name: str, identity: str) -> bool:
        self.agents.clear()
        return self.has_caller

    async def dismiss(self, room: str, agent_name: str, epoch: int, identity: str = "") -> None:
        self.dismissed.append(epoch)
        self.agents.discard(identity)

    async def call_agent(self, room: str, agent_name: str, dispatch: Dispatch) -> None:
        self.dispatched.append(dispatch)
        self.answers(self, dispatch)
        self.most_agents = max(self.most_agents, len(self.agents))

    async def is_present(self, room: str, identity: str, agent_name: str = "") -> bool:
        return identity in self.agents or (bool(agent_name) and bool(self.agents))

    async def has_job(self, room: str, agent_name: str) -> bool:
        return self.has_running_job

    async def close_room(self, room: str) -> None:
        self.is_closed = True


def comes(room: Room, dispatch: Dispatch) -> None:
    room.agents.add(identity_of("r", dispatch.epoch))
    if room.calls.call and not room.calls.is_down:
        room.calls.call = replace(room.calls.call, epoch=dispatch.epoch, job=f"j{dispatch.epoch}")


def drops(room: Room, dispatch: Dispatch) -> None:
    """LiveKit drops the request."""


def claims_only(room: Room, dispatch: Dispatch) -> None:
    assert room.calls.call is not None
    room.calls.call = replace(room.calls.call, job=f"j{dispatch.epoch}")


def second(room: Room, dispatch: Dispatch) -> None:
    if len(room.dispatched) > 1:
        comes(room, dispatch)


def unreachable(room: Room, dispatch: Dispatch) -> None:
    raise LiveKitUnavailableError("away")


def rescue(
    room: Room, *lost: Lost, at: float = 0.0, cover: Cover | None = None
) -> tuple[list[str], float]:
    """Rescues; returns who was spoken to by the farewell, and the time that it took (s)."""
    clock, farewells = ManualClock(), list[str]()

    async def farewell(_: str, identity: str) -> None:
        farewells.append(identity)

    async def main() -> float:
        rescuer = Rescuer(room, "desk", room.calls, clock, farewell, cover=cover)  # type: ignore[arg-type]  # the parts that it uses
        await clock.sleep(at)
        began = clock.now()
        for one in lost or [LOST]:
            rescuer.rescue(one)
            await rescuer.aclose(100.0)
        return clock.now() - began

    return farewells, clock.run(main())


def test_the_next_agent_is_called_at_once_and_knows_since_when_the_caller_waits() -> None:
    room = Room(Calls(), comes)
    farewells, took = rescue(room)
    [called] = room.dispatched
    assert called.model_copy(update={"deaths": ()}) == Dispatch(caller="ann", epoch=2, lost_at=5.0)
    assert (farewells, took, room.agents) == ([], 0.0, {"agent-r-2"})
    assert room.most_agents == 1


def test_the_last_words_are_stored_before_the_next_agent_reads_them() -> None:
    room = Room(Calls(), comes)
    asked = {"id": "i1", "role": "user", "text": "When do you open?", "at": 1.0}
    rescue(room, replace(LOST, note=Note(voiced="We open at", items=[asked])))
    assert room.calls.call is not None
    assert room.calls.call.voiced == "We open at"
    assert [(item.id, item.text) for item in room.calls.items] == [("i1", "When do you open?")]


def test_of_two_processes_one_acts() -> None:
    room = Room(Calls(), comes)
    rescue(room, LOST, LOST)
    assert len(room.dispatched) == 1


def test_a_request_that_is_dropped_is_repeated() -> None:
    room = Room(Calls(), second)
    farewells, took = rescue(room)
    assert [one.epoch for one in room.dispatched] == [2, 3]
    assert farewells == []
    assert took < 2.5


def claims_late(room: Room, dispatch: Dispatch) -> None:
    """The worker of a busy machine takes the call at the end of the time that it has for it."""
    loop = asyncio.get_running_loop()
    loop.call_later(CLAIM_WITHIN - 0.1, claims_only, room, dispatch)
    loop.call_later(CLAIM_WITHIN + 1.0, comes, room, dispatch)


def test_an_agent_that_claims_its_call_late_is_waited_for() -> None:
    room = Room(Calls(), claims_late)
    rescue(room)
    assert [one.epoch for one in room.dispatched] == [2]
    assert room.agents == {"agent-r-2"}


def test_an_agent_that_claims_its_call_and_does_not_come_is_replaced() -> None:
    room = Room(Calls(), claims_only)
    room.answers = lambda r, d: (comes if len(r.dispatched) > 1 else claims_only)(r, d)
    _, took = rescue(room)
    assert room.agents == {"agent-r-3"}
    assert 4.0 < took < 6.0


@pytest.mark.parametrize("answers", [drops, unreachable])
def test_when_no_agent_comes_the_caller_is_spoken_to_and_the_call_ends(
    answers: Callable[[Room, Dispatch], None],
) -> None:
    room = Room(Calls(), answers)
    farewells, took = rescue(room)
    assert farewells == ["agent-r-5"]
    assert room.is_closed
    assert room.calls.ended == "failed"
    assert took < 15.0


class Receptionist:
    """The receptionist of a worker that is busy. `fails`: LiveKit does, whenever it is called."""

    def __init__(self, *, fails: bool = False) -> None:
        self.covered: list[str] = []
        self._fails = fails

    async def cover(self, room: str) -> bool:
        if self._fails:
            raise LiveKitUnavailableError("away")
        self.covered.append(room)
        return len(self.covered) > 1


@pytest.mark.parametrize(
    "lost", [LOST, Lost(room="r", dispatch=Dispatch(), is_new=True)], ids=["later", "first"]
)
def test_a_caller_whom_no_worker_takes_has_the_receptionist_and_more_time(lost: Lost) -> None:
    def takes_the_sixth(room: Room, dispatch: Dispatch) -> None:
        if len(room.dispatched) == 6:
            comes(room, dispatch)

    calls = Calls(None if lost.is_new else CALL)
    room, receptionist = Room(calls, takes_the_sixth, agents=set()), Receptionist()
    farewells, took = rescue(room, lost, cover=receptionist.cover)
    assert (farewells, len(room.dispatched)) == ([], 6)
    assert 20.0 < took < 60.0
    assert set(receptionist.covered) == {"r"}


@pytest.mark.parametrize("fails", [False, True])
def test_a_caller_gets_a_goodbye_when_not_even_the_receptionist_helps(*, fails: bool) -> None:
    room, receptionist = Room(Calls(), drops), Receptionist(fails=fails)
    farewells, took = rescue(room, cover=receptionist.cover)
    assert len(farewells) == 1
    assert took < (15.0 if fails else 80.0)


@dataclass
class Slow(Calls):
    """Calls in a file that many processes write: each step of them takes its time."""

    async def advance(self, room: str, epoch: int, now: datetime) -> bool:
        passed = asyncio.Event()
        asyncio.get_running_loop().call_later(2.0, passed.set)
        await passed.wait()
        return await super().advance(room, epoch, now)


def test_a_slow_database_that_alone_decides_who_acts_is_waited_for() -> None:
    room = Room(Slow(), comes)
    _, took = rescue(room, replace(LOST, seen_dead=False))
    assert room.agents == {"agent-r-2"}
    assert took == pytest.approx(2.0)


def test_a_call_whose_caller_has_gone_ends() -> None:
    room = Room(Calls(), comes, has_caller=False)
    rescue(room)
    assert room.dispatched == []
    assert room.calls.ended == "caller left"


def test_another_room_of_the_same_name_gets_no_agent_with_this_conversation() -> None:
    room = Room(Calls(), comes, id="RM_2")
    rescue(room)
    assert room.dispatched == []
    assert room.agents == {"agent-r-1"}


def test_a_room_that_livekit_has_made_anew_for_the_same_call_gets_an_agent() -> None:
    room = Room(Calls(replace(CALL, metadata={ROOM_ID: "RM_2"})), comes, id="RM_2")
    rescue(room)
    assert room.agents == {"agent-r-2"}


@pytest.mark.parametrize("call", [None, replace(CALL, epoch=3), replace(CALL, job="", epoch=2)])
def test_a_call_that_is_another_s_is_left_alone(call: Call | None) -> None:
    room = Room(Calls(call), comes)
    rescue(room)
    assert room.dispatched == []


@pytest.mark.parametrize("seen_dead", [True, False])
def test_without_a_database_only_who_saw_the_process_die_acts(*, seen_dead: bool) -> None:
    room = Room(Calls(is_down=True), comes)
    rescue(room, replace(LOST, seen_dead=seen_dead))
    assert len(room.dispatched) == seen_dead


def test_agents_that_die_one_after_another_are_not_replaced_for_ever() -> None:
    room = Room(Calls(), comes)
    described, farewells = Dispatch(), list[str]()
    for _ in range(4):  # each time in another process
        said, _ = rescue(room, replace(LOST, dispatch=described))
        described, farewells = room.dispatched[-1], farewells + said
    assert len(room.dispatched) == 3
    assert farewells == ["agent-r-5"]


def test_a_new_call_that_is_answered_needs_nothing() -> None:
    room = Room(Calls(), comes)
    rescue(room, Lost(room="r", dispatch=Dispatch(), is_new=True))
    assert room.dispatched == []


def test_a_new_call_that_no_worker_takes_is_asked_for_again() -> None:
    room = Room(Calls(None), comes, agents=set(), has_caller=False)
    rescue(room, Lost(room="r", dispatch=Dispatch(), is_new=True))
    assert [one.epoch for one in room.dispatched] == [2]
    assert room.agents == {"agent-r-2"}


@pytest.mark.parametrize("is_down", [False, True])
@pytest.mark.parametrize("is_joining", [False, True])
def test_an_agent_of_one_s_own_that_claims_no_call_is_left_alone(
    *, is_down: bool, is_joining: bool
) -> None:
    own = set() if is_joining else {"agent-AJ_own"}
    room = Room(Calls(None, is_down=is_down), comes, agents=own, has_running_job=is_joining)
    rescue(room, Lost(room="r", dispatch=Dispatch(), is_new=True))
    assert room.dispatched == []
    assert room.agents == own


@dataclass
class Starting(Calls):
    """A call whose agent has claimed it; the worker beats while it starts the process."""

    until: float = 0.0

    async def going_on(self, room: str) -> Call | None:
        now = asyncio.get_running_loop().time()
        if self.call is not None and now < self.until:
            self.call = replace(self.call, last_beat=NOW + timedelta(seconds=now // 0.5 / 2))
        return await super().going_on(room)


@pytest.mark.parametrize("until", [12.0, 45.0], ids=["a slow process", "one after many others"])
def test_an_agent_that_is_being_started_is_waited_for(until: float) -> None:
    calls = Starting(until=until)
    room = Room(calls, comes, agents=set())
    _, took = rescue(room, Lost(room="r", dispatch=Dispatch(), is_new=True))
    assert until < took < until + 4.0
    assert [one.epoch for one in room.dispatched] == [2]


def test_a_call_that_another_process_has_moved_on_is_left_to_it() -> None:
    room = Room(Calls(replace(CALL, epoch=3, job="")), comes, agents=set())
    _, took = rescue(room, Lost(room="r", dispatch=Dispatch(), is_new=True))
    assert (room.dispatched, took) == ([], 0.0)


@pytest.mark.parametrize(
    ("calls", "epoch"), [(Calls(None), 1), (Calls(is_down=True), 3)], ids=["not stored", "down"]
)
def test_an_agent_whose_call_cannot_be_read_is_like_the_last_one_or_as_the_visitor_wishes(
    calls: Calls, epoch: int
) -> None:
    clock = ManualClock()
    rescuer = Rescuer(Room(calls, comes), "desk", calls, clock, no_farewell)  # type: ignore[arg-type]  # the parts that it uses
    wished = Dispatch(caller="ann", assistant="sales")
    last = Dispatch(caller="ann", terms=SiteTerms(site="shop", max_cost=2.5), epoch=2)
    found = clock.run(rescuer.next_agent("r", wished, last))
    assert found == last.model_copy(update={"epoch": epoch})
    assert clock.run(rescuer.next_agent("r", wished, None)) == wished


async def no_farewell(room: str, identity: str) -> None:
    """Says nothing."""


@pytest.mark.parametrize(
    ("dispatch", "opening"),
    [
        (Dispatch(epoch=2), "Hello!"),
        (Dispatch(epoch=2, lost_at=1.0), "Sorry."),
        (Dispatch(epoch=2, planned=True), ""),
    ],
)
def test_an_agent_that_can_read_nothing_says_what_the_caller_needs(
    dispatch: Dispatch, opening: str
) -> None:
    clock, calls = ManualClock(), Calls(is_down=True)
    port: Any = calls  # the parts that it uses
    taking_over = take_over(
        port, "r", dispatch, clock, greeting="Hello!", phrase=lambda _, __: "Sorry."
    )
    assert clock.run(taking_over).opening == opening


def claims_then_comes(room: Room, dispatch: Dispatch) -> None:
    """A worker claims the next epoch at once, and its agent joins once the one before has gone."""
    assert room.calls.call is not None
    room.calls.call = replace(room.calls.call, epoch=dispatch.epoch, job=f"j{dispatch.epoch}")
    asyncio.get_running_loop().call_later(
        0.5, lambda: room.agents.add(identity_of("r", dispatch.epoch))
    )


def move(room: Room) -> bool:
    """Moves the call to another worker; returns whether it has gone."""
    clock, moved = ManualClock(), list[bool]()

    async def main() -> None:
        rescuer = Rescuer(room, "desk", room.calls, clock, no_farewell)  # type: ignore[arg-type]  # the parts that it uses
        rescuer.move(
            replace(LOST, dispatch=Dispatch(caller="ann", planned=True)),
            lambda: moved.append(True),
        )
        assert rescuer.is_busy
        await rescuer.aclose(100.0)

    clock.run(main())
    return bool(moved)


def test_a_call_that_moves_has_its_agent_until_a_worker_has_taken_it() -> None:
    room = Room(Calls(), claims_then_comes)
    assert move(room)
    assert room.dispatched == [Dispatch(caller="ann", epoch=2, planned=True)]
    assert room.dismissed == [1]
    assert room.agents == {"agent-r-2"}


def test_a_call_that_no_worker_takes_stays_where_it_is() -> None:
    room = Room(Calls(), drops)
    assert not move(room)
    assert room.dismissed == [2]
    assert room.agents == {"agent-r-1"}
    assert (room.calls.call, room.calls.ended) == (CALL, "")


def test_a_moved_call_whose_agent_does_not_come_is_rescued() -> None:
    room = Room(Calls(), lambda r, d: (comes if d.epoch > 2 else claims_next)(r, d))
    assert move(room)
    assert room.agents == {"agent-r-3"}
    assert room.dispatched[-1].lost_at
    assert not room.dispatched[-1].planned


def claims_next(room: Room, dispatch: Dispatch) -> None:
    assert room.calls.call is not None
    room.calls.call = replace(room.calls.call, epoch=dispatch.epoch, job="j")


def test_how_many_agents_of_a_call_have_died_is_known_to_the_process_that_finds_it_silent() -> None:
    call = replace(CALL, metadata={"deaths": [1.0, 2.0]}, caller="ann")
    assert dispatch_of(call, 3) == Dispatch(
        caller="ann", epoch=3, lost_at=NOW.timestamp(), deaths=(1.0, 2.0)
    )


def test_a_later_agent_knows_what_the_page_has_said() -> None:
    said = {"text": '{"basket": 3}', "is_trusted": True}
    later = dispatch_of(replace(CALL, metadata={"page_context": said}), 2)
    assert later.context
    assert later.context.model_dump() == said


def test_an_agent_that_takes_over_knows_what_the_call_has_used() -> None:
    class Talked(Calls):
        async def history(self, room: str) -> tuple[Call, list[CallItem]] | None:
            asked = CallItem(id="1", role="user", text="When?", created_at=NOW)
            paid = {"tokens": 40, "cost": 0.2}
            answered = CallItem(id="2", role="assistant", text="At 9", receipt=paid, created_at=NOW)
            assert self.call is not None
            return self.call, [asked, answered, replace(asked, id="3")]

    clock = ManualClock()
    began = datetime.fromtimestamp(clock.wall() - 90, UTC)
    taken = take_over(
        Talked(replace(CALL, epoch=2, started_at=began)),  # type: ignore[arg-type]  # the parts that it uses
        "r",
        Dispatch(epoch=2),
        clock,
        greeting="Hello!",
        phrase=lambda _, __: "Sorry.",
    )
    assert clock.run(taken).so_far == CallSoFar(seconds=90.0, turns=2, tokens=40, cost=0.2)
