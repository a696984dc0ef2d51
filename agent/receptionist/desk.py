"""Serves one caller whose agent is not there yet: a short wait, or a place in the queue."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from livekit import rtc
from livekit.agents.utils import shortuuid
from livekit.rtc.participant import PublishTrackError

from agent.dispatch import Dispatch
from agent.livekit_server import LiveKitError, LiveKitServer
from agent.receptionist.letters import TAKES_MESSAGES, Letters
from agent.receptionist.player import Player
from agent.receptionist.presence import (
    LEAVING,
    find_agent,
    find_caller,
    find_receptionist,
    is_served,
    wait_until_left,
)
from agent.receptionist.queue import (
    ATTRIBUTES,
    PLACE,
    CallMark,
    Lines,
    Step,
    Wait,
    reception_name,
)
from agent.receptionist.sounds import Sounds
from llm_router.clock import Clock, SystemClock
from llm_router.routing.phrases import Phrases
from llm_router.voice.messages import MessageBox

_logger = logging.getLogger("agent")

MOMENT = "reception.moment"
SORRY = "reception.sorry"
NOTED = "reception.noted"
PLACES = "reception.place"
TRANSCRIPTION = "lk.transcription"
_EVERY = 1.0
"""Seconds from one check of the queue to the next."""
_PRESENT_AFTER = 90.0
"""Seconds after which an agent that was called does not come any more: longer than its rescuer
waits for one that is starting, which else would find the room closed."""
_RETURNS_WITHIN = 8.0
"""Seconds in which a caller whose connection was lost may come back to their place."""
_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds after which a room is described again when LiveKit has failed."""
_ENDS = (LiveKitError, rtc.ConnectError, PublishTrackError, rtc.StreamError)
"""Errors by which a room that is closed, or LiveKit that is away, ends the work in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskOptions:
    agent_name: str
    language: str
    phrases: Phrases
    calls: int = 0
    """Calls at a time in all. 0: as many as the workers take."""
    longest_wait: float = 300.0
    """Seconds after which a caller in the queue is asked to call again."""
    relieved_within: float = 3.0
    """Seconds that another worker's receptionist has to come when this one's worker stops."""

    def phrase(self, occasion: str, number: int = 0) -> str:
        return self.phrases.pick(occasion, self.language, number)

    def place(self, position: int) -> str:
        """Returns how a place in the queue is said; the last phrase stands for all beyond it."""
        known = self.phrases.by_language.get(self.language[:2].lower(), {}).get(PLACES, ())
        last = len(known or self.phrases.by_language.get("en", {}).get(PLACES, ())) - 1
        return self.phrase(PLACES, min(position - 1, last)) if position else ""

    def sentences(self) -> list[str]:
        """Returns every sentence that may be said, the most urgent first."""
        occasions = (MOMENT, Step.BUSY, Step.CONNECT, SORRY, Step.OFFER, NOTED)
        places = [self.place(number) for number in range(1, 20)]
        return list(dict.fromkeys([*map(self.phrase, occasions), *places]))


DescribeAgent = Callable[[str, Dispatch], Awaitable[Dispatch]]
NextAgent = Callable[[Dispatch | None], Awaitable[Dispatch | None]]


async def _as_it_was(_: str, dispatch: Dispatch) -> Dispatch:
    return dispatch


async def until_done(describe: Callable[[], Awaitable[None]], clock: Clock) -> None:
    """Describes a room, and again while LiveKit fails: a call that is marked as waiting for ever
    would stay the first of the queue.
    """
    for pause in _PAUSES:
        try:
            await describe()
        except LiveKitError as error:
            _logger.warning(
                "LiveKit did not take the new mark of a room, so its caller still counts as"
                " waiting: %s",
                error,
            )
        else:
            return
        await clock.sleep(pause)


class Desk:
    """Serves callers, each in a room.

    `is_full`: whether no worker has a place. `connect` makes LiveKit's server API, to enter.
    `messages` takes what callers leave who would rather not wait; None: they can leave nothing.
    `describe_agent` returns the agent to call to a room, given the one that was to come when its
    caller began to wait: by then the caller may have typed.
    """

    def __init__(
        self,
        options: DeskOptions,
        sounds: Sounds,
        connect: Callable[[], LiveKitServer],
        is_full: Callable[[], Awaitable[bool]],
        clock: Clock | None = None,
        *,
        messages: MessageBox | None = None,
        describe_agent: DescribeAgent = _as_it_was,
    ) -> None:
        self._options = options
        self._messages = messages
        self._describe_agent = describe_agent
        self._sounds = sounds
        self._connect = connect
        self._is_full = is_full
        self._clock = clock or SystemClock()
        self._is_leaving = False

    def leave(self) -> None:
        """Leaves the queue to other workers' receptionists; callers whom none takes are dismissed.

        No room may be given to it from then on.
        """
        self._is_leaving = True

    async def serve(self, name: str, metadata: str, dispatch: str) -> None:
        """Stays in a room until the agent is there, the caller has gone, or no agent comes.

        `metadata` is the room's; `dispatch` is that of the agent, if the caller waits for one.
        """
        room = rtc.Room()
        mark = CallMark.read(metadata, self._options.agent_name)
        is_waiting = mark is not None and mark.waiting_since is not None
        try:
            async with self._connect() as livekit:
                token = livekit.agent_token(name, f"reception-{shortuuid()}", ATTRIBUTES)
                # It subscribes to the caller, which answers a telephone.
                await room.connect(livekit.url, token)
                if not is_served(room):
                    await wait_until_left(room)
                    async with Player.playing(room) as player:
                        guest = _Guest(room, player, livekit, self._sounds, self._options)
                        if mark and is_waiting:
                            await guest.open_letters(self._letters(room, dispatch, guest.wake))
                            await self._queue(guest, mark, dispatch)
                        else:
                            await self._bridge(guest)
        except _ENDS as error:
            _logger.warning("the receptionist left room %s: %s", name, error)
        finally:
            await room.disconnect()

    def _letters(
        self, room: rtc.Room, dispatch: str, on_taken: Callable[[], None]
    ) -> Letters | None:
        if self._messages is None:
            return None
        assistant = Dispatch.from_metadata(dispatch).assistant
        return Letters(room, self._messages, assistant, self._clock, on_taken)

    async def _bridge(self, guest: "_Guest") -> None:
        """Covers the moment until an agent that was called is there."""
        began = self._clock.now()
        was_greeted = False
        while guest.is_alone:
            if guest.has_caller and not was_greeted:
                was_greeted = True
                await guest.say(self._options.phrase(MOMENT), is_written=False)
            if self._clock.now() - began > _PRESENT_AFTER:
                if was_greeted:
                    await guest.dismiss()
                return
            await guest.change(_EVERY)
        await guest.leave()

    async def _queue(self, guest: "_Guest", mark: CallMark, dispatch: str) -> None:
        """Waits with the caller for a free place, and calls the agent to it."""
        offers = self._messages is not None
        wait = Wait(self._options.longest_wait, self._clock.now(), offers=offers)
        present_at = self._clock.now()
        while guest.is_alone:
            if guest.has_left_message:
                await guest.dismiss()
                return
            if self._is_leaving:
                await self._hand_on(guest, dispatch)
                return
            now = self._clock.now()
            if guest.has_caller or guest.is_cut_off:
                present_at = now
            if now - present_at > _RETURNS_WITHIN and guest.had_caller:
                await guest.livekit.close_room(guest.room.name)
                return
            if guest.has_caller and await self._take_steps(guest, wait, now, mark, dispatch):
                return
            await guest.change(_EVERY)
        if not guest.room.isconnected():
            return
        called = replace(mark, waiting_since=None).to_metadata(self._options.agent_name)
        describe = partial(guest.livekit.describe_room, guest.room.name, called)
        # The agent waits for the one, and the queue for the other.
        async with asyncio.TaskGroup() as parting:
            parting.create_task(guest.leave())
            parting.create_task(until_done(describe, self._clock))

    async def _next_agent(self, room: str, dispatch: str, last: Dispatch | None) -> Dispatch:
        """Describes the agent to call, after the `last` that was."""
        wanted = last.next() if last else Dispatch.from_metadata(dispatch)
        return await self._describe_agent(room, wanted)

    async def _hand_on(self, guest: "_Guest", dispatch: str) -> None:
        """Calls another worker's receptionist, and dismisses the caller if none comes."""
        with suppress(LiveKitError):  # which is logged
            await guest.call_relief(dispatch)
        until = self._clock.now() + self._options.relieved_within
        while guest.is_alone and not guest.is_relieved:
            if (rest := until - self._clock.now()) <= 0:
                await guest.dismiss()
                return
            await guest.change(rest)
        await guest.leave()

    async def _take_steps(
        self, guest: "_Guest", wait: Wait, now: float, mark: CallMark, dispatch: str
    ) -> bool:
        """Takes the steps that are due; returns whether the call has ended with them."""
        try:
            rooms = await guest.livekit.rooms()
            lines = Lines.of(rooms, self._options.agent_name)
            if rooms.get(guest.room.name) == "":  # LiveKit was started anew
                described = mark.to_metadata(self._options.agent_name)
                await guest.livekit.describe_room(guest.room.name, described)
        except LiveKitError:
            return False  # which is logged; the caller waits on
        position = lines.position(guest.room.name)
        await guest.show_place(position)
        calls = self._options.calls
        has_line = not calls or len(lines.callers) < calls
        is_free = has_line and not await self._is_full()
        for step in wait.due(position, is_free=is_free, now=now):
            if step is Step.GIVE_UP:
                await guest.dismiss()
                return True
            if step is Step.CONNECT:
                with suppress(LiveKitError):  # the agent is called again later
                    await guest.call_agent(partial(self._next_agent, guest.room.name, dispatch))
            place = step is Step.PLACE
            await guest.say(self._options.place(position) if place else self._options.phrase(step))
        return False


