"""The receptionist ends in time for the agent, leaves the queue behind, and serves all of it."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from livekit import rtc

from agent.livekit_server import LiveKitUnavailableError
from agent.receptionist.desk import Desk, DeskOptions, _Guest, until_done
from agent.receptionist.letters import FAILED, METHOD, Letter, Letters
from agent.receptionist.player import Player
from agent.receptionist.queue import CallMark
from agent.receptionist_process import Rooms
from llm_router.clock import SystemClock
from llm_router.errors import StoreError
from llm_router.routing.phrases import Phrases
from llm_router.testing.clock import ManualClock
from llm_router.voice.messages import Message
from tests.rooms import FakeRoom

FIRST, SECOND, LAST = (bytes([number]) * 9600 for number in (1, 2, 3))


class Speaker:
    """A source of sound that plays a piece whenever the test lets it, and a track of it."""

    def __init__(self) -> None:
        self.played = b""
        self.pieces = asyncio.Semaphore(0)

    async def capture_frame(self, frame: Any) -> None:
        await self.pieces.acquire()
        self.played += bytes(frame.data)

    async def wait_for_playout(self) -> None: ...

    async def wait_for_subscription(self) -> None: ...


def playing(speaker: Any) -> tuple[Player, "asyncio.Task[None]"]:
    player = Player(speaker, speaker)
    return player, asyncio.create_task(player._run())


async def test_an_agent_that_comes_waits_for_the_sentence_under_way_alone() -> None:
    speaker = Speaker()
    player, running = playing(speaker)
    for sentence in (FIRST, SECOND, LAST):
        player.say(sentence)
    speaker.pieces.release()
    while not speaker.played:
        await asyncio.to_thread(int)
    finishing = asyncio.create_task(player.finish())
    await asyncio.to_thread(int)
    for _ in range(100):
        speaker.pieces.release()
    await asyncio.gather(finishing, running)
    assert speaker.played == FIRST


@pytest.mark.parametrize("said", [b"", FIRST])
async def test_the_last_word_is_said_whatever_waits(said: bytes) -> None:
    speaker = Speaker()
    player, running = playing(speaker)
    player.say(said)
    for _ in range(100):
        speaker.pieces.release()
    await asyncio.gather(player.finish(LAST), running)
    assert speaker.played == LAST


def test_a_call_that_has_an_agent_leaves_the_queue_though_livekit_fails_for_a_moment() -> None:
    failures = [LiveKitUnavailableError("away"), LiveKitUnavailableError("away")]
    clock = ManualClock()

    async def describe() -> None:
        if failures:
            raise failures.pop()

    clock.run(until_done(describe, clock))
    assert not failures


def test_livekit_that_stays_away_ends_the_attempts(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()

    async def describe() -> None:
        raise LiveKitUnavailableError("away")

    clock.run(until_done(describe, clock))
    assert clock.now() < 60
    assert "still counts as waiting: away" in caplog.text


async def test_as_many_callers_are_served_as_may_come() -> None:
    class Waiting:
        def __init__(self) -> None:
            self.ended = asyncio.Event()

        async def serve(self, *_: str) -> None:
            await self.ended.wait()

        def leave(self) -> None:
            self.ended.set()

    class Request:
        def __init__(self, number: int) -> None:
            self.room = SimpleNamespace(name=f"room-{number}", metadata="")
            self.job = SimpleNamespace(room=self.room, metadata="")
            self.is_taken: bool | None = None

        async def reject(self, *, terminate: bool) -> None:
            self.is_taken = terminate

    desk: Any = Waiting()
    rooms = Rooms(desk, 60)
    requests: list[Any] = [Request(number) for number in range(61)]
    for request in requests:
        await rooms.take(request)
    await rooms.aclose()
    assert [request.is_taken for request in requests] == [True] * 60 + [False]


class AwayLiveKit:
    """A LiveKit that says nothing of its rooms, and closes them."""

    def __init__(self) -> None:
        self.closed_at: list[float] = []

    async def rooms(self) -> Any:
        raise LiveKitUnavailableError("away")

    async def close_room(self, _: str) -> None:
        self.closed_at.append(asyncio.get_running_loop().time())


def test_a_caller_who_waits_is_not_given_up_because_the_receptionist_is_cut_off() -> None:
    options = DeskOptions(agent_name="desk", language="en", phrases=Phrases({}))
    livekit: Any = AwayLiveKit()
    anything: Any = None
    clock = SystemClock()

    async def main() -> None:
        room = FakeRoom()
        caller = room.enter("caller", "STANDARD")
        desk = Desk(options, anything, anything, anything)
        guest = _Guest(room.room, anything, livekit, anything, options)
        waiting = asyncio.create_task(desk._queue(guest, CallMark(caller="c"), ""))
        await clock.sleep(5.0)
        room.lose()
        await clock.sleep(20.0)
        room.is_back()
        await clock.sleep(5.0)
        caller = room.enter(caller.identity, "STANDARD")
        await clock.sleep(2.0)
        room.leave(caller)
        await waiting

    ManualClock().run(main())
    [closed_at] = livekit.closed_at
    assert closed_at == pytest.approx(40.0, abs=1.5)


class Opened(FakeRoom):
    """A room whose name comes again, with LiveKit's id of the time that it is open."""

    def __init__(self, room_id: str) -> None:
        super().__init__()
        self._id = room_id
        self.methods: dict[str, Callable[[rtc.RpcInvocationData], Any]] = {}
        self.local_participant = SimpleNamespace(
            register_rpc_method=self.methods.__setitem__, set_attributes=self._show
        )

    @property
    async def sid(self) -> str:
        return self._id

    async def _show(self, _: dict[str, str]) -> None: ...

    async def leave_message(self, text: str) -> None:
        payload = Letter(text=text).model_dump_json()
        await self.methods[METHOD](rtc.RpcInvocationData("1", "visitor", payload, 5.0))


