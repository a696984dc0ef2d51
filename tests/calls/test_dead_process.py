"""A call process or a whole worker dies in the middle of a call: another agent goes on with it."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from livekit import api, rtc

from agent.dispatch import Dispatch
from agent.livekit_server import LiveKitServer
from agent.receptionist.presence import is_receptionist
from agent.survival.farewell import Voice, farewell_by
from llm_router.clock import SystemClock
from llm_router.store.calls import CallStore
from llm_router.store.database import Database
from llm_router.testing.server import Script
from llm_router.voice.calls import Call, CallFilters, CallItem
from tests.contracts.byte_server import Answer, Asked, ByteServer
from tests.voice.caller import Caller
from tests.voice.replies import BOOKING, insisting, words
from tests.voice.stack import GREETING, PHRASES, VoiceStack, more_workers, running_beside
from tests.voice.stack_processes import (
    answering,
    kill,
    leave,
    own_worker,
    page_process,
    stop,
    stopped,
)

NUMBERS = (
    "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen twenty."
)
AGENT = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
AWAY = PHRASES.pick("away", "en", 0)


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


def agents_at_a_time(caller: Caller) -> list[int]:
    """Returns a list that grows with each agent that joins: how many there are then."""
    counts: list[int] = []
    caller.room.on(
        "participant_connected",
        lambda who: counts.append(len(agents(caller))) if is_agent(who) else None,
    )
    return counts


async def the_call(stack: VoiceStack) -> tuple[int, int]:
    """Returns the process of the only call, once earlier ones have ended, and its worker's."""
    async with asyncio.timeout(30):
        while len(found := answering(stack)) != 1:  # noqa: ASYNC110  processes have no event
            await asyncio.sleep(0.1)
    [(process, worker)] = found.items()
    return process, worker


async def die_in_mid_sentence(
    stack: VoiceStack, caller: Caller, die: Callable[[int, int], None]
) -> Sequence[str]:
    """Lets `die` end the agent while it counts; returns the words that the caller received of it.

    `die` gets the process of the call and that of its worker.
    """
    before = set(agents(caller))
    process, worker = await the_call(stack)
    asked = asyncio.get_running_loop().time()
    await caller.type("Count to twenty.", listens=True)
    await caller.wait_until(lambda me: "three" in me.words(asked))
    die(process, worker)
    await caller.wait_until(lambda me: me.words(asked)[-1] == "twenty.", 60)
    assert not before & set(agents(caller))
    await caller.wait_for_silence()
    return caller.words(asked)


def assert_once(received: Sequence[str]) -> None:
    """Asserts that every number was said once; the one that was cut may be said again."""
    numbers = NUMBERS.lower().split()
    said = [word.lower() for word in received if word.lower() in numbers]
    assert list(dict.fromkeys(said)) == numbers, said
    assert len(said) <= len(numbers) + 1, said


async def stored(stack: VoiceStack, room: str) -> tuple[Call, Sequence[CallItem]]:
    database = Database(stack.settings["DATABASE_URL"])
    try:
        store = CallStore(database)
        [call], _ = await store.find(CallFilters(room=room))
        return await store.read(call.id)
    finally:
        await database.aclose()


async def history(stack: VoiceStack, room: str) -> Sequence[CallItem]:
    return (await stored(stack, room))[1]


async def test_another_agent_goes_on_in_mid_sentence_and_two_are_never_in_the_room(
    stack: VoiceStack,
) -> None:
    await stack.behave(Script(words=words(NUMBERS)))
    async with stack.call(microphone=False) as caller:
        counts = agents_at_a_time(caller)
        room = caller.room.name
        received = await die_in_mid_sentence(stack, caller, lambda process, _: kill(process))
        assert_once(received)
        received = await die_in_mid_sentence(stack, caller, lambda process, _: stop(process))
        assert_once(received)
        assert " ".join(received).count(AWAY) == 1
        assert counts == [1, 1]
        assert agents(caller) == [f"agent-{room}-3"]
    async with asyncio.timeout(20):
        while True:  # the log of a call is written beside it
            items = await history(stack, room)
            said = " ".join(item.text for item in items if item.role == "assistant")
            if said.count("twenty") == 2:
                break
            await asyncio.sleep(0.1)
    assert [item.text for item in items if item.role == "user"] == ["Count to twenty."] * 2
    assert_once([*said.split("twenty.")[0].split()[1:], "twenty."])


UNSURE = "I cannot confirm your table."


async def test_a_tool_that_runs_when_its_agent_dies_is_not_run_again(stack: VoiceStack) -> None:
    runs = asyncio.Event()

    def run(_: Asked) -> Answer:
        runs.set()
        return "silence"

    unsure = Script(words=words(UNSURE))
    await stack.behave(
        *(
            insisting(server, BOOKING["name"], '{"at": "nine"}', unsure)
            for server in (stack.first, stack.spare)
        )
    )
    async with ByteServer(run) as shop:
        tool = {**BOOKING, "url": f"{shop.root}/tables"}
        record = {"name": "restaurant", "greeting": GREETING, "http_tools": [tool]}
        await stack.manage("POST", "/assistants", record)
        async with stack.call(microphone=False, assistant="restaurant") as caller:
            counts = agents_at_a_time(caller)
            process, _ = await the_call(stack)
            asked = asyncio.get_running_loop().time()
            await caller.type("Book a table at nine.", listens=True)
            async with asyncio.timeout(20):
                await runs.wait()
            kill(process)
            await caller.wait_until(
                lambda me: UNSURE in me.transcript(by_agent=True, since=asked), 60
            )
            assert agents(caller) == [f"agent-{caller.room.name}-2"]
        assert len(shop.asked) == 1
    await stack.manage("DELETE", "/assistants/restaurant")
    assert counts == [1]
    last = max(stack.first.requests, key=lambda request: len(request.messages))
    results = [str(one["content"]) for one in last.messages if one["role"] == "tool"]
    assert len(results) == 2
    assert all("unknown" in result for result in results), results


