"""A whole worker is killed in a call by telephone, also in the middle of a transfer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from agent.staff import TRANSFER_TOOL
from agent.survival.outcomes import NOTHING_DONE
from llm_router.testing.server import Script
from tests.phone.softphone import Softphone
from tests.phone.stack import PhoneStack, until
from tests.phone.transferring import ask_for, phrase
from tests.voice.caller import sentence
from tests.voice.recogniser import count_mistakes, spoken_words
from tests.voice.replies import words
from tests.voice.stack import GREETING, more_workers
from tests.voice.stack_processes import answering, kill, own_worker

COUNT = (
    "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen twenty."
)
_TRIES = 12


@asynccontextmanager
async def call_of_another_worker(stack: PhoneStack) -> AsyncIterator[tuple[Softphone, int]]:
    """Calls until the agent is not one of the stack's own worker, which other tests need.

    Yields the telephone, and the worker's process.
    """
    for _ in range(_TRIES):
        async with stack.call() as phone:
            await phone.wait_until_silent()
            worker = answering(stack.voice)[await stack.only_call()]
            if worker != own_worker(stack.voice):
                yield phone, worker
                return
    pytest.fail("LiveKit gave every call to one of several workers")


@pytest.mark.thorough
async def test_a_caller_whose_worker_is_killed_receives_the_rest_and_all_of_it_is_stored(
    stack: PhoneStack,
) -> None:
    await stack.voice.behave(Script(words=words(COUNT), continues=True))
    async with more_workers(stack.voice, 2), call_of_another_worker(stack) as (phone, worker):
        room = await stack.room_of(phone)
        asked = await phone.say(sentence("what_time"))
        await phone.wait_until(lambda me: len(me.words(COUNT, since=asked)) > 4)
        died = phone.seconds()
        kill(worker)
        await phone.wait_until(lambda me: "twenty" in me.words(COUNT, since=asked), 60)
        print("silence", phone.longest_silence(died, phone.seconds()))
        counted = phone.words(COUNT, since=asked)
        facts = await stack.facts_of(room)
    # The word that was cut off, and what the voice was ahead of the telephone, may come twice.
    assert count_mistakes(counted, spoken_words(COUNT)) <= 5, counted
    call = await stack.voice.manage("GET", f"/calls/{facts['id']}")
    said = [item["text"] for item in call["items"] if item["role"] == "assistant"]
    assert said[0] == GREETING
    stored = spoken_words(" ".join(said[1:]))
    assert count_mistakes(stored, spoken_words(COUNT)) <= 4, stored
    asked_for = [item["text"] for item in call["items"] if item["role"] == "user"]
    assert any(map(sentence("what_time").is_recognised_in, asked_for))


@pytest.mark.thorough
async def test_a_caller_whose_worker_is_killed_in_a_transfer_is_with_an_agent_that_says_so(
    stack: PhoneStack,
) -> None:
    async with (
        more_workers(stack.voice, 2),
        call_of_another_worker(stack) as (phone, worker),
        stack.person() as mara,
    ):
        call = await ask_for(stack, phone, "Mara")
        await mara.accept()
        await mara.wait_until(lambda me: me.first_sound())
        died = phone.seconds()
        kill(worker)
        await call.receives(phrase("cut"))
        await mara.wait_for("CALL_CLOSED")
        await phone.wait_until_silent(since=died)
        print("silence", phone.longest_silence(died, phone.seconds() - 0.8))
        stored = await stack.voice.manage("GET", f"/calls/{(await call.facts())['id']}")
        [run] = [
            tool
            for item in stored["items"]
            for tool in item["tool_calls"]
            if tool["name"] == TRANSFER_TOOL
        ]
        assert run["output"].endswith(NOTHING_DONE)
        # The person may be called again.
        await until(lambda: call.has(phrase("cut")))
        again = await ask_for(stack, phone, "Mara")
        await mara.wait_for("CALL_INCOMING", since=died)
        assert again.room == call.room
