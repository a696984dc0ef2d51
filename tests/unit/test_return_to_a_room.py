"""A visitor who returns to their room has its site's modes and its agent's limits there."""

from collections.abc import Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import api
from livekit.protocol.agent_dispatch import AgentDispatch

from agent.dispatch import Dispatch, SiteTerms
from agent.livekit_server import LiveKitServer
from agent.places import PlaceLimits
from agent.reception import Reception, ReceptionOptions
from agent.receptionist.queue import CallMark, reception_name
from agent.survival.identity import ROOM_ID, TERMS
from agent.survival.rescuer import Rescuer
from agent.visitor_sites import VisitorSites
from agent.visits import Admission, Visit
from llm_router.clock import utc_now
from llm_router.gateway.rates import RateLimit
from llm_router.store.sites import StoredSite
from llm_router.testing import ManualClock
from llm_router.voice.calls import Call
from llm_router.voice.site import Mode, parse_site

NAME = "desk"
VISIT = Visit(identity="visitor-1", room="web-1")
CLOCK = ManualClock()


def site(name: str, *modes: str) -> StoredSite:
    record = parse_site({"name": name, "origins": [f"https://{name}.example"], "modes": [*modes]})
    now = utc_now(CLOCK)
    key = f"site_{name}-0123456789"
    return StoredSite(record=record, key=key, version=1, created_at=now, updated_at=now)


TEXT, ALL = site("text", "text"), site("all", "text", "voice")


class Rooms:
    """LiveKit with the visitor's room, to which no agent needs to be called."""

    def __init__(self, site_name: str) -> None:
        self.mark = CallMark(caller="ab12", site=site_name).to_metadata(NAME)

    async def rooms(self) -> dict[str, str]:
        return {VISIT.room: self.mark}

    async def ensure_agent(self, room: str, name: str, **_: Any) -> None:
        assert (room, name) == (VISIT.room, NAME)

    @asynccontextmanager
    async def in_time(self) -> Any:
        yield


def reception(livekit: object, rescuer: Rescuer | None = None) -> Reception:
    async def stored() -> tuple[StoredSite, ...]:
        return TEXT, ALL

    options = ReceptionOptions(
        agent_name=NAME,
        secret="s",
        join_within=60,
        places=PlaceLimits(per_address=1, total=1, queue=0),
        rate=RateLimit("1/hour"),
    )
    sites = VisitorSites(stored, clock=CLOCK)
    return Reception(cast(Any, livekit), options, CLOCK, rescuer=rescuer, sites=sites)


@pytest.mark.parametrize(
    ("began", "comes_from", "modes"),
    [
        ("text", None, {"text"}),
        ("text", ALL, {"text"}),
        ("text", TEXT, {"text"}),
        ("all", TEXT, {"text", "voice"}),
        ("", TEXT, {"text", "voice"}),
        ("removed", None, {"text"}),
    ],
)
async def test_the_modes_are_those_of_the_site_from_which_the_call_began(
    began: str, comes_from: StoredSite | None, modes: set[Mode]
) -> None:
    admission = await reception(Rooms(began)).receive(VISIT, None, "ann", site=comes_from)
    assert (admission.visit, set(admission.modes)) == (VISIT, modes)


class Api:
    """LiveKit's server API, with the visitor's room, from which the last agent is gone."""

    def __init__(self, mark: CallMark, agent_name: str, last: Dispatch) -> None:
        self.room = api.Room(name=VISIT.room, metadata=mark.to_metadata(NAME))
        self.called = [AgentDispatch(agent_name=agent_name, metadata=last.to_metadata())]

    async def list_rooms(self, _: object) -> api.ListRoomsResponse:
        return api.ListRoomsResponse(rooms=[self.room])

    async def list_participants(self, _: object) -> api.ListParticipantsResponse:
        return api.ListParticipantsResponse()

    async def list_dispatch(self, _: str) -> list[AgentDispatch]:
        return self.called

    async def delete_dispatch(self, _: str, room: str) -> None:
        self.called = []

    async def create_dispatch(self, request: api.CreateAgentDispatchRequest) -> None:
        self.called = [AgentDispatch(agent_name=request.agent_name, metadata=request.metadata)]


