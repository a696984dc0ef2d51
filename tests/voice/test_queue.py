"""No caller of a queue is left without a word, and no message is promised that is not stored."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from livekit import rtc
from pydantic import SecretStr

from agent.dispatch import Dispatch
from agent.receptionist.desk import Desk, DeskOptions
from agent.receptionist.letters import FAILED, METHOD, TAKES_MESSAGES, WRONG
from agent.receptionist.queue import CallMark
from agent.receptionist.sounds import RATE, Sounds
from agent.receptionist_process import Rooms, make_server
from agent.tokens import mint_token
from config.settings import Settings
from llm_router.errors import StoreError
from llm_router.voice.messages import Message
from tests.voice.caller import Caller, call
from tests.voice.stack import PHRASES, VoiceStack

ENGLISH = PHRASES.by_language["en"]
[OFFER], [NOTED] = ENGLISH["reception.offer"], ENGLISH["reception.noted"]
[BUSY], [SORRY] = ENGLISH["reception.busy"], ENGLISH["reception.sorry"]
FIRST = ENGLISH["reception.place"][0]


class Tones(Sounds):
    """Has a short tone for each sentence."""

    def get(self, text: str) -> bytes:
        times = np.arange(RATE // 5) / RATE
        return (4000 * np.sin(2 * np.pi * 440 * times)).astype(np.int16).tobytes() * bool(text)


class Box:
    """Keeps messages, but fails to store the first one."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.has_failed = False

    async def take(self, message: Message) -> None:
        if not self.has_failed:
            self.has_failed = True
            raise StoreError("the database is away")
        self.messages.append(message)


class Site:
    """An agent of its own at the stack's LiveKit, all of whose lines are busy."""

    def __init__(self, stack: VoiceStack) -> None:
        self.stack = stack
        self.agent = f"busy-{secrets.token_hex(4)}"

    def desk(self, relieved_within: float = 20.0, box: Box | None = None) -> Desk:
        async def is_full() -> bool:
            return True

        options = DeskOptions(
            agent_name=self.agent,
            language="en",
            phrases=PHRASES,
            relieved_within=relieved_within,
        )
        return Desk(options, Tones(), self.stack.server, is_full, messages=box)

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
            serving = asyncio.create_task(
                desk.serve(room, mark, Dispatch(assistant="shop").to_metadata())
            )
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
        rooms = Rooms(self.desk(relieved_within=0.0), 1)
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


@pytest.mark.thorough
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


async def leave_message(caller: Caller, letter: object) -> int:
    """Sends a message to the receptionist, and returns the code of the error, 0 for none."""
    [reception] = caller.room.remote_participants.values()
    assert TAKES_MESSAGES.items() <= reception.attributes.items()
    try:
        await caller.room.local_participant.perform_rpc(
            destination_identity=reception.identity, method=METHOD, payload=json.dumps(letter)
        )
    except rtc.RpcError as error:
        return error.code
    return 0


async def test_a_message_is_promised_once_it_is_stored_and_ends_the_wait(
    stack: VoiceStack,
) -> None:
    site, box = Site(stack), Box()
    async with site.waiting(site.desk(box=box)) as (caller, serving):
        letter = {"text": "Please call me back.", "contact": "+1 555 0100"}
        assert await leave_message(caller, {"text": " "}) == WRONG
        assert await leave_message(caller, {"text": "x" * 5000}) == WRONG
        assert await leave_message(caller, letter) == FAILED
        assert box.messages == []
        assert await leave_message(caller, letter) == 0
        [message] = box.messages
        assert (message.text, message.contact) == (letter["text"], letter["contact"])
        assert (message.assistant, message.room) == ("shop", caller.room.name)
        await serving
        await caller.wait_until(lambda me: not me.room.isconnected())
        assert caller.transcript(by_agent=True) == f"{BUSY} {FIRST} {OFFER} {NOTED}"
