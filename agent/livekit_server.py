"""Calls LiveKit's server API: whether the server works, and which agents are in a room."""

import asyncio
import logging
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager
from typing import Self
from weakref import WeakValueDictionary

import aiohttp
from google.protobuf.message import DecodeError
from livekit import api
from livekit.protocol.agent_dispatch import AgentDispatch
from livekit.protocol.models import DataPacket, ParticipantInfo

from agent.dispatch import Dispatch
from agent.dispatches import is_agent, is_serving, is_taken, last_of
from agent.livekit_api import open_api
from agent.staff import PERSON, People, is_caller
from llm_router.clock import Clock, SystemClock

log = logging.getLogger(__name__)

_TIMEOUT = 4.0
"""Seconds for what LiveKit is asked at a time; a person is waiting."""
_LONGEST_DIAL = 85.0  # s; LiveKit's own limit of a dial is 80


class LiveKitError(Exception):
    """LiveKit cannot do its part. The message says what to do next and holds no key."""


class LiveKitUnavailableError(LiveKitError):
    """LiveKit does not answer, or fails; it may work again later."""


class LiveKitRefusedError(LiveKitError):
    """LiveKit refuses the keys, or the server at LIVEKIT_URL is not LiveKit; a setting is wrong."""


class LiveKitServer:
    """LiveKit's server API as the HTTP process and the worker need it; use it in `async with`.

    Every method raises LiveKitUnavailableError or LiveKitRefusedError, within `timeout` seconds.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        api_secret: str,
        timeout: float = _TIMEOUT,
        clock: Clock | None = None,
    ) -> None:
        self._url = url
        self._key = api_key
        self._secret = api_secret
        self._timeout = timeout
        self._clock = clock or SystemClock()
        self._dispatching = WeakValueDictionary[str, asyncio.Lock]()

    async def __aenter__(self) -> Self:
        self._api = open_api(self._url, self._key, self._secret)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._api.aclose()

    @property
    def url(self) -> str:
        return self._url

    def agent_token(self, room: str, identity: str, attributes: Mapping[str, str]) -> str:
        """Makes a token with which an agent joins a room by itself."""
        grants = api.VideoGrants(
            room_join=True, room=room, agent=True, can_update_own_metadata=True
        )
        token = api.AccessToken(self._key, self._secret).with_kind("agent").with_identity(identity)
        return token.with_attributes(dict(attributes)).with_grants(grants).to_jwt()

    async def check(self) -> None:
        """Returns once LiveKit has answered and accepted the keys."""
        async with self.in_time():
            await self._room_exists("-")

    async def rooms(self) -> Mapping[str, str]:
        """Returns the metadata of each room, by its name."""
        async with self.in_time():
            answer = await self._api.room.list_rooms(api.ListRoomsRequest())
        return {room.name: room.metadata for room in answer.rooms}

    async def open_room(
        self,
        room: str,
        agent_name: str,
        *,
        join_within: int,
        metadata: str = "",
        dispatch: Dispatch | None = None,
    ) -> None:
        """Makes a room and calls the agent into it, once; does nothing if the room exists.

        The room is closed, and the agent leaves, if no visitor joins within `join_within` seconds.
        Participants can read its `metadata`; `dispatch` goes to the agent alone.
        """
        described = (dispatch or Dispatch()).to_metadata()
        agent = api.RoomAgentDispatch(agent_name=agent_name, metadata=described)
        request = api.CreateRoomRequest(
            name=room, empty_timeout=join_within, metadata=metadata, agents=[agent]
        )
        async with self.in_time():
            await self._api.room.create_room(request)

    async def restore_room(self, room: str, metadata: str, *, join_within: int) -> None:
        """Makes a room again that LiveKit lost, or describes the one that clients have made."""
        request = api.CreateRoomRequest(name=room, empty_timeout=join_within, metadata=metadata)
        async with self.in_time():
            await self._api.room.create_room(request)
        await self.describe_room(room, metadata)

    async def describe_room(self, room: str, metadata: str) -> None:
        """Replaces the metadata of a room; does nothing if the room is gone."""
        async with self.in_time():
            with _absence_ignored():
                request = api.UpdateRoomMetadataRequest(room=room, metadata=metadata)
                await self._api.room.update_room_metadata(request)

    async def close_room(self, room: str) -> None:
        """Closes a room, in which everybody is disconnected."""
        async with self.in_time():
            with _absence_ignored():
                await self._api.room.delete_room(api.DeleteRoomRequest(room=room))

    async def ensure_agent(
        self,
        room: str,
        agent_name: str,
        metadata: str = "",
        *,
        next_agent: Callable[[Dispatch | None], Awaitable[Dispatch | None]] | None = None,
    ) -> None:
        """Calls the agent into a room that exists, unless it is there or on its way.

        The next agent of a room is described as its last one was, so that the limits of the call
        stay; the first one by `metadata`. `next_agent` is given what described the last one, None
        for none, and describes the next one; it returns None if that one is on its way already.
        """
        async with self.in_time():
            if not await self._room_exists(room):
                return
            # One at a time: two visitors of one room must not call two agents.
            async with self._dispatching.setdefault(f"{room}/{agent_name}", asyncio.Lock()):
                dispatches = await self._dispatches(room, agent_name)
                people = await self._participants(room)
                present = {one.identity for one in people}
                now = self._clock.wall()
                if any(is_serving(each, agent_name, present, now) for each in dispatches):
                    return
                # A server that was started anew knows only the agent, who has come back.
                if not dispatches and any(is_agent(one, agent_name) for one in people):
                    return
                last = last_of(dispatches)
                described = last.next() if last else Dispatch.from_metadata(metadata)
                dispatch = await next_agent(last) if next_agent else described
                if dispatch is None:
                    return
                await self._delete(dispatches, room)
                await self._dispatch(room, agent_name, dispatch)

    async def evict(self, room: str, agent_name: str, identity: str = "") -> bool:
        """Removes the room's agents, or their ghosts, and everything that calls them there.

        LiveKit would let a dead agent stay for a quarter of a minute, and one that only hangs could
        go on speaking. A person whom it has dialled, and not connected yet, goes as well.
        `identity`: one more that is to go. Returns whether a caller is left.
        """
        async with self.in_time():
            if not await self._room_exists(room):
                return False
            # A deleted dispatch ends its agent: one that comes late must not be the second there.
            await self._delete(await self._dispatches(room, agent_name), room)
            people = await self._participants(room)
            for person in people:
                is_theirs = person.identity.startswith(PERSON)
                if is_agent(person, agent_name) or is_theirs or person.identity == identity:
                    await self._remove(room, person.identity)
            return any(is_caller(person) for person in people)

    async def dismiss(self, room: str, agent_name: str, epoch: int, identity: str = "") -> None:
        """Takes back the call for the agent of an epoch, and removes it if `identity` names it."""
        async with self.in_time():
            if not await self._room_exists(room):
                return
            dispatches = await self._dispatches(room, agent_name)
            its = [d for d in dispatches if Dispatch.from_metadata(d.metadata).epoch == epoch]
            await self._delete(its, room)
            if identity:
                await self._remove(room, identity)

    async def remove(self, room: str, identity: str) -> None:
        """Removes a participant; does nothing if they are gone."""
        async with self.in_time():
            await self._remove(room, identity)

    async def send(self, room: str, identity: str, topic: str, data: bytes) -> None:
        """Sends data to one participant, and to no other."""
        request = api.SendDataRequest(
            room=room, data=data, topic=topic, destination_identities=[identity],
            kind=DataPacket.Kind.RELIABLE,
        )  # fmt: skip
        async with self.in_time():
            await self._api.room.send_data(request)

    async def people(self, room: str) -> Sequence[ParticipantInfo]:
        """Returns the participants of a room; none if there is no such room."""
        async with self.in_time():
            return await self._participants(room)

    async def find_trunk(self, name: str, mark: str) -> str:
        """Returns the id of a trunk for calls out of that name, ours by its mark; empty: none."""
        async with self.in_time():
            listed = await self._api.sip.list_outbound_trunk(api.ListSIPOutboundTrunkRequest())
        named = [one for one in listed.items if one.name == name]
        found = max(named, key=lambda one: one.metadata == mark, default=None)
        return found.sip_trunk_id if found else ""

    async def dial(self, request: api.CreateSIPParticipantRequest) -> None:
        """Dials a number, and returns once it is answered, as the request says.

        Raises ServerError as LiveKit answers it: its SIP status says what became of the call. Also
        raises ClientError and TimeoutError, after which the number may have been dialed.
        """
        await self._api.sip.create_sip_participant(request, timeout=_LONGEST_DIAL)

    async def room_id(self, room: str) -> str:
        """Returns LiveKit's id of the room as it is now; empty if there is none."""
        async with self.in_time():
            answer = await self._api.room.list_rooms(api.ListRoomsRequest(names=[room]))
            return answer.rooms[0].sid if answer.rooms else ""

    async def call_agent(self, room: str, agent_name: str, dispatch: Dispatch) -> None:
        """Calls an agent into a room that has none."""
        async with self.in_time():
            await self._dispatch(room, agent_name, dispatch)

    async def is_present(self, room: str, identity: str, agent_name: str = "") -> bool:
        """Returns whether a participant of this identity is there, or any agent of that name."""
        async with self.in_time():
            return any(
                each.identity == identity or (agent_name and is_agent(each, agent_name))
                for each in await self._participants(room)
            )

    async def has_job(self, room: str, agent_name: str) -> bool:
        """Returns whether a worker has taken the call for the agent of that name in the room."""
        async with self.in_time():
            if not await self._room_exists(room):
                return False
            return any(is_taken(each) for each in await self._dispatches(room, agent_name))

    async def has_only_callers(self, room: str) -> bool:
        """Returns whether a caller is in the room, no agent of any name, and no person for them."""
        async with self.in_time():
            people = await self._participants(room)
        has_agent = any(each.kind == ParticipantInfo.Kind.AGENT for each in people)
        found = People.of(people)
        return bool(found.callers) and not has_agent and not found.answering

    async def persons(self, room: str) -> People:
        """Returns the persons in the room, without agents."""
        async with self.in_time():
            found = await self._participants(room)
        return People.of(found)

    async def last_dispatch(self, room: str, agent_name: str) -> Dispatch | None:
        """Describes the last agent that was called to a room; None: there was none, or no room."""
        async with self.in_time():
            if not await self._room_exists(room):
                return None
            listed = await self._dispatches(room, agent_name)
        return last_of(listed)

    async def _remove(self, room: str, identity: str) -> None:
        with _absence_ignored():
            await self._api.room.remove_participant(
                api.RoomParticipantIdentity(room=room, identity=identity)
            )

    async def _participants(self, room: str) -> Sequence[ParticipantInfo]:
        with _absence_ignored():
            request = api.ListParticipantsRequest(room=room)
            return (await self._api.room.list_participants(request)).participants
        return []

    async def _dispatches(self, room: str, agent_name: str) -> Sequence[AgentDispatch]:
        listed = await self._api.agent_dispatch.list_dispatch(room)
        return [each for each in listed if each.agent_name == agent_name]

    async def _delete(self, dispatches: Sequence[AgentDispatch], room: str) -> None:
        for each in dispatches:
            with _absence_ignored():
                await self._api.agent_dispatch.delete_dispatch(each.id, room)

    async def _dispatch(self, room: str, agent_name: str, dispatch: Dispatch) -> None:
        await self._api.agent_dispatch.create_dispatch(
            api.CreateAgentDispatchRequest(
                agent_name=agent_name, room=room, metadata=dispatch.to_metadata()
            )
        )

    async def _room_exists(self, room: str) -> bool:
        # Checked first because LiveKit does not answer a request for an absent room's dispatches.
        answer = await self._api.room.list_rooms(api.ListRoomsRequest(names=[room]))
        return bool(answer.rooms)

    @asynccontextmanager
    async def in_time(self) -> AsyncIterator[None]:
        """Ends the block after `timeout` seconds, and raises LiveKit's errors as ours."""
        try:
            # livekit-api 1.2 has a timeout option of its own but ignores it.
            async with asyncio.timeout(self._timeout):
                yield
        except (aiohttp.ClientError, TimeoutError) as error:
            log.warning("LiveKit at %s does not answer: %s", self._url, type(error).__name__)
            raise LiveKitUnavailableError(
                "Nothing answers at LIVEKIT_URL: start livekit-server there, or correct the"
                " setting. The log has the address."
            ) from None
        except api.ServerError as error:
            log.warning("LiveKit at %s answers %d (%s)", self._url, error.status, error.code)
            raise _error_for(error.status) from None
        except DecodeError:
            log.warning("the server at %s is not LiveKit", self._url)
            raise _error_for(404) from None


@contextmanager
def _absence_ignored() -> Iterator[None]:
    """Passes over LiveKit's answer that a participant, a dispatch or a room is gone already."""
    try:
        yield
    except api.ServerError as error:
        if error.code != api.ServerErrorCode.NOT_FOUND:
            raise


def _error_for(status: int) -> LiveKitError:
    if status in {401, 403}:
        return LiveKitRefusedError(
            "LiveKit refuses the keys: LIVEKIT_API_KEY and LIVEKIT_API_SECRET must be a pair from"
            " the LiveKit server's own configuration (of `livekit-server --dev`: devkey, secret)."
        )
    if status == 404:  # noqa: PLR2004  the answer of any other web server
        return LiveKitRefusedError("The server at LIVEKIT_URL is not LiveKit: correct the setting.")
    return LiveKitUnavailableError(
        f"LiveKit answered {status}. Try again in a moment; if it stays so, its log says why."
    )