class _Guest:
    """Shows the receptionist one caller's room, and acts in it."""

    def __init__(
        self,
        room: rtc.Room,
        player: Player,
        livekit: LiveKitServer,
        sounds: Sounds,
        options: DeskOptions,
    ) -> None:
        self.room = room
        self.livekit = livekit
        self.had_caller = False
        self._player = player
        self._sounds = sounds
        self._options = options
        self._letters: Letters | None = None
        self._shown_place = 0
        self._changed = asyncio.Event()
        for event in ("participant_connected", "participant_disconnected", "disconnected"):
            self.room.on(event, self.wake)

    def wake(self, *_: Any) -> None:
        self._changed.set()

    async def open_letters(self, letters: Letters | None) -> None:
        """Takes a message, if `letters` can, until the receptionist leaves."""
        self._letters = letters
        if letters:
            await letters.open()

    @property
    def has_left_message(self) -> bool:
        """Whether the caller has left a message, which is stored."""
        return self._letters is not None and self._letters.are_taken

    @property
    def is_alone(self) -> bool:
        """Whether the room is open, and no agent is there."""
        return self.room.isconnected() and find_agent(self.room) is None

    @property
    def is_cut_off(self) -> bool:
        """Whether the connection to the room is broken, so that it shows no one."""
        return self.room.connection_state == rtc.ConnectionState.CONN_RECONNECTING

    @property
    def has_caller(self) -> bool:
        if not self.room.isconnected():
            return False
        found = find_caller(self.room) is not None
        self.had_caller = self.had_caller or found
        return found

    async def change(self, within: float) -> None:
        """Waits until somebody comes or goes, at most `within` seconds."""
        try:
            async with asyncio.timeout(within):
                await self._changed.wait()
        except TimeoutError:
            return
        finally:
            self._changed.clear()

    async def say(self, text: str, *, is_written: bool = True) -> None:
        """Says a sentence, and writes it for a caller who reads."""
        self._player.say(self._sounds.get(text))
        if is_written and text:
            await self._write(text)

    async def _write(self, text: str) -> None:
        segment = shortuuid("RC_")
        await self.room.local_participant.send_text(
            text,
            topic=TRANSCRIPTION,
            attributes={"lk.segment_id": segment, "lk.transcription_final": "true"},
        )

    async def call_agent(self, next_agent: NextAgent) -> None:
        name = self._options.agent_name
        await self.livekit.ensure_agent(self.room.name, name, next_agent=next_agent)

    async def show_place(self, position: int) -> None:
        """Shows the place in the queue to pages; 0: none."""
        if position != self._shown_place:
            self._shown_place = position
            await self.room.local_participant.set_attributes({PLACE: str(position or "")})

    @property
    def is_relieved(self) -> bool:
        """Whether another receptionist is there."""
        return find_receptionist(self.room) is not None

    async def call_relief(self, dispatch: str) -> None:
        closed = dict.fromkeys([*TAKES_MESSAGES, PLACE], "")
        await self.room.local_participant.set_attributes({**ATTRIBUTES, **LEAVING, **closed})
        self._close_letters()
        name = reception_name(self._options.agent_name)
        await self.livekit.call_agent(self.room.name, name, Dispatch.from_metadata(dispatch))

    async def leave(self) -> None:
        """Ends the sentence under way; the agent speaks once the receptionist has left."""
        self._close_letters()
        await self._player.finish()
        await self.room.disconnect()

    async def dismiss(self) -> None:
        """Says that the message is noted, or else that no agent comes, and ends the call."""
        self._close_letters()
        last = self._options.phrase(NOTED if self.has_left_message else SORRY)
        if last:
            await self._write(last)
        await self._player.finish(self._sounds.get(last))
        await self.livekit.close_room(self.room.name)

    def _close_letters(self) -> None:
        if self._letters:
            self._letters.close()
