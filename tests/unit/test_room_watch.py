"""Callers without an agent are found in LiveKit's rooms, and are answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from livekit.protocol.models import ParticipantInfo

from agent.dispatch import Dispatch
from agent.livekit_server import LiveKitUnavailableError
from agent.receptionist.queue import CallMark, reception_name
from agent.room_watch import AloneRooms, LateListeners, Net, RoomReading, turn
from agent.staff import LISTENER, UNTIL_ATTRIBUTE
from agent.survival.identity import ROOM_ID
from agent.survival.rescuer import Lost
from llm_router.testing import ManualClock
from llm_router.voice.calls import Call, CallFilters

NAME, NOW = "desk", datetime(2026, 1, 1, tzinfo=UTC)
CALL = Call(
    id="c", room="r", last_beat=NOW, started_at=NOW, updated_at=NOW, metadata={ROOM_ID: "RM_r"}
)
WAITS = CallMark(caller="ann", waiting_since=1.0).to_metadata(NAME)
PHONE = Dispatch(caller="+49", assistant="shop")


@dataclass
class Rooms:
    """LiveKit's rooms by name, in which callers are alone unless `answered` has the room."""

    metadata: dict[str, str]
    dispatches: dict[tuple[str, str], Dispatch] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
    read: list[str] = field(default_factory=list)
    called: list[tuple[str, str, str]] = field(default_factory=list)
    is_away: bool = False
    asked: int = 0

    async def rooms(self) -> dict[str, str]:
        self.asked += 1
        if self.is_away:
            raise LiveKitUnavailableError("away")
        return self.metadata

    async def has_only_callers(self, room: str) -> bool:
        self.read.append(room)
        return room not in self.answered

    async def last_dispatch(self, room: str, agent_name: str) -> Dispatch | None:
        return self.dispatches.get((room, agent_name))

    async def room_id(self, room: str) -> str:
        return f"RM_{room}"

    async def ensure_agent(self, room: str, agent_name: str, metadata: str) -> None:
        self.called.append((room, agent_name, metadata))


@dataclass
class Calls:
    stored: Sequence[Call] = ()

    async def find(
        self, filters: CallFilters, *, limit: int = 50, offset: int = 0
    ) -> tuple[list[Call], int]:
        found = [
            call
            for call in self.stored
            if (not filters.room or call.room == filters.room)
            and (not filters.state or call.state == filters.state)
        ]
        return found, len(found)


@dataclass
class Rescues:
    lost: list[Lost] = field(default_factory=list)

    def rescue(self, lost: Lost) -> None:
        self.lost.append(lost)


def watched(rooms: Rooms, *stored: Call, seconds: float = 10.0) -> Sequence[Lost]:
    """Returns the calls that are rescued while the rooms are read every 5 s."""
    clock, rescues = ManualClock(), Rescues()

    async def main() -> None:
        net = Net(rooms, Calls(stored), rescues, NAME, clock)  # type: ignore[arg-type]  # the parts that it uses
        reading = RoomReading(rooms, [net.read], clock)  # type: ignore[arg-type]  # as above
        while clock.now() < seconds:
            await reading.step()
            await clock.sleep(5.0)

    clock.run(main())
    return rescues.lost


def test_a_call_that_no_worker_took_is_rescued_with_what_was_asked_for() -> None:
    rooms = Rooms({"r": ""}, {("r", NAME): PHONE})
    assert watched(rooms) == [Lost(room="r", dispatch=PHONE, is_new=True)]


def test_a_call_that_is_answered_or_just_begins_is_left_alone() -> None:
    asked = {("r", NAME): PHONE}
    assert watched(Rooms({"r": ""}, asked, answered={"r"})) == []
    assert watched(Rooms({"r": ""}, asked), seconds=5.0) == []


def test_a_room_to_which_no_agent_of_ours_was_called_is_none_of_ours() -> None:
    assert watched(Rooms({"r": ""}, {("r", "sales"): PHONE})) == []


def test_a_call_that_is_stored_is_left_to_the_watch_of_calls() -> None:
    rooms = Rooms({"r": ""}, {("r", NAME): PHONE})
    assert watched(rooms, CALL) == []
    assert rooms.read == []


def test_a_caller_whose_call_has_ended_or_was_handed_to_a_person_gets_no_agent() -> None:
    for state in ("ended", "handed_over"):
        call = replace(CALL, state=state)
        assert watched(Rooms({"r": ""}, {("r", NAME): PHONE}), call) == []


def test_a_room_that_had_a_call_before_under_the_same_name_is_rescued() -> None:
    earlier = replace(CALL, state="ended", metadata={ROOM_ID: "RM_earlier"})
    assert len(watched(Rooms({"r": ""}, {("r", NAME): PHONE}), earlier)) == 1


