"""The room of a transfer: a person's number is not shown in it, and who has left it is known."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, Literal, cast

import pytest
from google.protobuf.json_format import MessageToDict
from livekit import api, rtc

from agent.phone.transfer.destination import Telephone
from agent.phone.transfer.line import CallerLine
from agent.phone.transfer.room import CallRoom
from agent.phone.transfer.stage import Briefing, CallStage
from agent.phone.transfer.steps import Event
from agent.staff import PERSON
from llm_router.clock import SystemClock
from llm_router.testing import ManualClock
from tests.rooms import FakeRoom

NUMBER = "+49301234567"
MARA = Telephone(host="sip.example.org", user=NUMBER, caller_id="+493099", max_minutes=5)


class Sip:
    """LiveKit's SIP interface, which remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[api.CreateSIPParticipantRequest] = []

    async def create_sip_participant(self, request: api.CreateSIPParticipantRequest) -> None:
        self.asked.append(request)


async def test_a_persons_number_is_dialed_and_not_shown_to_the_room() -> None:
    sip = Sip()
    room = CallRoom(cast(Any, None), cast(Any, SimpleNamespace(name="r")), cast(Any, _api(sip)))
    await room.dial(f"{PERSON}1", MARA, 20)
    [request] = sip.asked
    assert (request.sip_call_to, request.hide_phone_number) == (NUMBER, True)
    # LiveKit makes the name from the number where there is none.
    assert (request.participant_identity, request.participant_name) == (f"{PERSON}1",) * 2
    shown = MessageToDict(request)
    for key in ("sipCallTo", "sipNumber", "trunk"):  # which LiveKit's SIP server alone reads
        del shown[key]
    assert NUMBER not in str(shown)


def _api(sip: Sip) -> SimpleNamespace:
    return SimpleNamespace(sip=sip)


class Session(rtc.EventEmitter[str]):
    """A session that says when it closes."""


def test_a_caller_who_is_lost_with_livekit_was_not_transferred() -> None:
    async def scene() -> None:
        fake, session, clock = FakeRoom(), Session(), SystemClock()
        caller = fake.enter(status="active")
        room = CallRoom(cast(Any, session), fake.room, cast(Any, None))
        leaving = asyncio.ensure_future(CallerLine(room, "sip", "tel:+4930").caller_left())
        await clock.sleep(1.0)
        fake.lose()
        await clock.sleep(3.0)
        fake.is_back(caller)
        await clock.sleep(100.0)
        assert not leaving.done()
        fake.leave(fake.remote_participants["sip"])
        await leaving
        await CallerLine(room, "sip", "tel:+4930").caller_left()
        assert not any({**fake._events, **session._events}.values())

    ManualClock().run(scene())


def test_caller_and_person_who_are_lost_with_livekit_do_not_end_a_transfer() -> None:
    posted: list[Event] = []

    async def scene() -> None:
        fake, session, clock = FakeRoom(), Session(), SystemClock()
        people = [fake.enter(status="active"), fake.enter(f"{PERSON}1", status="active")]
        room = CallRoom(cast(Any, session), fake.room, cast(Any, None))
        briefing = Briefing(
            text="", accepting=(), declining=(), tts=cast(Any, Silent()), stt=cast(Any, None)
        )
        stage = CallStage(room, "sip", f"{PERSON}1", [MARA], briefing, clock)
        async with stage.observed(posted.append):
            fake.lose()
            await clock.sleep(3.0)
            fake.is_back(*people)
            await clock.sleep(100.0)
            assert posted == []
            fake.leave(fake.remote_participants[f"{PERSON}1"])
            assert posted == [Event.PERSON_LEFT]
            fake.leave(fake.remote_participants["sip"])
        assert posted == [Event.PERSON_LEFT, Event.CALLER_LEFT]
        assert not any({**fake._events, **session._events}.values())

    ManualClock().run(scene())


class Silent:
    """A voice that says nothing."""

    @asynccontextmanager
    async def stream(self, **_: Any) -> AsyncIterator[Any]:
        yield self

    def push_text(self, _: str) -> None: ...

    def end_input(self) -> None: ...

    def __aiter__(self) -> "Silent":
        return self

    async def __anext__(self) -> Any:
        raise StopAsyncIteration


Rings = Literal["no", "as it comes", "then", "seen late"]


