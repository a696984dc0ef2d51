"""Calls LiveKit's server API: whether the server works, and which agents are in a room."""

import asyncio
import logging
import warnings
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Self

import aiohttp
from google.protobuf.message import DecodeError
from jwt import InsecureKeyLengthWarning
from livekit import api
from livekit.protocol.agent import Job, JobStatus
from livekit.protocol.agent_dispatch import AgentDispatch
from livekit.protocol.models import ParticipantInfo

from agent.dispatch import Dispatch
from llm_router.clock import Clock, SystemClock

log = logging.getLogger(__name__)

_TIMEOUT = 4.0
"""Seconds for what LiveKit is asked at a time; a person is waiting."""
_ON_ITS_WAY = 15.0
"""Seconds within which an agent that was called must have joined its room."""


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
        self._dispatching = asyncio.Lock()
        # The settings allow a short secret only for a server that nobody else can reach.
        warnings.filterwarnings("ignore", category=InsecureKeyLengthWarning)

    async def __aenter__(self) -> Self:
        self._api = api.LiveKitAPI(self._url, self._key, self._secret)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._api.aclose()

    @property
    def url(self) -> str:
        return self._url

    def agent_token(self, room: str, identity: str, attributes: Mapping[str, str]) -> str:
        """Makes a token with which an agent joins a room by itself."""
        grants = api.VideoGrants(room_join=True, room=room, agent=True)
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

    async def ensure_agent(self, room: str, agent_name: str, metadata: str = "") -> None:
        """Calls the agent into a room that exists, unless it is there or on its way."""
        async with self.in_time():
            if not await self._room_exists(room):
                return
            # One at a time: two visitors of one room must not call two agents.
            async with self._dispatching:
                dispatches = await self._api.agent_dispatch.list_dispatch(room)
                present = {one.identity for one in await self._participants(room)}
                now = self._clock.wall()
                if not any(is_serving(each, agent_name, present, now) for each in dispatches):
                    dead = [each.id for each in dispatches if each.agent_name == agent_name]
                    await self._dispatch(room, agent_name, instead_of=dead, metadata=metadata)

    async def replace_agent(self, job: Job, agent_name: str, identity: str) -> bool:
        """Calls another agent to the callers of a job whose process has died.

        The dead agent leaves the room first, under its `identity`: LiveKit would keep it there for
        a quarter of a minute, and the callers would wait for its words. Returns whether an agent
        was called: not if there is no caller left.
        """
        room = job.room.name
        async with self.in_time():
            if not await self._room_exists(room):
                return False
            async with self._dispatching:
                participants = await self._participants(room)
                if any(one.identity == identity for one in participants):
                    with _absence_ignored():
                        await self._api.room.remove_participant(
                            api.RoomParticipantIdentity(room=room, identity=identity)
                        )
                if all(one.kind == ParticipantInfo.Kind.AGENT for one in participants):
                    return False
                dead = [job.dispatch_id] if job.dispatch_id else []
                await self._dispatch(room, agent_name, instead_of=dead, metadata=job.metadata)
                return True

    async def _participants(self, room: str) -> Sequence[ParticipantInfo]:
        with _absence_ignored():
            request = api.ListParticipantsRequest(room=room)
            return (await self._api.room.list_participants(request)).participants
        return []

    async def _dispatch(
        self, room: str, agent_name: str, *, instead_of: Sequence[str], metadata: str = ""
    ) -> None:
        # A deleted dispatch ends its agent: one that comes late must not be the second in the room.
        for dispatch_id in instead_of:
            with _absence_ignored():
                await self._api.agent_dispatch.delete_dispatch(dispatch_id, room)
        await self._api.agent_dispatch.create_dispatch(
            api.CreateAgentDispatchRequest(agent_name=agent_name, room=room, metadata=metadata)
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


def is_serving(
    dispatch: AgentDispatch, agent_name: str, present: Collection[str], now: float
) -> bool:
    """Returns whether this dispatch has the agent in the room, or on its way there.

    `present` are the identities in the room, `now` is in seconds since 1970. LiveKit takes a job
    for a running one for ever, if its process died: what counts is whether the agent is there.
    """
    if dispatch.agent_name != agent_name or dispatch.state.deleted_at:
        return False
    jobs = dispatch.state.jobs
    if not jobs:
        return _is_recent(dispatch.state.created_at, now)
    ended = (JobStatus.JS_SUCCESS, JobStatus.JS_FAILED, JobStatus.JS_CANCELLED)
    return any(
        job.state.status not in ended
        and (
            job.state.participant_identity in present
            or _is_recent(job.state.started_at or dispatch.state.created_at, now)
        )
        for job in jobs
    )


def _is_recent(nanoseconds: int, now: float) -> bool:
    return now - nanoseconds / 1e9 < _ON_ITS_WAY


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
