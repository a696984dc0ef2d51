"""Lets supervisors listen to calls, instruct their agents, and answer in their place.

Web calls and calls by telephone alike: all of it happens in the call's room. Implements
`llm_router.voice.supervision.CallSupervisor`.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import jwt

from agent.livekit_server import LiveKitError, LiveKitServer
from agent.staff import LISTENER, PERSON_ATTRIBUTE, SUPERVISOR, UNTIL_ATTRIBUTE
from agent.survival.identity import ROOM_ID
from agent.survival.rescuer import Lost, Rescuer, dispatch_of
from agent.tokens import problem_of
from agent.whispers import TOPIC, Whispers
from llm_router.clock import Clock, utc_now
from llm_router.errors import StoreError
from llm_router.gateway.errors import Problem
from llm_router.periodic import log_bug
from llm_router.voice.calls import HANDED_TO, Call, CallPort, CallState
from llm_router.voice.supervision import Seat

_logger = logging.getLogger("agent.api")

_JOIN_WITHIN = 60
"""Seconds for which a token can be used to join."""
_COMES_WITHIN = 30.0
"""Seconds in which the sound of a supervisor who takes over must be in the room."""
_POLL = 0.25
_MOST = 200
"""Supervisors at a time in one process."""
_WRONG_STATE: Mapping[CallState, str] = {
    "agent": "An agent answers this call. Only a call that you have taken over can be given back.",
    "handed_over": "A person answers this call, so no agent is there to instruct. Give the call"
    " back first, if you took it over.",
    "text": "The visitor types; there is no room to join. Try again once the conversation goes on"
    " by voice.",
    "ended": "The call has ended. List the calls with state `agent` to find one that goes on.",
}
"""The refusal of what cannot be done to a call in each state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveKitKeys:
    server_url: str
    """LiveKit's address, as browsers reach it."""
    api_key: str
    api_secret: str = field(repr=False)