def test_a_caller_in_the_queue_whose_receptionist_died_gets_another_and_no_agent() -> None:
    rooms = Rooms({"r": WAITS}, {("r", reception_name(NAME)): PHONE})
    assert watched(rooms) == []
    assert rooms.called == [("r", reception_name(NAME), PHONE.to_metadata())]


def test_a_room_is_tried_again_after_a_while() -> None:
    rooms = Rooms({"r": ""}, {("r", NAME): PHONE})
    assert len(watched(rooms, seconds=30.0)) == 1
    assert len(watched(rooms, seconds=60.0)) == 2


def test_while_livekit_fails_it_is_asked_once_a_minute() -> None:
    rooms = Rooms({}, is_away=True)
    assert watched(rooms, seconds=100.0) == []
    assert rooms.asked == 2


def test_rooms_are_listed_once_for_all_who_read_them() -> None:
    rooms, seen = Rooms({"r": ""}), list[str]()
    clock = ManualClock()

    async def read(listed: Mapping[str, str]) -> None:
        seen.extend(listed)

    clock.run(RoomReading(rooms, [read, read], clock).step())  # type: ignore[arg-type]  # the part that it uses
    assert (rooms.asked, seen) == (1, ["r", "r"])


def test_a_reader_for_whom_livekit_fails_rests_alone() -> None:
    rooms, seen, clock = Rooms({"r": ""}), list[str](), ManualClock()

    async def fail(_: Mapping[str, str]) -> None:
        seen.append("failed")
        raise LiveKitUnavailableError("away")

    async def read(_: Mapping[str, str]) -> None:
        seen.append("read")

    async def main() -> None:
        reading = RoomReading(rooms, [fail, read], clock)  # type: ignore[arg-type]  # as above
        for _ in range(3):
            await reading.step()
            await clock.sleep(30.0)
        rooms.is_away = True
        for _ in range(6):
            await reading.step()
            await clock.sleep(10.0)

    clock.run(main())
    assert seen == ["failed", "read", "read", "failed", "read"]
    assert rooms.asked == 3 + 2  # each reader had its turn while LiveKit was away


def test_a_room_that_is_answered_meanwhile_begins_anew() -> None:
    alone = AloneRooms()
    steps = [(0.0, ["r"]), (5.0, []), (10.0, ["r"]), (15.0, ["r"])]
    assert [alone.step(rooms, now) for now, rooms in steps] == [[], [], [], ["r"]]


def test_a_caller_among_many_rooms_is_rescued() -> None:
    names = [f"room-{number:03}" for number in range(120)]
    rooms = Rooms(dict.fromkeys(names, ""), {(names[70], NAME): PHONE})
    assert [lost.room for lost in watched(rooms, seconds=30.0)] == [names[70]]


def test_of_many_rooms_each_has_its_turn() -> None:
    rooms = [f"room-{number:03}" for number in range(120)]
    seen, last = set[str](), ""
    for _ in range(3):
        now = turn(rooms, last)
        assert len(now) == 50
        seen.update(now)
        last = now[-1]
    assert seen == set(rooms)


@dataclass
class Listened:
    """LiveKit with the same persons in each of some rooms."""

    names: Sequence[str]
    there: Sequence[ParticipantInfo]
    removed: list[tuple[str, str]] = field(default_factory=list)

    async def people(self, _: str) -> Sequence[ParticipantInfo]:
        return self.there

    async def remove(self, room: str, identity: str) -> None:
        self.removed.append((room, identity))


def test_a_supervisor_who_listens_for_too_long_is_removed_whichever_process_let_them_in() -> None:
    clock = ManualClock()
    now = int(clock.wall())
    late, other = f"{LISTENER}late", f"{LISTENER}other"
    there = [
        ParticipantInfo(identity=late, attributes={UNTIL_ATTRIBUTE: str(now)}),
        ParticipantInfo(identity=other, attributes={UNTIL_ATTRIBUTE: str(now + 9)}),
        ParticipantInfo(identity="ann", attributes={UNTIL_ATTRIBUTE: "0"}),
    ]
    rooms = Listened([f"r{number:03}" for number in range(80)], there)
    watched = LateListeners(rooms, clock)  # type: ignore[arg-type]  # the parts that it uses

    async def main() -> None:
        for _ in range(2):
            await watched.read(dict.fromkeys(rooms.names, ""))

    clock.run(main())
    assert {room for room, _ in rooms.removed} == set(rooms.names)
    assert {identity for _, identity in rooms.removed} == {late}