class Box:
    """Messages by their ids. The first answers of its store are lost."""

    def __init__(self, *, lost: int = 0) -> None:
        self.messages: dict[str, str] = {}
        self._lost = lost

    async def take(self, message: Message) -> None:
        self.messages.setdefault(message.id, message.text)
        if self._lost:
            self._lost -= 1
            raise StoreError("no answer")


async def entered(box: Box, room_id: str) -> Opened:
    room = Opened(room_id)
    await Letters(room.room, box, "shop", SystemClock(), lambda: None).open()
    return room


async def test_a_later_call_in_a_room_of_the_same_name_leaves_a_message_of_its_own() -> None:
    box = Box()
    for room_id, text in [("RM_1", "Call Ann."), ("RM_2", "Call Ben."), ("RM_2", "Call Ben.")]:
        room = await entered(box, room_id)
        await room.leave_message(text)
    assert [*box.messages.values()] == ["Call Ann.", "Call Ben."]


async def test_a_message_that_is_sent_again_is_stored_once_and_an_edited_one_is_not_lost() -> None:
    box = Box(lost=2)
    room = await entered(box, "RM_1")
    for text in ("Call Ann.", "Call Ann."):
        with pytest.raises(rtc.RpcError) as refused:
            await room.leave_message(text)
        assert refused.value.code == FAILED
    await room.leave_message("Call Ann at 5.")
    assert [*box.messages.values()] == ["Call Ann.", "Call Ann at 5."]


async def test_a_message_that_is_edited_for_the_next_receptionist_is_not_lost() -> None:
    box = Box(lost=1)
    before, after = await entered(box, "RM_1"), await entered(box, "RM_1")
    with pytest.raises(rtc.RpcError):
        await before.leave_message("Call Ann.")
    await after.leave_message("Call Ann at 5.")
    assert [*box.messages.values()] == ["Call Ann.", "Call Ann at 5."]
