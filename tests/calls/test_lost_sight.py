"""An agent whose connection breaks, at a real LiveKit: who has left, and who is not seen."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import pytest
from livekit import api, rtc

from agent.survival.departures import Departures, is_gone
from tests.voice.stack import VoiceStack

ROOM = "lost-sight"
CALLER = "sip_caller"
_WITHIN = 20.0


@asynccontextmanager
async def joined(
    stack: VoiceStack, identity: str, kind: Literal["sip", "agent"]
) -> AsyncIterator[rtc.Room]:
    grants = api.VideoGrants(room_join=True, room=ROOM)
    token = api.AccessToken(stack.livekit.key, stack.livekit.secret).with_identity(identity)
    room = rtc.Room()
    await room.connect(stack.livekit.url, token.with_kind(kind).with_grants(grants).to_jwt())
    try:
        yield room
    finally:
        await room.disconnect()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("breaks", "is_anew"),
    [
        (rtc.SimulateScenarioKind.SIMULATE_SIGNAL_RECONNECT, False),
        (rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT, True),
    ],
)
async def test_a_caller_has_not_left_because_the_agent_joins_the_room_anew(
    stack: VoiceStack, breaks: rtc.SimulateScenarioKind.ValueType, *, is_anew: bool
) -> None:
    async with joined(stack, CALLER, "sip") as caller, joined(stack, "agent-1", "agent") as room:
        said: list[rtc.RemoteParticipant] = []
        left: asyncio.Queue[rtc.RemoteParticipant] = asyncio.Queue()
        back = asyncio.Event()
        room.on("participant_disconnected", said.append)
        room.on("reconnected", back.set)
        departures = Departures(room, left.put_nowait)
        await room.simulate_scenario(breaks)
        async with asyncio.timeout(_WITHIN):
            await back.wait()
        assert [one.identity for one in said] == ([CALLER] if is_anew else [])
        assert not is_gone(room, CALLER)
        assert left.empty()
        await caller.disconnect()
        async with asyncio.timeout(_WITHIN):
            assert (await left.get()).identity == CALLER
        assert is_gone(room, CALLER)
        departures.close()
