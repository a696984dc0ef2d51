"""Tells the receptionist, the agent and the caller of a room apart."""

import asyncio
from types import MappingProxyType
from typing import Any

from livekit import rtc
from livekit.agents import AgentSession

from agent.receptionist.queue import ATTRIBUTES
from agent.survival.departures import Departures
from agent.survival.fence import has_agent

LEAVING = MappingProxyType({"patchbay.leaving": "true"})
"""Attributes of a receptionist whose worker stops: another one may take its place."""
_LEAVES_WITHIN = 6.0
"""Seconds in which the receptionist must have ended its sentence."""
_AGENT = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT


def is_receptionist(participant: rtc.RemoteParticipant) -> bool:
    return ATTRIBUTES.items() <= participant.attributes.items()


def find_agent(room: rtc.Room) -> rtc.RemoteParticipant | None:
    """Returns the agent that answers the caller, if it is there."""
    people = room.remote_participants.values()
    return next((who for who in people if who.kind == _AGENT and not is_receptionist(who)), None)


def find_receptionist(room: rtc.Room) -> rtc.RemoteParticipant | None:
    """Returns another receptionist than this participant."""
    return next(filter(is_receptionist, room.remote_participants.values()), None)


def is_served(room: rtc.Room) -> bool:
    """Returns whether another receptionist is there to stay."""
    people = filter(is_receptionist, room.remote_participants.values())
    return any(not LEAVING.items() <= one.attributes.items() for one in people)


def find_caller(room: rtc.Room) -> rtc.RemoteParticipant | None:
    return next((who for who in room.remote_participants.values() if who.kind != _AGENT), None)


async def wait_for_the_word(session: AgentSession[Any]) -> None:
    """Waits until neither a receptionist nor an earlier agent is in the session's room."""
    try:
        room = session.room_io.room
    except RuntimeError:  # a session without a room
        return
    await wait_until_left(room)


async def wait_until_left(room: rtc.Room) -> None:
    """Waits until who spoke before has left the room, at most 6 s: two must not speak at once.

    The receptionist leaves when the agent, or another one for a worker that stops, comes; an agent
    leaves when a later one comes. LiveKit lets one of both in first, so that the other one finds it
    there: they never miss each other.
    """
    gone = asyncio.Event()

    def check(*_: Any) -> None:
        is_later = has_agent(room, lambda other, mine: other < mine)
        if find_receptionist(room) is None and not is_later:
            gone.set()

    departures = Departures(room, check)
    try:
        check()
        async with asyncio.timeout(_LEAVES_WITHIN):
            await gone.wait()
    except TimeoutError:
        return
    finally:
        departures.close()
