"""Takes LiveKit's requests for an agent, and claims the call before a process is spent on it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from livekit.agents import JobRequest

from agent.dispatch import Dispatch
from agent.survival.identity import AGENT_NAME, DEATHS, OUTGOING, ROOM_ID, TERMS, identity_of
from llm_router.clock import Clock, utc_now
from llm_router.errors import StoreError
from llm_router.voice.calls import PAGE_CONTEXT, TRIAL, Call, CallAgent, CallFacts, CallPort

_logger = logging.getLogger("agent")

Accept = Callable[[JobRequest, str], Awaitable[None]]
"""Accepts a request, under the identity that the agent is to have."""
_STORE_WITHIN = 0.5
"""Seconds for the database; a caller waits, and a call needs no database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCall:
    """A call that this worker has accepted. `call_id` is empty if it could not be claimed."""

    room: str
    room_id: str
    identity: str
    dispatch: Dispatch
    call_id: str


class CallRequests:
    """Accepts requests, each under the identity of its epoch, and refuses what comes too late.

    Without `calls`, and with a database that does not answer, every request is accepted.
    """

    def __init__(self, agent_name: str, worker: str, clock: Clock, accept: Accept) -> None:
        self._accept = accept
        self._agent_name = agent_name
        self._worker = worker
        self._clock = clock
        self.calls: CallPort | None = None
        self.accepted: dict[str, OwnCall] = {}
        """By the id of LiveKit's job; `forget` removes them."""

    async def answer(self, request: JobRequest) -> None:
        dispatch = Dispatch.from_metadata(request.job.metadata)
        room = request.room
        agent = CallAgent(
            identity=identity_of(room.name, dispatch.epoch), worker=self._worker, job=request.id
        )
        try:
            async with asyncio.timeout(_STORE_WITHIN):
                call = await self._claim(room.name, room.sid, dispatch, agent)
            if self.calls is not None and call is None:
                _logger.info(
                    "declined a request for an agent in room %s: another agent has the call",
                    room.name,
                )
                await request.reject()
                return
        except (StoreError, TimeoutError) as error:
            call = None
            reason = str(error) or "no answer in time"
            _logger.warning("the call in room %s is not stored: %s", room.name, reason)
        self.accepted[request.id] = OwnCall(
            room=room.name,
            room_id=room.sid,
            identity=agent.identity,
            dispatch=dispatch,
            call_id=call.id if call else "",
        )
        try:
            await self._accept(request, agent.identity)
        except BaseException:  # it was given to another worker, or to none
            self.forget(request.id)
            raise

    async def claim_again(self) -> None:
        """Claims accepted calls whose claim got no answer in time. Raises StoreError.

        It may have been made all the same: then others would wait for signs of life of the call.
        """
        for job, own in list(self.accepted.items()):
            if own.call_id:
                continue
            agent = CallAgent(identity=own.identity, worker=self._worker, job=job)
            call = await self._claim(own.room, own.room_id, own.dispatch, agent)
            if call is not None and job in self.accepted:
                self.accepted[job] = replace(own, call_id=call.id)

    def forget(self, job: str) -> OwnCall | None:
        return self.accepted.pop(job, None)

    async def _claim(
        self, room: str, room_id: str, dispatch: Dispatch, agent: CallAgent
    ) -> Call | None:
        if self.calls is None:
            return None
        now = utc_now(self._clock)
        metadata: dict[str, Any] = {AGENT_NAME: self._agent_name, ROOM_ID: room_id}
        if dispatch.deaths:
            metadata[DEATHS] = dispatch.deaths
        if dispatch.terms:
            metadata[TERMS] = dispatch.terms.model_dump(mode="json")
        if dispatch.outgoing:
            metadata[OUTGOING] = dispatch.outgoing.model_dump(mode="json")
        if dispatch.context:
            metadata[PAGE_CONTEXT] = dispatch.context.model_dump(mode="json")
        if dispatch.trial:
            metadata[TRIAL] = dispatch.trial
        facts = CallFacts(
            assistant=dispatch.assistant,
            caller=dispatch.caller,
            metadata=metadata,
        )
        call = await self.calls.claim(room, dispatch.epoch, agent, now, facts)
        if call is not None or dispatch.epoch > 1:
            return call
        # A room of the same name had a call whose end was never written.
        found = await self.calls.going_on(room)
        if found is None or found.metadata.get(ROOM_ID) in {None, room_id}:
            return None
        await self.calls.end(found.id, "lost", now)
        return await self.calls.claim(room, dispatch.epoch, agent, now, facts)
