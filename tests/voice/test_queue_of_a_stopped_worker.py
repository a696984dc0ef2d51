"""A worker that stops leaves no caller of its queue without a word."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
from pydantic import SecretStr

from agent.receptionist.desk import Desk, DeskOptions
from agent.receptionist.queue import CallMark
from agent.receptionist.sounds import RATE, Sounds
from agent.receptionist_process import Rooms, make_server
from agent.tokens import mint_token
from config.settings import Settings
from tests.voice.caller import Caller, call
from tests.voice.stack import PHRASES, VoiceStack

ENGLISH = PHRASES.by_language["en"]
[BUSY], [SORRY] = ENGLISH["reception.busy"], ENGLISH["reception.sorry"]
FIRST = ENGLISH["reception.place"][0]


class Tones(Sounds):
    """Has a short tone for each sentence."""

    def get(self, text: str) -> bytes:
        times = np.arange(RATE // 5) / RATE
        return (4000 * np.sin(2 * np.pi * 440 * times)).astype(np.int16).tobytes() * bool(text)


class Site:
    """An agent of its own at the stack's LiveKit, all of whose lines are busy."""

    def __init__(self, stack: VoiceStack) -> None:
        self.stack = stack
        self.agent = f"busy-{secrets.token_hex(4)}"

    def desk(self, relieved_within: float = 20.0) -> Desk:
        async def is_full() -> bool:
            return True

        options = DeskOptions(
            agent_name=self.agent,
            language="en",
            phrases=PHRASES,
            relieved_within=relieved_within,
        )
        return Desk(options, Tones(), self.stack.server, is_full)

    @asynccontextmanager
    async def waiting(self, desk: Desk) -> AsyncIterator[tuple[Caller, "asyncio.Task[None]"]]:
        """Calls, and waits in the queue of this desk until it has said the place."""
        room, livekit = f"call-{secrets.token_hex(4)}", self.stack.livekit
        mark = CallMark(caller="somebody", waiting_since=time.time()).to_metadata(self.agent)
        async with self.stack.server() as server:
            await server.open_room(room, "none", join_within=60, metadata=mark)
        token = mint_token(
            api_key=livekit.key,
            api_secret=livekit.secret,
            identity="caller",
            name="Caller",
            room=room,
            ttl=60,
            now=time.time(),
        )
        async with call(livekit.url, token, microphone=False, waits_for_agent=False) as caller:
            serving = asyncio.create_task(desk.serve(room, mark, ""))
            await caller.wait_until(lambda me: FIRST in me.transcript(by_agent=True))
            yield caller, serving
            await serving

    @asynccontextmanager
    async def another_worker(self) -> AsyncIterator[None]:
        """Has a receptionist of another worker, which LiveKit calls."""
        livekit = self.stack.livekit
        settings = Settings(
            livekit_url=livekit.url,
            livekit_api_key=livekit.key,
            livekit_api_secret=SecretStr(livekit.secret),
            agent_name=self.agent,
        )
        rooms = Rooms(self.desk(relieved_within=0.0))
        server = make_server(settings, rooms)
        registered = asyncio.Event()
        server.once("worker_registered", lambda *_: registered.set())
        running = asyncio.create_task(server.run())
        try:
            await registered.wait()
            yield
        finally:
            await server.aclose()
            await rooms.aclose()
            await running


async def test_the_receptionist_of_another_worker_takes_the_caller(stack: VoiceStack) -> None:
    site = Site(stack)
    desk = site.desk()
    async with site.another_worker(), site.waiting(desk) as (caller, serving):
        first = set(caller.room.remote_participants)
        desk.leave()
        await serving
        await caller.wait_until(
            lambda me: me.transcript(by_agent=True) == f"{BUSY} {FIRST} {BUSY} {FIRST}"
        )
        assert len(caller.room.remote_participants) == 1
        assert not first & set(caller.room.remote_participants)


async def test_a_caller_whom_no_worker_takes_gets_a_goodbye(stack: VoiceStack) -> None:
    site = Site(stack)
    desk = site.desk(relieved_within=0.2)
    async with site.waiting(desk) as (caller, serving):
        desk.leave()
        await serving
        await caller.wait_until(lambda me: not me.room.isconnected())
        assert caller.transcript(by_agent=True) == f"{BUSY} {FIRST} {SORRY}"
