"""A call process is killed during a call: another agent takes its place, and is never a second."""

import asyncio
import secrets

from livekit import api, rtc

from agent.livekit_server import LiveKitServer
from agent.receptionist.presence import is_receptionist
from llm_router.clock import SystemClock
from llm_router.testing.server import Script
from tests.voice.caller import Caller
from tests.voice.replies import words
from tests.voice.stack import GREETING, VoiceStack
from tests.voice.stack_processes import call_processes, kill

ANSWER = "It is twelve euros."
AGENT = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
REPLACED = 3
"""Agents that are replaced in one room."""


class Ahead(SystemClock):
    """A clock that is ahead by some seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def wall(self) -> float:
        return super().wall() + self._seconds


def is_agent(who: rtc.RemoteParticipant) -> bool:
    return who.kind == AGENT and not is_receptionist(who)


def agents(caller: Caller) -> list[str]:
    return [who.identity for who in caller.room.remote_participants.values() if is_agent(who)]


async def kill_the_agent(stack: VoiceStack, caller: Caller, dead: set[int]) -> float:
    """Asks the agent a question, then kills its process, and adds that to `dead`.

    Returns the time of the kill (loop time, s).
    """
    asked = asyncio.get_running_loop().time()
    await caller.type("What is the fee?")
    await caller.wait_until(lambda me: ANSWER in me.transcript(by_agent=True, since=asked))
    (process,) = call_processes(stack) - dead
    kill(process)
    dead.add(process)
    return asyncio.get_running_loop().time()


async def wait_for_another(caller: Caller, before: str, killed: float) -> None:
    """Waits until an agent other than `before` has greeted the caller after `killed`."""
    await caller.wait_until(lambda me: agents(me) not in ([], [before]))
    await caller.wait_until(lambda me: GREETING in me.transcript(by_agent=True, since=killed))


async def test_a_killed_call_process_is_replaced_and_two_agents_are_never_in_the_room(
    stack: VoiceStack,
) -> None:
    await stack.behave(Script(words=words(ANSWER)))
    dead = call_processes(stack)
    async with stack.call(microphone=False) as caller:
        counts: list[int] = []
        caller.room.on(
            "participant_connected",
            lambda who: counts.append(len(agents(caller))) if is_agent(who) else None,
        )
        for _ in range(REPLACED):
            (before,) = agents(caller)
            killed = await kill_the_agent(stack, caller, dead)
            await wait_for_another(caller, before, killed)
        assert counts == [1] * REPLACED


async def test_an_agent_that_never_came_is_called_again(stack: VoiceStack) -> None:
    keys = stack.livekit
    room, name = f"web-{secrets.token_hex(4)}", "nobody-answers"

    async def call(ahead: float) -> list[str]:
        clock = Ahead(ahead)
        async with LiveKitServer(keys.url, keys.key, keys.secret, clock=clock) as server:
            await server.ensure_agent(room, name)
        listed = await livekit.agent_dispatch.list_dispatch(room)
        return [each.id for each in listed if each.agent_name == name]

    async with api.LiveKitAPI(keys.url, keys.key, keys.secret) as livekit:
        await livekit.room.create_room(api.CreateRoomRequest(name=room))
        first = await call(0)
        assert len(first) == 1
        assert await call(1) == first
        again = await call(60)
        assert len(again) == 1
        assert again != first
        await livekit.room.delete_room(api.DeleteRoomRequest(room=room))
