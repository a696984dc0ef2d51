"""Follows the line of a caller by telephone: picked up, and hung up."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from livekit import rtc
from livekit.agents import AgentSession
from livekit.rtc.room import EventTypes

from agent.phone.caller import STATUS
from agent.receptionist.presence import wait_for_the_word
from agent.staff import is_staff
from agent.survival.departures import Departures, is_gone
from llm_router.clock import Clock, SystemClock

_AUDIBLE_TIMEOUT = 5.0
"""Seconds to wait for the caller's client to subscribe to the agent's audio.

A page does so within 0.1 s; some clients never do.
"""
LONGEST_RING = 180.0
"""Seconds that a call rings at most: LiveKit's own limit."""
_COMES_WITHIN = 5.0
"""Seconds in which LiveKit shows a caller to their agent, on a machine however busy."""
_UNANSWERED = frozenset({"dialing", "ringing", "automation"})
_CHANGES: Sequence[EventTypes] = ("participant_connected", "participant_attributes_changed")
T = TypeVar("T")
PHONE = rtc.ParticipantKind.PARTICIPANT_KIND_SIP
"""Kind of a participant on a telephone."""


async def wait_until_audible(session: AgentSession[Any]) -> bool:
    """Waits until the caller is there, has picked up, and receives the agent's audio.

    Returns False if a telephone is not picked up. For the audio it waits 5 s at most; if no caller
    comes, LiveKit closes the room. Await it before the agent's first words, and before interrupting
    them: in LiveKit 1.8.9, speech that is interrupted while it waits for the subscription cancels
    LiveKit's own wait as well, and the agent is mute for the rest of the call.
    """
    try:
        room_io = session.room_io
    except RuntimeError:  # a session without a room has no client to wait for
        return True
    await room_io.wait_for_ready()
    caller = room_io.linked_participant
    if caller and caller.kind == PHONE and not await wait_until_answered(room_io.room, caller):
        return False
    subscribed = room_io.subscribed_fut
    if subscribed:
        await asyncio.wait({subscribed}, timeout=_AUDIBLE_TIMEOUT)
    return True


async def wait_for_first_word(session: AgentSession[Any]) -> bool:
    """Waits until the caller hears the agent, and nothing else in the room speaks to them.

    Returns False if a telephone is not picked up.
    """
    if not await wait_until_audible(session):
        return False
    await wait_for_the_word(session)
    return True


def find_phone(room: rtc.Room) -> rtc.RemoteParticipant | None:
    """Returns the first caller on a telephone."""
    people = room.remote_participants.values()
    return next((person for person in people if is_phone(person)), None)


async def wait_for_phone(room: rtc.Room, within: float) -> rtc.RemoteParticipant | None:
    """Returns the participant on a telephone once they are in the room; None: they do not come."""
    return await _first(room, lambda: find_phone(room), within)


async def wait_until_answered(room: rtc.Room, phone: rtc.RemoteParticipant) -> bool:
    """Waits until a telephone is picked up, and returns whether it is.

    It is not if the participant leaves before, or after 180 s. One whose status is not known counts
    as picked up, and so does one without a telephone.
    """

    def check() -> bool | None:
        # It is another object once LiveKit's client has joined the room anew.
        found = room.remote_participants.get(phone.identity)
        if found is None:
            return False if is_gone(room, phone.identity) else None
        status = found.attributes.get(STATUS, "")
        return None if status in _UNANSWERED else status != "hangup"

    return bool(await _first(room, check, LONGEST_RING))


async def _first(room: rtc.Room, check: Callable[[], T | None], within: float) -> T | None:
    """Returns the first result of `check` that is not None; it is made again at each change."""
    found: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def notice(*_: Any) -> None:
        result = check()
        if result is not None and not found.done():
            found.set_result(result)

    for change in _CHANGES:
        room.on(change, notice)
    departures = Departures(room, notice)
    try:
        notice()
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                return await found
        return None
    finally:
        departures.close()
        for change in _CHANGES:
            room.off(change, notice)


def is_phone(person: rtc.RemoteParticipant) -> bool:
    """Returns whether a participant is a caller on a telephone, and no one dialled for them."""
    return person.kind == PHONE and not is_staff(person.identity)


class Line:
    """Ends the session when its caller by telephone is gone, for whatever reason.

    LiveKit does so after some reasons alone: a caller whom a server removes, or who never answers,
    would leave an agent behind in an empty room. Close it at the end of the call.
    """

    def __init__(
        self, session: AgentSession[Any], room: rtc.Room, clock: Clock | None = None
    ) -> None:
        self._session = session
        self._room = room
        self._clock = clock or SystemClock()
        self._caller = ""
        self._departures: Departures | None = None
        self._is_started = False
        self.has_left = False
        """Whether the caller has hung up, or was never there."""

    def follow(self) -> None:
        """Notices from now on that the caller leaves. To be called before the session starts."""
        self._room.on("participant_connected", self._on_person)
        self._departures = Departures(self._room, self._on_left, self._clock)
        for person in self._room.remote_participants.values():
            self._on_person(person)

    def close(self) -> None:
        if self._departures:
            self._departures.close()

    def start(self, *, is_inbound: bool = False) -> None:
        """Ends the session, which has started, with its caller; at once if they have left.

        A caller who calls in is there before their agent: one who is not in 5 s has given up.
        """
        self._is_started = True
        if self.has_left:
            self._session.shutdown(drain=False)
        elif is_inbound and not self._caller:
            self._clock.call_at(self._clock.now() + _COMES_WITHIN, self._give_up)

    def _give_up(self) -> None:
        if not self._caller and self._room.isconnected():
            self.has_left = True
            self._session.shutdown(drain=False)

    def _on_person(self, person: rtc.RemoteParticipant) -> None:
        if not self._caller and is_phone(person):
            self._caller = person.identity

    def end(self) -> None:
        """Ends the session because its caller is gone."""
        self.has_left = True
        if self._is_started:  # one that has not could not be ended later
            self._session.shutdown(drain=False)

    def _on_left(self, person: rtc.RemoteParticipant) -> None:
        if person.identity == self._caller:
            self.end()
