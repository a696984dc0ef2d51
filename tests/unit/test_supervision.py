"""Supervisors listen, whisper and take over; the caller always has an agent or a person."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest

from agent.handed_over import HandedOver
from agent.livekit_server import LiveKitUnavailableError
from agent.staff import LISTENER, PERSON, SUPERVISOR, UNTIL_ATTRIBUTE, People
from agent.supervision import LiveKitKeys, Supervision
from agent.survival.identity import ROOM_ID
from agent.survival.rescuer import Lost
from agent.whispers import TOPIC, Whispers
from llm_router.gateway.errors import Problem
from llm_router.testing import ManualClock
from llm_router.voice.calls import HANDED_TO, Call

SECRET = "a secret of LiveKit's, long enough for HS256"
KEYS = LiveKitKeys(server_url="wss://voice.example", api_key="key", api_secret=SECRET)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CALL = Call(
    id="c", room="r", agent="agent-r-1", job="j", last_beat=NOW, started_at=NOW, updated_at=NOW,
    metadata={ROOM_ID: "RM_1"},
)  # fmt: skip
HANDED = replace(CALL, state="handed_over", metadata={ROOM_ID: "RM_1", HANDED_TO: "supervisor"})
GIVEN = replace(HANDED, metadata={ROOM_ID: "RM_1", HANDED_TO: "person"})


@dataclass
class LiveKit:
    people_there: People = field(default_factory=lambda: People(callers=["ann"]))
    agents: set[str] = field(default_factory=lambda: {"agent-r-1"})
    id: str = "RM_1"
    removed: list[str] = field(default_factory=list)
    sent: list[tuple[str, str, bytes]] = field(default_factory=list)
    is_closed: bool = False
    is_away: bool = False

    async def persons(self, _: str) -> People:
        if self.is_away:
            raise LiveKitUnavailableError("away")
        return self.people_there

    async def room_id(self, _: str) -> str:
        return self.id

    async def is_present(self, _: str, identity: str) -> bool:
        return identity in self.agents

    async def send(self, _: str, identity: str, topic: str, data: bytes) -> None:
        self.sent.append((identity, topic, data))

    async def remove(self, _: str, identity: str) -> None:
        self.removed.append(identity)

    async def evict(self, _: str, __: str, identity: str) -> bool:
        self.agents.discard(identity)
        return True

    async def close_room(self, _: str) -> None:
        self.is_closed = True


@dataclass
class Calls:
    call: Call = CALL
    ended: str = ""
    alive: list[str] = field(default_factory=list)

    async def going_on(self, _: str) -> Call | None:
        return None if self.ended else self.call

    async def hand_over(self, _: str, epoch: int, __: datetime, *, to: str) -> bool:
        if self.call.state != "agent" or epoch != self.call.epoch:
            return False
        meta = {**self.call.metadata, HANDED_TO: to}
        self.call = replace(self.call, state="handed_over", metadata=meta)
        return True

    async def give_back(self, _: str, __: datetime) -> Call | None:
        if self.call.state != "handed_over":
            return None
        self.call = replace(self.call, state="agent", agent="", job="")
        return self.call

    async def handed_over(self, limit: int) -> Sequence[Call]:
        return [self.call] if self.call.state == "handed_over" and not self.ended else []

    async def end(self, _: str, reason: str, __: datetime) -> bool:
        self.ended = reason
        return True

    async def seen(self, ids: Sequence[str], _: datetime) -> None:
        self.alive.extend(ids)


@dataclass
class Rescues:
    lost: list[Lost] = field(default_factory=list)

    def rescue(self, lost: Lost) -> None:
        self.lost.append(lost)


@dataclass
class House:
    """The supervision of a process, with LiveKit, the store and the rescuer."""

    clock: ManualClock = field(default_factory=ManualClock)
    livekit: LiveKit = field(default_factory=LiveKit)
    calls: Calls = field(default_factory=Calls)
    rescues: Rescues = field(default_factory=Rescues)

    def run(self, play: "Callable[[Supervision], Coroutine[Any, Any, None]]") -> None:
        async def main() -> None:
            livekit: Any = self.livekit
            calls: Any = self.calls
            rescues: Any = self.rescues
            supervision = Supervision(livekit, calls, rescues, "desk", KEYS, clock=self.clock)
            try:
                await play(supervision)
            finally:
                await supervision.aclose()

        self.clock.run(main())

    def watch(self, times: int = 1) -> None:
        livekit: Any = self.livekit
        calls: Any = self.calls
        rescues: Any = self.rescues

        async def main() -> None:
            watched = HandedOver(livekit, calls, rescues, self.clock)
            for _ in range(times):
                await watched.step()

        self.clock.run(main())


def grants_of(token: str) -> dict[str, Any]:
    options: Any = {"verify_exp": False, "verify_nbf": False}
    claims: dict[str, Any] = jwt.decode(token, SECRET, algorithms=["HS256"], options=options)
    return claims


# ── Listening ────────────────────────────────────────────────────────────────────────────────────


def test_a_listener_hears_one_room_for_a_time_and_can_do_nothing_there() -> None:
    house = House()

    async def play(supervision: Supervision) -> None:
        seat = await supervision.listen(CALL, 60)
        assert seat.identity.startswith(LISTENER)
        claims = grants_of(seat.participant_token)
        assert claims["video"] == {
            "roomJoin": True, "room": "r", "canSubscribe": True, "canPublish": False,
            "canPublishData": False, "canUpdateOwnMetadata": False, "hidden": True,
        }  # fmt: skip
        assert claims["exp"] - claims["nbf"] == 60
        until = int(house.clock.wall()) + 60
        assert claims["attributes"] == {UNTIL_ATTRIBUTE: str(until)}
        await house.clock.sleep(59.0)
        assert house.livekit.removed == []
        await house.clock.sleep(2.0)
        assert house.livekit.removed == [seat.identity]

    house.run(play)


def test_listening_ends_with_the_process() -> None:
    house = House()

    async def play(supervision: Supervision) -> None:
        await supervision.listen(HANDED, 3600)
        await house.clock.sleep(1.0)

    house.run(play)
    assert len(house.livekit.removed) == 1


# ── Whispering ───────────────────────────────────────────────────────────────────────────────────


def test_an_instruction_goes_to_the_agent_alone_and_is_signed() -> None:
    house = House()

    async def play(supervision: Supervision) -> None:
        await supervision.whisper(CALL, "Offer a discount.")

    house.run(play)
    [(to, topic, data)] = house.livekit.sent
    assert (to, topic) == ("agent-r-1", TOPIC)
    assert Whispers(SECRET).read("r", data, house.clock.wall()) == "Offer a discount."


@pytest.mark.parametrize("call", [HANDED, replace(CALL, state="ended"), replace(CALL, agent="")])
def test_where_no_agent_answers_a_whisper_is_refused(call: Call) -> None:
    async def play(supervision: Supervision) -> None:
        with pytest.raises(Problem) as refused:
            await supervision.whisper(call, "Hello?")
        assert refused.value.status == 409

    House().run(play)


@pytest.mark.parametrize(
    ("call", "advice"),
    [
        (replace(CALL, state="text", kind="text"), "Try again once the conversation goes on"),
        (replace(CALL, state="ended"), "List the calls"),
        (replace(CALL, kind="other"), "You can read and delete it"),
    ],
)
def test_a_call_that_is_in_no_room_of_ours_is_refused_with_what_to_do(
    call: Call, advice: str
) -> None:
    async def play(supervision: Supervision) -> None:
        for asked in (
            supervision.listen(call, 60),
            supervision.whisper(call, "Hello?"),
            supervision.take_over(call),
            supervision.release(call),
        ):
            with pytest.raises(Problem) as refused:
                await asked
            assert refused.value.status == 409
            assert advice in refused.value.detail

    House().run(play)


def test_an_agent_that_has_just_left_gets_no_instruction() -> None:
    house = House(livekit=LiveKit(agents=set()))

    async def play(supervision: Supervision) -> None:
        with pytest.raises(Problem):
            await supervision.whisper(CALL, "Hello?")

    house.run(play)
    assert house.livekit.sent == []


# ── Taking over ──────────────────────────────────────────────────────────────────────────────────


def test_the_agent_leaves_only_when_the_supervisor_speaks_in_its_place() -> None:
    house = House()

    async def play(supervision: Supervision) -> None:
        seat = await supervision.take_over(CALL)
        grants = grants_of(seat.participant_token)["video"]
        assert (grants["canPublish"], grants.get("hidden")) == (True, None)
        there = People(callers=["ann"], answering=[seat.identity])
        house.livekit.people_there = there  # joined, and still silent
        await house.clock.sleep(5.0)
        assert (house.calls.call.state, house.livekit.agents) == ("agent", {"agent-r-1"})
        house.livekit.people_there = replace(there, speaking=[seat.identity])
        await house.clock.sleep(1.0)
        assert (house.calls.call.state, house.livekit.agents) == ("handed_over", set())
        assert house.calls.call.metadata[HANDED_TO] == "supervisor"

    house.run(play)


def test_a_supervisor_who_does_not_come_leaves_the_call_to_its_agent() -> None:
    house = House()

    async def play(supervision: Supervision) -> None:
        await supervision.take_over(CALL)
        await house.clock.sleep(60.0)

    house.run(play)
    assert (house.calls.call.state, house.livekit.agents) == ("agent", {"agent-r-1"})


def test_a_call_that_was_transferred_to_a_person_is_theirs() -> None:
    async def play(supervision: Supervision) -> None:
        for refused in (supervision.take_over(GIVEN), supervision.release(GIVEN)):
            with pytest.raises(Problem, match="transferred"):
                await refused

    House().run(play)


def test_a_released_call_gets_an_agent_that_says_so_and_the_supervisor_leaves() -> None:
    supervisor = f"{SUPERVISOR}1"
    there = People(callers=["ann"], answering=[supervisor], speaking=[supervisor])
    house = House(livekit=LiveKit(people_there=there), calls=Calls(HANDED))

    async def play(supervision: Supervision) -> None:
        await supervision.release(HANDED)
        await asyncio.gather(supervision.release(HANDED))

    house.run(play)
    [lost] = house.rescues.lost
    assert (lost.dispatch.returned, lost.dispatch.planned, lost.dispatch.lost_at) == (True, True, 0)
    assert (house.calls.call.state, house.livekit.removed) == ("agent", [supervisor])


# ── Calls that persons answer ────────────────────────────────────────────────────────────────────


def test_a_bridged_call_goes_on_without_any_agent_while_both_sides_are_there() -> None:
    there = People(callers=["ann"], answering=[f"{PERSON}1"])
    house = House(livekit=LiveKit(people_there=there), calls=Calls(GIVEN))
    house.watch(3)
    assert (house.calls.ended, house.livekit.is_closed) == ("", False)
    assert (house.rescues.lost, house.calls.alive) == ([], ["c"] * 3)


@pytest.mark.parametrize(
    "there", [People(callers=["ann"]), People(answering=[f"{PERSON}1"]), People()]
)
def test_a_bridged_call_ends_for_both_when_one_side_hangs_up(there: People) -> None:
    call = replace(GIVEN, kind="phone")
    house = House(livekit=LiveKit(people_there=there), calls=Calls(call))
    house.watch()
    assert (house.calls.ended, house.livekit.is_closed) == ("transferred", True)


def test_the_end_of_a_bridged_call_is_noted_when_its_room_is_gone_or_another() -> None:
    for gone in ("", "RM_2"):
        house = House(livekit=LiveKit(id=gone), calls=Calls(GIVEN))
        house.watch()
        assert (house.calls.ended, house.livekit.is_closed) == ("transferred", False)


def test_a_page_that_is_loaded_again_is_given_a_moment() -> None:
    there = People(answering=[f"{SUPERVISOR}1"])
    house = House(livekit=LiveKit(people_there=there), calls=Calls(HANDED))
    house.watch()
    assert house.calls.ended == ""
    house.watch(2)
    assert house.calls.ended == "caller left"


def test_a_supervisor_who_goes_without_a_word_gives_the_caller_back() -> None:
    house = House(calls=Calls(HANDED))
    house.watch()
    assert [lost.dispatch.returned for lost in house.rescues.lost] == [True]
    assert house.calls.call.state == "agent"


def test_while_livekit_is_away_no_call_that_a_person_answers_changes() -> None:
    house = House(livekit=LiveKit(is_away=True), calls=Calls(GIVEN))
    house.watch(2)
    assert (house.calls.ended, house.calls.alive) == ("", ["c", "c"])
