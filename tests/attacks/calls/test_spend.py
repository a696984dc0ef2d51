"""A visitor who tries to spend: long messages, many messages, endless calls."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest
import pytest_asyncio
from livekit import rtc

from llm_router.clock import SystemClock
from llm_router.testing.server import Script
from tests.voice.caller import CHAT, Caller
from tests.voice.replies import words
from tests.voice.stack import PHRASES, VoiceStack, running_beside

ANSWER = "It is twelve euros."
PER_MINUTE, LONGEST, HISTORY = 6, 200, 1000
PROMPT = 4000
"""Characters of the system prompt and the rest of a request, generously."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack(
    shared_stack: VoiceStack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[VoiceStack]:
    settings = {
        "MESSAGE_MAX_CHARACTERS": str(LONGEST),
        "TURNS_PER_MINUTE": str(PER_MINUTE),
        "WORKER_IDLE_PROCESSES": "1",
        "HISTORY_MAX_CHARACTERS": str(HISTORY),
    }
    folder = tmp_path_factory.mktemp("spend")
    async with running_beside(shared_stack, folder, **settings) as beside:
        await beside.behave(Script(words=words(ANSWER)))
        yield beside


def phrase(occasion: str) -> str:
    return PHRASES.pick(occasion, "en", 0)


def sent(stack: VoiceStack) -> list[int]:
    """Returns the characters of each request that reached a model server."""
    return [
        sum(len(str(message["content"] or "")) for message in request.messages)
        for server in (stack.first, stack.spare)
        for request in server.requests
    ]


def says(caller: Caller, occasion: str) -> bool:
    return phrase(occasion) in caller.transcript(by_agent=True)


def has_answered(caller: Caller, more_than: int) -> bool:
    """Returns whether the agent has answered so often; on a busy machine that may be an apology."""
    return len(caller.routes) > more_than


async def test_long_messages_never_reach_a_model(stack: VoiceStack) -> None:
    stack.first.requests.clear()
    stack.spare.requests.clear()
    async with stack.call(microphone=False) as caller:
        for length in (LONGEST + 1, 100_000, 1_000_000):
            await caller.type("x" * length)
        await caller.wait_until(lambda me: says(me, "limit.message"), 60)
        await caller.type("What is the fee?")
        await caller.wait_until(lambda me: ANSWER in me.transcript(by_agent=True), 60)
    assert sum(sent(stack)) <= len(sent(stack)) * (PROMPT + HISTORY)
    contents = [m["content"] for request in stack.first.requests for m in request.messages]
    assert not any("xxx" in str(content) for content in contents)


async def test_a_flood_of_messages_brings_few_answers_and_few_refusals(
    stack: VoiceStack,
) -> None:
    stack.first.requests.clear()
    stack.spare.requests.clear()
    async with stack.call(microphone=False) as caller:
        for number in range(400):
            await caller.room.local_participant.send_text(f"Question {number}", topic=CHAT)
        await caller.wait_until(lambda me: says(me, "limit.rate"), 60)
        refusals = caller.transcript(by_agent=True).count(phrase("limit.rate"))
    # Each turn is one request, and a second one at most where the first is late.
    assert len(stack.first.requests) <= PER_MINUTE
    assert len(sent(stack)) <= 2 * PER_MINUTE
    assert refusals < 4


async def test_streams_that_never_end_take_no_place_from_the_caller(stack: VoiceStack) -> None:
    stack.first.requests.clear()
    async with stack.call(microphone=False) as caller:
        me = caller.room.local_participant
        for _ in range(50):
            writer = await me.stream_text(topic=CHAT)
            await writer.write("x")
        # They are given up in time; then the caller is answered again.
        async with asyncio.timeout(60):
            while ANSWER not in caller.transcript(by_agent=True):
                await caller.type("What is the fee?")
                await SystemClock().sleep(2)
    assert len(stack.first.requests) <= PER_MINUTE


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def short_calls(
    shared_stack: VoiceStack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[VoiceStack]:
    """A stack whose calls end after three turns, or eighteen seconds of silence."""
    settings = {"CALL_MAX_TURNS": "3", "CALL_SILENCE": "6", "WORKER_IDLE_PROCESSES": "1"}
    async with running_beside(shared_stack, tmp_path_factory.mktemp("short"), **settings) as beside:
        await beside.behave(Script(words=words(ANSWER)))
        yield beside


async def test_a_call_that_has_had_its_turns_ends_with_a_kind_word(short_calls: VoiceStack) -> None:
    async with short_calls.call(microphone=False) as caller:
        gone = asyncio.get_running_loop().create_future()
        caller.room.on("disconnected", gone.set_result)
        for number in range(3):
            await caller.type(f"Question {number}?")
            await caller.wait_until(partial(has_answered, more_than=number), 60)
        await caller.type("One more?")
        await caller.wait_until(lambda me: says(me, "limit.call"), 60)
        assert await gone == rtc.DisconnectReason.ROOM_DELETED
    asked = [m["content"] for request in short_calls.first.requests for m in request.messages]
    assert "One more?" not in asked


async def test_a_silent_caller_is_asked_twice_and_the_call_ends(short_calls: VoiceStack) -> None:
    short_calls.first.requests.clear()
    async with short_calls.call(microphone=False) as caller:
        gone = asyncio.get_running_loop().create_future()
        caller.room.on("disconnected", gone.set_result)
        assert await gone == rtc.DisconnectReason.ROOM_DELETED
        said = caller.transcript(by_agent=True)
    asked = [text for text in PHRASES.by_language["en"]["still_there"] if text in said]
    assert len(asked) == 2
    assert sent(short_calls) == []
