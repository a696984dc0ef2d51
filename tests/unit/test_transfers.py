"""The transfers of a call: who is not called at all, and that the caller learns why."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import rtc

from agent.phone.transfer.room import CallRoom
from agent.phone.transfer.transfers import TransferParts, Transfers
from llm_router.clock import checkpoint
from llm_router.routing.phrases import Phrases
from llm_router.testing import ManualClock
from llm_router.voice.phone.setup import Person, PhoneSetup
from tests.rooms import FakeRoom

WORDS = {f"transfer.{end}": [f"{end} {{name}}"] for end in ("begin", "busy", "failed", "declined")}


class Session:
    """A session that says everything at once, unless a test takes `is_said` back."""

    def __init__(self, room: FakeRoom) -> None:
        self.said: list[str] = []
        self.listens: list[bool] = []
        self.is_said = asyncio.Event()
        self.is_said.set()
        self.input = SimpleNamespace(set_audio_enabled=self.listens.append)
        self._room = room

    @property
    def room_io(self) -> Any:
        """LiveKit's part for the room, which forgets a caller whom it loses."""
        return SimpleNamespace(linked_participant=self._room.remote_participants.get("sip"))

    def say(self, words: str, *, allow_interruptions: bool) -> Any:
        assert not allow_interruptions
        self.said.append(words)
        return SimpleNamespace(wait_for_playout=self._wait)

    async def _wait(self) -> None:
        await self.is_said.wait()


class Call:
    """A call by telephone, in which no telephone of another can be called."""

    def __init__(self, caller: str) -> None:
        self.fake = FakeRoom()
        self.session = Session(self.fake)
        self.on_hold: list[bool] = []
        phone = self.fake.enter(status="active")
        phone.attributes["sip.phoneNumber"] = caller
        nothing: Any = None
        self.transfers = Transfers(
            TransferParts(
                room=CallRoom(cast(Any, self.session), self.fake.room, nothing),
                setup=PhoneSetup(),
                phrases=Phrases({"en": WORDS}),
                language="en",
                tts=nothing,
                stt=nothing,
                clock=ManualClock(),
                hand_over=nothing,
                leave=nothing,
                on_hold=self.on_hold.append,
            )
        )


@pytest.mark.parametrize("kind", ["warm", "cold"])
@pytest.mark.parametrize(
    ("number", "caller"),
    [("+49301234567", "+49301234567"), ("+49301234567", "49301234567"), ("100", "100")],
)
async def test_a_person_who_calls_themselves_learns_that_their_line_is_busy(
    kind: Any, number: str, caller: str
) -> None:
    call = Call(caller)
    reason = await call.transfers.transfer(Person(name="Mara", number=number, transfer=kind), "")
    assert reason == "the person's line is busy"
    assert call.session.said == ["begin Mara", "busy Mara"]
    assert (call.on_hold, call.session.listens) == ([True, False], [False, True])


async def test_a_caller_who_is_not_seen_for_a_moment_learns_that_it_has_failed() -> None:
    call = Call("+4940")
    call.fake.lose()
    assert await call.transfers.transfer(Person(name="Mara", number="+49301234567"), "")
    assert call.session.said == ["begin Mara", "failed Mara"]
    assert call.fake.connection_state == rtc.ConnectionState.CONN_RECONNECTING


async def test_one_whose_caller_has_hung_up_says_no_more() -> None:
    call = Call("+4940")
    call.fake.leave(call.fake.remote_participants["sip"])
    reason = await call.transfers.transfer(Person(name="Mara", number="+49301234567"), "")
    assert reason == "the caller has left"
    assert call.session.said == ["begin Mara"]


async def test_two_tools_at_once_transfer_a_caller_once() -> None:
    call = Call("+49301234567")
    call.session.is_said.clear()
    mara = Person(name="Mara", number="+49301234567")
    first = asyncio.create_task(call.transfers.transfer(mara, ""))
    await checkpoint()
    assert await call.transfers.transfer(mara, "") == "a transfer is under way"
    call.session.is_said.set()
    assert await first == "the person's line is busy"
    assert call.session.said == ["begin Mara", "busy Mara"]
    assert call.on_hold == [True, False]