class Exchange:
    """LiveKit's SIP interface: the first trunk refuses a call, the second answers it."""

    def __init__(self, fake: FakeRoom, status: int, rings: Rings) -> None:
        self._fake = fake
        self._status = status
        self._rings = rings
        self.hosts: list[str] = []

    async def create_sip_participant(self, request: api.CreateSIPParticipantRequest) -> None:
        self.hosts.append(request.trunk.hostname)
        came_as = "ringing" if self._rings == "as it comes" else "dialing"
        person = self._fake.enter(request.participant_identity, status=came_as)
        if len(self.hosts) > 1:
            self._fake.become(person, "active")
            return
        if self._rings == "then":
            self._fake.become(person, "ringing")
        if self._rings == "seen late":
            call_later = asyncio.get_running_loop().call_later
            call_later(0.1, self._fake.become, person, "ringing")
            call_later(0.2, self._fake.leave, person)
        else:
            self._fake.leave(person)
        details = {"sip_status_code": str(self._status), "sip_status": "no"}
        raise api.SipCallError("unavailable", "refused", status=503, metadata=details)


FIRST, SECOND = (
    Telephone(host=host, user=NUMBER, caller_id="+493099", max_minutes=5) for host in ("a", "b")
)


async def called_by_two_trunks(
    status: int, rings: Rings
) -> tuple[Event, Sequence[str], Sequence[Event]]:
    """Returns what became of a call, by which trunks it went, and the events on the way."""
    fake, session, posted = FakeRoom(), Session(), list[Event]()
    fake.enter(status="active")
    exchange = Exchange(fake, status, rings)
    room = CallRoom(cast(Any, session), fake.room, cast(Any, _api(cast(Any, exchange))))
    briefing = Briefing(
        text="", accepting=(), declining=(), tts=cast(Any, Silent()), stt=cast(Any, None)
    )
    stage = CallStage(room, "sip", f"{PERSON}1", [FIRST, SECOND], briefing, SystemClock())
    async with stage.observed(posted.append):
        event = await stage.dial()
    return event, exchange.hosts, posted


def test_where_a_carrier_refuses_the_person_is_called_by_the_next_trunk() -> None:
    found = ManualClock().run(called_by_two_trunks(503, "no"))
    assert found == (Event.ANSWERED, ["a", "b"], [])


@pytest.mark.parametrize(
    ("status", "rings", "event"),
    [
        (486, "no", Event.BUSY),
        (503, "then", Event.UNREACHABLE),
        (503, "as it comes", Event.UNREACHABLE),
        (503, "seen late", Event.UNREACHABLE),
        (408, "then", Event.RANG_OUT),
    ],
)
def test_a_person_who_is_busy_or_whose_telephone_has_rung_is_not_called_again(
    status: int, rings: Rings, event: Event
) -> None:
    found, hosts, _ = ManualClock().run(called_by_two_trunks(status, rings))
    assert (found, hosts) == (event, ["a"])


class Publisher:
    """The agent in LiveKit's room, whose first track that is unpublished takes for ever."""

    def __init__(self) -> None:
        self.track_publications = {"voice": None}
        self.published: list[str] = []
        self.unpublishing = asyncio.Event()
        self.allows_all: list[bool] = []

    async def publish_track(self, track: rtc.LocalAudioTrack, _: object) -> SimpleNamespace:
        self.published.append(track.name)
        return SimpleNamespace(sid=track.name)

    async def unpublish_track(self, sid: str) -> None:
        self.published.remove(sid)
        if not self.unpublishing.is_set():
            self.unpublishing.set()
            await asyncio.Event().wait()

    def set_track_subscription_permissions(
        self, *, allow_all_participants: bool, participant_permissions: object = ()
    ) -> None:
        self.allows_all.append(allow_all_participants)


async def test_an_end_of_the_hold_that_is_cut_off_leaves_no_track_and_no_limit() -> None:
    agent = Publisher()
    connected = SimpleNamespace(local_participant=agent, isconnected=lambda: True)
    room = CallRoom(cast(Any, None), cast(Any, connected), cast(Any, None))

    async def hold() -> None:
        async with room.on_hold("sip", persons=[f"{PERSON}1"]):
            assert agent.published == ["hold music", "briefing"]

    holding = asyncio.create_task(hold())
    await agent.unpublishing.wait()
    holding.cancel()
    await asyncio.wait([holding])
    assert holding.cancelled()
    assert agent.published == []
    assert agent.allows_all == [False, False, True]