@asynccontextmanager
async def call_of_another_worker(stack: VoiceStack) -> AsyncIterator[tuple[Caller, int]]:
    """Starts a call that is not answered by the stack's own worker, which other tests need."""
    for _ in range(12):
        async with stack.call(microphone=False) as caller:
            _, worker = await the_call(stack)
            if worker != own_worker(stack):
                yield caller, worker
                return
    pytest.fail("LiveKit gave every call to one of several workers")


async def counting(caller: Caller) -> float:
    """Lets the agent count to seven; returns when it was asked to."""
    asked = asyncio.get_running_loop().time()
    await caller.type("Count to twenty.", listens=True)
    await caller.wait_until(lambda me: "seven" in me.words(asked))
    return asked


async def goes_on(caller: Caller, asked: float, epoch: int) -> None:
    """Asserts that the agent of this epoch says what is missing, alone."""
    await caller.wait_until(lambda me: agents(me) == [f"agent-{me.room.name}-{epoch}"], 60)
    await caller.wait_until(lambda me: me.words(asked)[-1:] == ["twenty."], 60)
    assert_once(caller.words(asked))


async def test_another_worker_goes_on_with_the_calls_of_one_that_leaves_or_is_killed(
    stack: VoiceStack,
) -> None:
    await stack.behave(Script(words=words(NUMBERS)))
    async with more_workers(stack, 3):
        async with call_of_another_worker(stack) as (caller, worker):
            counts = agents_at_a_time(caller)
            leave(worker)
            await caller.wait_until(lambda me: agents(me) == [f"agent-{me.room.name}-2"], 60)
            assert (await the_call(stack))[1] != worker
            asked = asyncio.get_running_loop().time()
            await caller.type("Count to twenty.", listens=True)
            assert await caller.wait_for_answer(asked) == NUMBERS
            assert counts == [1]
        async with call_of_another_worker(stack) as (caller, worker):
            asked = await counting(caller)
            kill(worker)
            await goes_on(caller, asked, epoch=2)
        async with call_of_another_worker(stack) as (caller, worker):
            asked = await counting(caller)
            with stopped(own_worker(stack)):  # no other is left, and nobody takes the next request
                kill(worker)
                async with asyncio.timeout(30):
                    while (await stored(stack, caller.room.name))[0].epoch < 3:  # noqa: ASYNC110  another process moves it on
                        await asyncio.sleep(0.1)
            await goes_on(caller, asked, epoch=3)


@pytest.mark.thorough
async def test_a_call_outlives_its_worker_and_the_process_that_watches_at_the_same_time(
    stack: VoiceStack, tmp_path: Path
) -> None:
    async with running_beside(stack, tmp_path) as beside, more_workers(beside, 1):
        await beside.behave(Script(words=words(NUMBERS)))
        async with beside.call(microphone=False) as caller:
            _, worker = await the_call(beside)
            counts = agents_at_a_time(caller)
            asked = await counting(caller)
            kill(page_process(beside))
            kill(worker)
            await goes_on(caller, asked, epoch=2)
            assert counts == [1]


@pytest.mark.thorough
async def test_an_agent_whose_caller_hangs_up_while_it_is_on_its_way_notes_that_and_leaves(
    stack: VoiceStack,
) -> None:
    await stack.behave(Script(words=words(NUMBERS)))
    async with stack.call(microphone=False) as caller:
        room = caller.room.name
        process, _ = await the_call(stack)
        await counting(caller)
        kill(process)
        async with asyncio.timeout(30), stack.server() as livekit:
            name, last = stack.settings["AGENT_NAME"], Dispatch()
            while last.epoch < 2:
                await asyncio.sleep(0.05)
                last = await livekit.last_dispatch(room, name) or last
    async with asyncio.timeout(60):
        while (call := (await stored(stack, room))[0]).state != "ended":  # noqa: ASYNC110  its agent ends it
            await asyncio.sleep(0.1)
        while answering(stack):  # noqa: ASYNC110  processes have no event
            await asyncio.sleep(0.1)
    assert (call.epoch, call.reason) == (2, "caller left")


async def test_a_caller_whom_no_agent_can_reach_is_spoken_to(stack: VoiceStack) -> None:
    keys = stack.livekit
    async with stack.call(microphone=False) as caller, stack.server() as livekit:
        room = caller.room.name
        began = asyncio.get_running_loop().time()
        assert not await livekit.has_only_callers(room)
        assert await livekit.last_dispatch(room, stack.settings["AGENT_NAME"]) == Dispatch()
        await livekit.evict(room, stack.settings["AGENT_NAME"])
        assert await livekit.has_only_callers(room)
        assert room in await livekit.rooms()
        goodbye = farewell_by(
            Voice(
                url=keys.url,
                api_key=keys.key,
                api_secret=keys.secret,
                language="en",
                words="Please call again.",
            )
        )
        await goodbye(room, "goodbye")
        assert len(caller.sound(began)) > 50


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
