"""Runs the whole telephone stack for tests: the voice stack, Redis, and LiveKit's SIP server."""

import asyncio
import itertools
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from livekit import api

from agent.phone.livekit_sip import LiveKitSip
from agent.phone.provision import apply_plan, make_plan
from agent.phone.setup_file import load_phone
from agent.phone.wanted import wanted_objects
from deploy import console, media_server, paths
from deploy.ports import free_ports
from deploy.services import LiveKit, Redis, livekit_service, redis_service, sip_service
from deploy.supervisor import Supervisor
from llm_router.voice.phone.rooms import ROOM_PREFIX
from tests.phone.lines import opened_api
from tests.phone.listener import Listener, listening
from tests.phone.softphone import Account, Softphone, free_port, running_phone
from tests.voice.stack import VoiceStack, build_programs, serving
from tests.voice.stack_processes import answering

LINE, LOCKED_LINE = "+15550100", "+15550101"
"""Numbers of phone.toml: one for all, one whose callers need a password."""
_POLL_INTERVAL = 0.1  # s
SHOP_LINE, CLOSED_LINE = "+15550110", "+15550111"
"""A number with an assistant of its own and a menu, and one that is never open."""
BRIEF_LINE = "+15550112"
"""A number whose assistant ends a call after 12 s without a word."""
SETUP = Path(__file__).with_name("phone.toml")
LOGS = paths.ROOT / "test-artifacts" / "phone"


@dataclass(frozen=True)
class PhoneStack:
    """The running stack. Telephones are made with `phone`; `voice` has the rest of it."""

    voice: VoiceStack
    folder: Path
    """For the files of telephones."""
    password: str = field(repr=False)
    """That of the locked line."""
    person_port: int
    """Port of the telephone of all people to whom calls are transferred."""
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1_000_000))

    @property
    def sip_address(self) -> str:
        """Host and port of the SIP server."""
        return f"127.0.0.1:{self.voice.ports.sip_port}"

    @asynccontextmanager
    async def phone(self, account: Account | None = None) -> AsyncIterator[Softphone]:
        """Runs a telephone that calls the stack, or is called by it, during the block.

        Without an account it gets a number of its own.
        """
        number = next(self.numbers)
        account = account or Account(number=f"+1555{number}")
        folder = self.folder / str(number)
        async with running_phone(folder, self.sip_address, account) as phone:
            yield phone

    @asynccontextmanager
    async def person(self) -> AsyncIterator[Softphone]:
        """Runs the telephone of the people to whom the agent may transfer calls."""
        async with self.phone(Account(number="staff", port=self.person_port)) as phone:
            yield phone

    @asynccontextmanager
    async def call(self, number: str = LINE) -> AsyncIterator[Softphone]:
        """Calls a number; yields the telephone as the call is answered, and hangs up at the end."""
        async with self.phone() as phone:
            await phone.dial(number)
            yield phone

    async def room_of(self, phone: Softphone) -> str:
        """Returns the name of the room of a telephone's call."""
        return next(iter(await self.rooms_of(phone)))

    async def rooms_of(self, phone: Softphone) -> Sequence[str]:
        """Returns the names of the rooms in which a telephone is."""
        return await self.rooms_with("sip.phoneNumber", phone.account.number)

    async def rooms_with(self, attribute: str, value: str) -> Sequence[str]:
        """Returns the names of the telephone rooms with a participant of this attribute."""
        async with opened_api(self.voice.livekit) as livekit:
            listed = await livekit.room.list_rooms(api.ListRoomsRequest())
            names = [room.name for room in listed.rooms if room.name.startswith(ROOM_PREFIX)]
            found = [
                await livekit.room.list_participants(api.ListParticipantsRequest(room=name))
                for name in names
            ]
        return [
            name
            for name, people in zip(names, found, strict=True)
            if any(one.attributes.get(attribute) == value for one in people.participants)
        ]

    async def only_call(self, within: float = 30.0) -> int:
        """Returns the process that answers the only call; those of earlier calls are ending."""
        async with asyncio.timeout(within):
            while len(found := answering(self.voice)) != 1:  # noqa: ASYNC110  other processes
                await asyncio.sleep(_POLL_INTERVAL)
        [process] = found
        return process

    async def facts_of(self, room: str) -> dict[str, Any]:
        """Returns what the store has of the last call in a room."""
        page = await self.voice.manage("GET", f"/calls?room={quote(room, safe='')}")
        return dict(page["items"][0])

    async def wait_until_idle(self, within: float = 60.0) -> None:
        """Waits until nothing of any call is left: no room, no process, and no call in the store
        that has not ended.
        """
        left: Mapping[str, object] = {}
        try:
            async with asyncio.timeout(within):
                while any((left := await self._left()).values()):  # noqa: ASYNC110  other processes
                    await asyncio.sleep(_POLL_INTERVAL)
        except TimeoutError:
            raise AssertionError(f"still there: {left}") from None

    async def _left(self) -> Mapping[str, object]:
        async with opened_api(self.voice.livekit) as livekit:
            listed = await livekit.room.list_rooms(api.ListRoomsRequest())
        return {
            "rooms": [room.name for room in listed.rooms],
            "processes": answering(self.voice),
            "calls": [
                call
                for state in ("agent", "handed_over")
                for call in (await self.voice.manage("GET", f"/calls?state={state}"))["items"]
            ],
        }

    @asynccontextmanager
    async def listening(self, phone: Softphone) -> AsyncIterator[Listener]:
        """Takes part in the room of a telephone's call during the block."""
        livekit = self.voice.livekit
        room = await self.room_of(phone)
        # Hidden, or the next agent of the call would take it for a caller.
        grants = api.VideoGrants(room_join=True, room=room, hidden=True, can_publish_data=True)
        token = api.AccessToken(livekit.key, livekit.secret).with_identity("listener")
        async with listening(livekit.url, token.with_grants(grants).to_jwt()) as listener:
            yield listener


