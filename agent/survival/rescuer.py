"""Calls another agent to a call whose agent is gone, until one is there or nothing is left to try.

Any worker or HTTP process may do so for any call. There is no leader: the database moves a call to
its next epoch only once, and the process that moved it acts. If that process dies too, another one
finds the call without an agent and moves it on.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from agent.dispatch import Dispatch
from agent.livekit_server import LiveKitError, LiveKitServer
from agent.survival.black_box import Note
from agent.survival.identity import DEATHS, OUTGOING, ROOM_ID, TERMS, identity_of
from agent.survival.patience import (
    CLAIM_WITHIN,
    Arrival,
    deaths_with,
    may_replace,
    pause_after,
    poll_after,
)
from llm_router.clock import Clock, utc_now
from llm_router.errors import NotFoundError, StoreError
from llm_router.periodic import log_bug
from llm_router.voice.calls import PAGE_CONTEXT, TRIAL, Call, CallItem, CallPort

_logger = logging.getLogger("agent")

_MOVE_POLL = 0.1
"""Seconds between checks whether a worker has taken a call whose agent is still there."""
_STORE_WITHIN = 0.5
"""Seconds for the database: a caller is waiting, and a call needs no database."""
_DECIDED_WITHIN = 5.0
"""Seconds for the database where it alone decides who acts. Many calls that are lost at a time are
moved on at a time, and a file has one writer."""
_NOTE_WITHIN = 1.5
"""Seconds for the last words; without them the next agent would not know what was asked."""
_MOST = 200
"""Rescues at a time in one process."""

Farewell = Callable[[str, str], Awaitable[None]]
"""Says goodbye to the callers of a room under an identity, and returns."""
Cover = Callable[[str], Awaitable[bool]]
"""Calls the receptionist to a room; returns whether it is there already. Raises LiveKitError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A call without its agent.

    `dispatch` described that agent. `call_id` is empty if the call is not stored. `identity`: the
    agent's in the room. `room_id`: LiveKit's, empty if unknown; a stored call knows a later one.
    `note`: what its process left behind; None if that is stored already. `seen_dead`: its process
    has ended on this machine, so the rescue does not wait for a database that does not answer.
    `is_new`: no agent was there yet.
    """

    room: str
    dispatch: Dispatch
    call_id: str = ""
    identity: str = ""
    room_id: str = ""
    note: Note | None = None
    seen_dead: bool = False
    is_new: bool = False


class Rescuer:
    """Brings agents to calls, each in a task that ends with `aclose` at the latest."""

    def __init__(
        self,
        livekit: LiveKitServer,
        agent_name: str,
        calls: CallPort,
        clock: Clock,
        farewell: Farewell,
        *,
        cover: Cover | None = None,
    ) -> None:
        """Takes no `cover` where there is no receptionist."""
        self._livekit = livekit
        self._agent_name = agent_name
        self._calls = calls
        self._clock = clock
        self._farewell = farewell
        self._cover = cover
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def rescue(self, lost: Lost) -> None:
        """Starts to bring an agent to the call, unless this process is doing so already."""
        if not self.is_bringing(lost.room) and len(self._tasks) < _MOST:
            self._start(lost.room, self._bring(lost))

    def move(self, lost: Lost, on_moved: Callable[[], object]) -> None:
        """Starts to hand a call to another worker, unless this process is busy with it already.

        Its agent stays, and nothing changes, until a worker has taken the call.
        """
        if not self.is_bringing(lost.room):
            self._start(lost.room, self._move(lost, on_moved))

    @property
    def is_busy(self) -> bool:
        return bool(self._tasks)

    def is_bringing(self, room: str) -> bool:
        """Returns whether this process is bringing an agent to the room."""
        return room in self._tasks

    def _start(self, room: str, bringing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._run(room, bringing), name="rescue of a call")
        self._tasks[room] = task
        task.add_done_callback(log_bug)
        task.add_done_callback(lambda _: self._tasks.pop(room, None))

    def expect(self, room: str, dispatch: Dispatch) -> None:
        """Makes sure that the agent that was just called to a room comes, or else another one."""
        self.rescue(Lost(room=room, dispatch=dispatch, is_new=True))

    async def next_agent(
        self, room: str, wished: Dispatch, last: Dispatch | None
    ) -> Dispatch | None:
        """Describes the agent to call to a room in which there is none; None: one is on its way.

        `last` describes the last agent that LiveKit was asked for, and so that of a room without a
        stored call; `wished` where there was none.
        """
        if self.is_bringing(room):
            return None
        try:
            async with asyncio.timeout(_STORE_WITHIN):
                call = await self._calls.going_on(room)
                if call is None:
                    return (last or wished).first()
                if not await self._calls.advance(room, call.epoch + 1, utc_now(self._clock)):
                    return None
        except (StoreError, TimeoutError):
            return last.next() if last else wished
        return dispatch_of(call, call.epoch + 1)

    async def aclose(self, within: float = 0.0) -> None:
        """Waits for the rescues under way, and leaves those that take longer to other processes."""
        if self._tasks and within:
            await asyncio.wait(self._tasks.values(), timeout=within)
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, room: str, bringing: Coroutine[Any, Any, None]) -> None:
        try:
            await bringing
        except LiveKitError as error:
            _logger.error("no agent can be called to room %s: %s", room, error)  # noqa: TRY400  a sentence for operators
        except StoreError as error:
            _logger.warning(
                "cannot find an agent for the call in room %s, since the database fails; other"
                " processes will try: %s",
                room,
                error,
            )

    async def _move(self, lost: Lost, on_moved: Callable[[], object]) -> None:
        before = lost.dispatch.epoch
        dispatch = lost.dispatch.model_copy(update={"epoch": before + 1})
        await self._livekit.call_agent(lost.room, self._agent_name, dispatch)
        if not await self._is_taken(lost.room, dispatch.epoch):
            await self._livekit.dismiss(lost.room, self._agent_name, dispatch.epoch)
            _logger.warning(
                "the call in room %s stays with its agent: no other worker took it in time",
                lost.room,
            )
            return
        await self._livekit.dismiss(lost.room, self._agent_name, before, lost.identity)
        on_moved()
        if not await self._has_come(lost, dispatch.epoch, 0):
            alone = dispatch.model_copy(update={"planned": False, "lost_at": self._clock.wall()})
            identity = identity_of(lost.room, dispatch.epoch)
            await self._bring(replace(lost, dispatch=alone, identity=identity))

    async def _is_taken(self, room: str, epoch: int) -> bool:
        """Returns whether a worker claims this epoch in time, which moves the call on."""
        until = self._clock.now() + CLAIM_WITHIN
        while self._clock.now() < until:
            _, call = await self._claimed(room, epoch)
            if call is not None:
                return True
            await self._clock.sleep(_MOVE_POLL)
        return False

    async def _bring(self, lost: Lost) -> None:
        epoch = lost.dispatch.epoch
        if lost.is_new:
            if await self._has_come(lost, epoch, 0):
                return
            await self._is_covered(lost.room)
        if lost.note is not None:
            await self._store_note(lost, lost.note)
        attempt = 0
        deaths = deaths_with(lost.dispatch.deaths, self._clock.wall())
        lost = replace(lost, dispatch=lost.dispatch.model_copy(update={"deaths": deaths}))
        may_call = may_replace(deaths)
        while may_call:
            epoch += 1
            if not await self._advance(lost, epoch):
                return
            if await self._call(lost, epoch, attempt):
                return
            pause = pause_after(attempt, is_covered=await self._is_covered(lost.room))
            if pause is None:
                break
            await self._clock.sleep(pause)
            attempt += 1
        why = "no agent came" if may_call else "too many agents in a row have died"
        _logger.error("the call in room %s cannot be answered: %s", lost.room, why)
        await self._give_up(lost, epoch + 1)

    async def _call(self, lost: Lost, epoch: int, attempt: int) -> bool:
        """Calls one agent; returns whether it came, or no caller is left."""
        try:
            if not await self._clear(lost):
                await self._end(lost, "caller left")
                return True
            dispatch = lost.dispatch.model_copy(update={"epoch": epoch})
            await self._livekit.call_agent(lost.room, self._agent_name, dispatch)
            if await self._has_come(lost, epoch, attempt):
                _logger.warning("a new agent has taken over the call in room %s", lost.room)
                return True
        except LiveKitError as error:
            _logger.warning("no agent could be called to room %s: %s", lost.room, error)
        return False

    async def _is_covered(self, room: str) -> bool:
        """Returns whether the receptionist speaks to the caller; calls it if it does not."""
        try:
            return self._cover is not None and await self._cover(room)
        except LiveKitError as error:
            _logger.warning("the receptionist could not be called to %s: %s", room, error)
            return False

    async def _clear(self, lost: Lost) -> bool:
        """Removes agents that are gone or hang; returns whether someone waits for another one."""
        room_id = await self._room_id(lost)
        if room_id and await self._livekit.room_id(lost.room) != room_id:
            return False
        has_callers = await self._livekit.evict(lost.room, self._agent_name, lost.identity)
        return has_callers or lost.is_new

    async def _has_come(self, lost: Lost, epoch: int, attempt: int) -> bool:
        """Returns whether the agent of this epoch, or of a later one, has the call."""
        began = self._clock.now()
        arrival = Arrival(attempt, began)
        while True:
            is_known, call = await self._claimed(lost.room, epoch)
            if call is not None and call.epoch > epoch:
                return True
            is_claimed = call is not None or not is_known
            if is_claimed and await self._is_there(lost, epoch):
                return True
            beat = call.last_beat if call else None
            # Asked after the check: what was claimed since the one before has come in time.
            if not arrival.is_awaited(self._clock.now(), is_claimed=is_claimed, beat=beat):
                break
            await self._clock.sleep(poll_after(self._clock.now() - began))
        if not is_claimed and await self._is_there(lost, epoch):
            return True
        if call is not None or not lost.is_new:
            return False
        return await self._livekit.has_job(lost.room, self._agent_name)

    async def _is_there(self, lost: Lost, epoch: int) -> bool:
        # An agent of the user's own, or of an older version, has its own identity and claims none.
        name = self._agent_name if lost.is_new else ""
        return await self._livekit.is_present(lost.room, identity_of(lost.room, epoch), name)

    # ── The database, without which a rescue goes on where it can ────────────────────────────────

    async def going_on(self, room: str) -> tuple[bool, Call | None]:
        """Returns whether the database answers in time, and the call in the room that goes on."""
        try:
            async with asyncio.timeout(_STORE_WITHIN):
                return True, await self._calls.going_on(room)
        except (StoreError, TimeoutError):
            return False, None

    async def _claimed(self, room: str, epoch: int) -> tuple[bool, Call | None]:
        """Returns whether the database answers, and the call if an agent has claimed this epoch."""
        is_known, call = await self.going_on(room)  # its presence decides if the answer is late
        is_claimed = call and (call.epoch > epoch or (call.epoch == epoch and call.job))
        return is_known, call if is_claimed else None

    async def _room_id(self, lost: Lost) -> str:
        """Returns LiveKit's id of the room, which changes when LiveKit is started anew."""
        call = (await self.going_on(lost.room))[1] if lost.call_id else None
        return str(call.metadata.get(ROOM_ID, lost.room_id)) if call else lost.room_id

    async def _advance(self, lost: Lost, epoch: int) -> bool:
        """Moves the call on; returns False if another process has, or the call has ended."""
        needs_no_store = lost.seen_dead or lost.is_new
        try:
            async with asyncio.timeout(_STORE_WITHIN if needs_no_store else _DECIDED_WITHIN):
                if await self._calls.advance(lost.room, epoch, utc_now(self._clock)):
                    return True
                # A call that no agent has claimed is not stored.
                return not lost.call_id and await self._calls.going_on(lost.room) is None
        except (StoreError, TimeoutError):
            return needs_no_store

    async def _store_note(self, lost: Lost, note: Note) -> None:
        """Stores what the agent's process has left behind; it may be newer than what is stored."""
        if not lost.call_id:
            return
        epoch, now = lost.dispatch.epoch, utc_now(self._clock)
        try:
            async with asyncio.timeout(_NOTE_WITHIN):
                if items := [_item(each, epoch) for each in note.items]:
                    await self._calls.append(lost.call_id, items, now)
                await self._calls.note(
                    lost.call_id, epoch, now, voiced=note.voiced, tools_in_flight=note.tools
                )
        except (StoreError, NotFoundError, TimeoutError) as error:
            reason = str(error) or "no answer in time"
            _logger.warning("the last words in room %s are not stored: %s", lost.room, reason)

    async def _end(self, lost: Lost, reason: str) -> None:
        if not lost.call_id:
            return
        try:
            async with asyncio.timeout(_STORE_WITHIN):
                await self._calls.end(lost.call_id, reason, utc_now(self._clock))
        except (StoreError, TimeoutError):
            _logger.debug("the end of the call in room %s is not stored", lost.room, exc_info=True)

    async def _give_up(self, lost: Lost, epoch: int) -> None:
        """Lets the callers know that no agent can answer, and hangs up."""
        if not await self._advance(lost, epoch):
            return
        if await self._clear(replace(lost, is_new=False)):
            await self._farewell(lost.room, identity_of(lost.room, epoch))
        await self._livekit.close_room(lost.room)
        await self._end(lost, "failed")


def dispatch_of(call: Call, epoch: int) -> Dispatch:
    """Describes the agent of an epoch of a stored call, of which nothing was seen since its beat.

    Earlier agents have died at the times that the call's metadata has.
    """
    return Dispatch(
        caller=call.caller,
        assistant=call.assistant,
        epoch=epoch,
        lost_at=call.last_beat.timestamp(),
        deaths=tuple(call.metadata.get(DEATHS, ())),
        terms=call.metadata.get(TERMS),
        outgoing=call.metadata.get(OUTGOING),
        context=call.metadata.get(PAGE_CONTEXT),
        trial=call.metadata.get(TRIAL, ""),
    )


def _item(noted: Mapping[str, Any], epoch: int) -> CallItem:
    return CallItem(
        id=noted["id"],
        role=noted["role"],
        text=noted["text"],
        epoch=epoch,
        created_at=datetime.fromtimestamp(noted["at"], UTC),
    )