class Supervision:
    """The supervisors of one HTTP process. Close it at its end: who listens then must come back."""

    def __init__(
        self,
        livekit: LiveKitServer,
        calls: CallPort,
        rescuer: Rescuer,
        agent_name: str,
        keys: LiveKitKeys,
        *,
        clock: Clock,
    ) -> None:
        self._livekit = livekit
        self._calls = calls
        self._rescuer = rescuer
        self._agent_name = agent_name
        self._keys = keys
        self._whispers = Whispers(keys.api_secret)
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, call: Call, seconds: int) -> Seat:
        _require(call, "agent", "handed_over")
        identity = f"{LISTENER}{uuid4().hex}"
        self._start(self._remove_after(call.room, identity, seconds))
        silent = {"canPublish": False, "canPublishData": False, "hidden": True}
        until = {UNTIL_ATTRIBUTE: str(int(self._clock.wall()) + seconds)}
        return self._seat(call.room, identity, silent, until)

    async def whisper(self, call: Call, text: str) -> None:
        _require(call, "agent")
        if not call.agent:
            raise _conflict("The call has no agent at the moment: try again when one answers.")
        data = self._whispers.sign(call.room, text, self._clock.wall())
        try:
            if not await self._livekit.is_present(call.room, call.agent):
                raise _conflict("The agent is not in the call any more: try again in a moment.")
            await self._livekit.send(call.room, call.agent, TOPIC, data)
        except LiveKitError as error:
            raise problem_of(error) from None

    async def take_over(self, call: Call) -> Seat:
        _require(call, "agent", "handed_over")
        if call.state == "handed_over" and call.metadata.get(HANDED_TO) != "supervisor":
            raise _conflict("A person has the call already, to whom it was transferred.")
        identity = f"{SUPERVISOR}{uuid4().hex}"
        self._start(self._hand_over(call, identity))
        speaks = {"canPublish": True, "canPublishSources": ["microphone"], "canPublishData": False}
        return self._seat(call.room, identity, speaks, {PERSON_ATTRIBUTE: "true"})

    async def release(self, call: Call) -> None:
        _require(call, "handed_over")
        if call.metadata.get(HANDED_TO) != "supervisor":
            raise _conflict("The call was transferred to a person, who keeps it.")
        try:
            await give_back(call, self._livekit, self._calls, self._rescuer, self._clock)
        except LiveKitError as error:
            raise problem_of(error) from None

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # ── In the background ────────────────────────────────────────────────────────────────────────

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        if len(self._tasks) >= _MOST:
            work.close()
            raise Problem(
                503, "too-many-supervisors", "Too many supervisors are in calls: try again later."
            )
        task = asyncio.create_task(work, name="supervisor of a call")
        task.add_done_callback(log_bug)
        task.add_done_callback(self._tasks.discard)
        self._tasks.add(task)

    async def _remove_after(self, room: str, identity: str, seconds: int) -> None:
        """Removes a listener when their time is over, or this process ends."""
        try:
            await self._clock.sleep(seconds)
        finally:
            try:
                await self._livekit.remove(room, identity)
            except LiveKitError as error:
                _logger.warning("a listener may still be in room %s: %s", room, error)

    async def _hand_over(self, call: Call, identity: str) -> None:
        """Takes the agent out of the call as soon as the supervisor speaks in its place."""
        try:
            async with asyncio.timeout(_COMES_WITHIN):
                while identity not in (await self._livekit.persons(call.room)).speaking:
                    await self._clock.sleep(_POLL)
            found = await self._calls.going_on(call.room)
            if found is None or found.state != "agent":
                return
            now = utc_now(self._clock)
            if await self._calls.hand_over(found.id, found.epoch, now, to="supervisor"):
                await self._livekit.evict(call.room, self._agent_name, found.agent)
        except TimeoutError:
            _logger.info("nobody came to take over the call in room %s", call.room)
        except (LiveKitError, StoreError) as error:
            _logger.warning("the call in room %s was not taken over: %s", call.room, error)

    def _seat(
        self, room: str, identity: str, grants: Mapping[str, Any], attributes: Mapping[str, str]
    ) -> Seat:
        now = int(self._clock.wall())
        claims = {
            "iss": self._keys.api_key,
            "sub": identity,
            "name": "",
            "nbf": now,
            "exp": now + _JOIN_WITHIN,
            "attributes": dict(attributes),
            "video": {
                "roomJoin": True,
                "room": room,
                "canSubscribe": True,
                "canUpdateOwnMetadata": False,
                **grants,
            },
        }
        token = jwt.encode(claims, self._keys.api_secret, algorithm="HS256")
        return Seat(
            server_url=self._keys.server_url,
            participant_token=token,
            identity=identity,
            room=room,
        )


async def give_back(
    call: Call, livekit: LiveKitServer, calls: CallPort, rescuer: Rescuer, clock: Clock
) -> None:
    """Has an agent answer a call again that a supervisor has answered. Raises LiveKitError."""
    given = await calls.give_back(call.id, utc_now(clock))
    if given is None:
        return
    for identity in (await livekit.persons(call.room)).answering:
        await livekit.remove(call.room, identity)
    planned = {"planned": True, "lost_at": 0.0, "returned": True}
    rescuer.rescue(
        Lost(
            room=given.room,
            dispatch=dispatch_of(given, given.epoch).model_copy(update=planned),
            call_id=given.id,
            room_id=str(given.metadata.get(ROOM_ID, "")),
        )
    )


def _require(call: Call, *states: str) -> None:
    if call.kind == "other":
        raise _conflict(
            "This call belongs to another LiveKit agent, which only reports it. You can read and"
            " delete it, and no more."
        )
    if call.state not in states:
        raise _conflict(_WRONG_STATE[call.state])


def _conflict(detail: str) -> Problem:
    return Problem(409, "call-in-another-state", detail)