@asynccontextmanager
async def running_phone_stack(
    folder: Path, logs: Path = LOGS, /, **settings: str
) -> AsyncIterator[PhoneStack]:
    """Starts the stack, with `settings` in addition to the usual ones, and stops it at the end.

    The processes write their logs to a folder.
    """
    livekit_program, sip_program = await asyncio.to_thread(_build)
    redis_program = shutil.which("redis-server")
    assert redis_program, "install Debian's redis-server"
    await asyncio.to_thread(logs.mkdir, parents=True, exist_ok=True)
    ports = free_ports()
    livekit = LiveKit(
        url=f"ws://127.0.0.1:{ports.livekit_port}",
        key=f"test-{secrets.token_hex(4)}",
        secret=secrets.token_urlsafe(32),
        ours=True,
    )
    redis = Redis(ports.redis_port, secrets.token_urlsafe(16))
    async with AsyncExitStack() as stack:
        # Short, since its path is in sockets' names and in what baresip is told.
        phones = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="phones-")))
        processes = Supervisor(logs)
        stack.push_async_callback(processes.stop)
        await processes.start(redis_service(Path(redis_program), redis, folder))
        await processes.start(livekit_service(livekit_program, livekit, ports, redis))
        await processes.start(sip_service(sip_program, livekit, ports, redis))
        password = secrets.token_urlsafe(16)
        person_port = free_port()
        own = {
            "PHONE_FILE": str(SETUP),
            "LOCKED_PASSWORD": password,
            "ASSISTANTS_FILE": str(SETUP.with_name("assistants.toml")),
            "RECORDINGS": str(folder / "recordings"),
            "PEOPLE": f"sip:staff@127.0.0.1:{person_port}",
            **settings,
        }
        voice = await stack.enter_async_context(serving(livekit, ports, folder, processes, **own))
        await _apply_setup(voice)
        yield PhoneStack(voice, phones, password, person_port)


async def until(ask: Callable[[], Awaitable[Any]], within: float = 60.0) -> Any:
    """Asks until the answer is a true value, and returns it."""
    async with asyncio.timeout(within):
        while not (found := await ask()):  # noqa: ASYNC110  another process decides
            await asyncio.sleep(_POLL_INTERVAL)
    return found


async def _apply_setup(voice: VoiceStack) -> None:
    """Brings LiveKit to what the stack's telephone file asks for."""
    setup = load_phone(Path(voice.settings["PHONE_FILE"]), voice.settings)
    agent_name = voice.settings["AGENT_NAME"]
    livekit = voice.livekit
    async with LiveKitSip(livekit.url, livekit.key, livekit.secret) as sip:
        plan = make_plan(await sip.read(), wanted_objects(setup, agent_name), agent_name)
        await apply_plan(plan, sip)


def _build() -> tuple[Path, Path]:
    try:
        return build_programs(), media_server.SIP.provide()
    except console.ReportedError as failure:
        pytest.fail(failure.report(), pytrace=False)