@pytest.mark.parametrize("waiting_since", [None, 5.0])
async def test_the_next_agent_or_receptionist_has_the_limits_of_the_last_one(
    waiting_since: float | None,
) -> None:
    mark = CallMark(caller="ab12", site="all", waiting_since=waiting_since)
    name = NAME if waiting_since is None else reception_name(NAME)
    last = Dispatch(assistant="shop", terms=SiteTerms(site="all", max_cost=2.5), epoch=2)
    livekit = LiveKitServer("ws://localhost", "key", "secret", clock=CLOCK)
    fake = Api(mark, name, last)
    livekit._api = cast(Any, SimpleNamespace(room=fake, agent_dispatch=fake))
    await reception(livekit).receive(VISIT, None, "ann", assistant="other")
    [called] = fake.called
    assert called.agent_name == name
    assert Dispatch.from_metadata(called.metadata) == last.next()


class LostApi(Api):
    """LiveKit after it was started anew: it knows no room, or one that clients have made again."""

    def __init__(self, *, agents: Sequence[str] = (), has_room: bool = True) -> None:
        super().__init__(CallMark(caller=""), NAME, Dispatch())
        self.room = api.Room(name=VISIT.room if has_room else "")
        self.called = []
        self.agents = agents

    async def create_room(self, request: api.CreateRoomRequest) -> None:
        self.room = api.Room(name=request.name)  # one that exists keeps its metadata

    async def update_room_metadata(self, request: api.UpdateRoomMetadataRequest) -> None:
        self.room = api.Room(name=request.room, metadata=request.metadata)

    async def list_participants(self, _: object) -> api.ListParticipantsResponse:
        people = [
            api.ParticipantInfo(identity=each, attributes={"lk.agent.name": NAME})
            for each in self.agents
        ]
        return api.ListParticipantsResponse(participants=people)


class Calls:
    """The store of calls, with the visitor's call if it goes on."""

    def __init__(self, *, goes_on: bool = True) -> None:
        now = utc_now(CLOCK)
        terms = SiteTerms(site="all").model_dump(mode="json")
        call = Call(
            id="c", room=VISIT.room, epoch=3, caller="ab12",
            metadata={TERMS: terms, ROOM_ID: "RM_1"},
            last_beat=now, started_at=now, updated_at=now,
        )  # fmt: skip
        self.call = call if goes_on else None

    async def going_on(self, room: str) -> Call | None:
        return self.call if room == VISIT.room else None

    async def advance(self, room: str, epoch: int, _: object) -> bool:
        assert self.call is not None
        return epoch == self.call.epoch + 1


async def come_back(fake: LostApi, calls: Calls) -> Admission:
    livekit = LiveKitServer("ws://localhost", "key", "secret", clock=CLOCK)
    livekit._api = cast(Any, SimpleNamespace(room=fake, agent_dispatch=fake))

    async def farewell(room: str, identity: str) -> None:
        """Is not needed here."""

    rescuer = Rescuer(livekit, NAME, cast(Any, calls), CLOCK, farewell)
    return await reception(livekit, rescuer).receive(VISIT, None, "ann")


@pytest.mark.parametrize("has_room", [True, False])
async def test_a_call_that_livekit_has_forgotten_goes_on_in_its_room(*, has_room: bool) -> None:
    fake = LostApi(has_room=has_room)
    assert (await come_back(fake, Calls())).visit == VISIT
    assert CallMark.read(fake.room.metadata, NAME) == CallMark(caller="ab12", site="all")
    [called] = fake.called
    assert Dispatch.from_metadata(called.metadata).epoch == 4


async def test_an_agent_that_has_come_back_by_itself_is_left_alone() -> None:
    fake = LostApi(agents=["agent-web-1-3"])
    assert (await come_back(fake, Calls())).visit == VISIT
    assert fake.called == []


@pytest.mark.parametrize(
    "change", [{"state": "text"}, {"state": "handed_over"}, {"metadata": {}}], ids=str
)
async def test_the_room_of_a_call_to_which_no_agent_would_come_is_not_opened_again(
    change: dict[str, Any],
) -> None:
    fake, calls = LostApi(), Calls()
    assert calls.call
    calls.call = replace(calls.call, **change)
    admission = await come_back(fake, calls)
    assert admission.visit.room == fake.room.name != VISIT.room


async def test_a_room_without_a_call_is_not_opened_again() -> None:
    fake = LostApi()
    admission = await come_back(fake, Calls(goes_on=False))
    assert admission.visit.identity == VISIT.identity
    assert admission.visit.room == fake.room.name != VISIT.room
