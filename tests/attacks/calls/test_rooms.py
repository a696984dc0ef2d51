"""A visitor who wants another's room, another's identity, or more agents and places than one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import jwt
import pytest
import pytest_asyncio
from livekit import api, rtc

from agent.livekit_server import LiveKitServer
from agent.visits import Continuations, Visit
from llm_router.clock import SystemClock
from tests.voice.stack import VoiceStack, running_stack

SHARED = "lobby"
PLACES, PLACES_PER_ADDRESS = 5, 3


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def strict_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[VoiceStack]:
    """LiveKit and the HTTP process alone: who may join, and how often the agent is called."""
    settings = {
        "MAX_CALLS": str(PLACES),
        "MAX_CALLS_PER_ADDRESS": str(PLACES_PER_ADDRESS),
        "QUEUE_LENGTH": "1",
        "SHARED_ROOMS": SHARED,
        "TRUSTED_PROXIES": "127.0.0.1",
        "WORKER": "off",
    }
    folder = tmp_path_factory.mktemp("rooms")
    async with running_stack(folder, **settings) as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="session")
async def stack(strict_stack: VoiceStack) -> AsyncIterator[VoiceStack]:
    """The stack with few places, all of them free."""
    yield strict_stack
    async with strict_stack.server() as livekit:
        mine = strict_stack.settings["AGENT_NAME"]
        rooms = [name for name, mark in (await livekit.rooms()).items() if mark.startswith(mine)]
    async with livekit_api(strict_stack) as server:
        for room in rooms:
            await server.room.delete_room(api.DeleteRoomRequest(room=room))


def livekit_api(stack: VoiceStack) -> api.LiveKitAPI:
    return api.LiveKitAPI(stack.livekit.url, stack.livekit.key, stack.livekit.secret)


async def ask(stack: VoiceStack, address: str = "192.0.2.1", **body: Any) -> httpx2.Response:
    """Asks for a token as a visitor with this address."""
    async with httpx2.AsyncClient(headers={"X-Forwarded-For": address}) as client:
        url = f"http://127.0.0.1:{stack.ports.http_port}/token"
        return await client.post(url, json=body)


async def visit(
    stack: VoiceStack, address: str = "192.0.2.1", **body: Any
) -> tuple[dict[str, Any], str, str]:
    """Asks for a token; returns the answer, and the room and the identity that it grants."""
    answer = await ask(stack, address, **body)
    assert answer.status_code == 201, answer.text
    granted = answer.json()
    claims = jwt.decode(granted["participant_token"], options={"verify_signature": False})
    return granted, claims["video"]["room"], claims["sub"]


async def test_a_visitor_can_neither_name_anothers_room_nor_take_their_identity(
    stack: VoiceStack,
) -> None:
    _, room, identity = await visit(stack)
    wishes: list[dict[str, Any]] = [
        {"room_name": room, "participant_identity": identity},
        {"roomName": room, "participantIdentity": identity},
    ]
    for wish in wishes:
        _, other_room, other_identity = await visit(stack, "192.0.2.2", **wish)
        assert other_room != room
        assert other_identity != identity


async def test_only_a_signed_continuation_leads_back_to_a_room(stack: VoiceStack) -> None:
    granted, room, identity = await visit(stack)
    assert (await visit(stack, continuation=granted["continuation"]))[1:] == (room, identity)
    forger = Continuations("x" * 32)
    forged = forger.sign(Visit(identity=identity, room=room), SystemClock().wall())
    for text in (forged, granted["participant_token"], room, granted["continuation"] + "x"):
        _, other_room, other_identity = await visit(stack, "192.0.2.3", continuation=text)
        assert (other_room == room, other_identity == identity) == (False, False)
        await end(stack, other_room)


async def test_a_visitor_who_returns_brings_no_second_agent(stack: VoiceStack) -> None:
    granted, room, _ = await visit(stack)
    async with joined(stack, granted):
        again, _, _ = await visit(stack, continuation=granted["continuation"])
        async with joined(stack, again):
            assert len(await dispatches(stack, room)) == 1


async def test_rooms_are_shared_where_the_site_says_so_and_with_one_agent(
    stack: VoiceStack,
) -> None:
    visits = [await visit(stack, f"192.0.2.{n}", room_name=SHARED) for n in (1, 2)]
    assert [room for _, room, _ in visits] == [SHARED, SHARED]
    assert len({identity for _, _, identity in visits}) == 2
    assert len(await dispatches(stack, SHARED)) == 1


async def test_one_token_starts_one_agent_however_often_it_is_used(stack: VoiceStack) -> None:
    granted, room, _ = await visit(stack)
    assert len(await dispatches(stack, room)) == 1
    for _ in range(2):
        await end(stack, room)
        async with joined(stack, granted):
            assert await dispatches(stack, room) == []


async def test_a_room_that_a_used_token_opened_again_is_no_place_for_an_agent(
    stack: VoiceStack,
) -> None:
    granted, room, identity = await visit(stack)
    await end(stack, room)
    async with joined(stack, granted):
        again, other, same = await visit(stack, continuation=granted["continuation"])
        assert other != room
        assert same == identity
        for _ in range(PLACES_PER_ADDRESS - 1):
            await visit(stack)
        full = await ask(stack, continuation=granted["continuation"])
        assert full.status_code == 429
        assert await dispatches(stack, room) == []
    returned = await ask(stack, continuation=again["continuation"])
    assert returned.status_code == 201


async def test_one_address_cannot_take_every_place_and_a_full_site_says_so(
    stack: VoiceStack,
) -> None:
    rude = [await ask(stack, "192.0.2.7") for _ in range(10)]
    assert [answer.status_code for answer in rude] == [201] * PLACES_PER_ADDRESS + [429] * 7
    assert int(rude[-1].headers["retry-after"]) > 0
    assert rude[-1].json()["type"] == "/problems/too-many-calls"
    polite = [await ask(stack, f"198.51.100.{number}") for number in range(4)]
    assert [answer.status_code for answer in polite] == [201] * 3 + [503]  # the third one waits
    assert int(polite[-1].headers["retry-after"]) > 0
    assert polite[-1].json()["type"] == "/problems/all-lines-busy"
    async with stack.server() as livekit:
        mine = stack.settings["AGENT_NAME"]
        marks = [mark for mark in (await livekit.rooms()).values() if mark.startswith(mine)]
    assert len(marks) == PLACES + 1
    assert sum("waiting" in mark for mark in marks) == 1
    assert "192.0.2.7" not in "".join(marks)


async def test_an_agent_whose_visitor_never_comes_gives_its_place_back(stack: VoiceStack) -> None:
    async with stack.server() as livekit:
        await livekit.open_room("web-abandoned", stack.settings["AGENT_NAME"], join_within=1)
        await until_gone(livekit, "web-abandoned")


@asynccontextmanager
async def joined(stack: VoiceStack, granted: dict[str, Any]) -> AsyncIterator[None]:
    """Joins a room with a token, and leaves it at the end."""
    room = rtc.Room()
    await room.connect(stack.livekit.url, granted["participant_token"])
    try:
        yield
    finally:
        await room.disconnect()


async def dispatches(stack: VoiceStack, room: str) -> list[str]:
    """Lists the times that our agent was called into the room."""
    async with livekit_api(stack) as server:
        listed = await server.agent_dispatch.list_dispatch(room)
    return [each.id for each in listed if each.agent_name == stack.settings["AGENT_NAME"]]


async def until_gone(livekit: LiveKitServer, room: str) -> None:
    """Waits for the end of a room, which LiveKit reports nowhere else."""
    async with asyncio.timeout(60):
        while room in await livekit.rooms():
            await SystemClock().sleep(0.1)


async def end(stack: VoiceStack, room: str) -> None:
    async with livekit_api(stack) as server:
        await server.room.delete_room(api.DeleteRoomRequest(room=room))
