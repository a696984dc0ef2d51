"""Text chat in the room of a call."""

import asyncio
from pathlib import Path

import httpx2

from llm_router.testing.server import Fault, Script
from tests.voice.caller import Caller, sentence
from tests.voice.replies import words
from tests.voice.stack import PHRASES, VoiceStack, running_beside

ANSWER = "It is twelve euros."


async def test_a_typed_question_is_answered_in_writing(stack: VoiceStack) -> None:
    await stack.behave(Script(words=words(ANSWER), fault=Fault.EMPTY), Script(words=words(ANSWER)))
    async with stack.call(microphone=False) as caller:
        await caller.type("What is the fee?")
        route = await caller.wait_until(lambda me: me.routes and me.routes[0])
        await caller.wait_until(lambda me: ANSWER in me.transcript(by_agent=True))
    assert stack.spare.requests[-1].messages[-1]["content"] == "What is the fee?"
    assert route["connection"] == "spare"


async def test_a_question_typed_before_the_greeting_is_answered_too(stack: VoiceStack) -> None:
    await stack.behave(Script(words=words(ANSWER)))
    async with stack.call(microphone=False, greeted=False) as caller:
        asked = asyncio.get_running_loop().time()
        await caller.type("What is the fee?", listens=True)
        await caller.wait_until(
            lambda me: me.transcript(by_agent=True, since=asked).endswith(ANSWER)
        )
        await caller.wait_until(lambda me: me.first_sound(since=asked))


async def test_only_a_caller_who_listens_hears_the_answer_to_a_typed_question(
    stack: VoiceStack,
) -> None:
    long = " ".join([ANSWER] * 40)
    await stack.behave(Script(words=words(long)))
    async with stack.call(microphone=False) as caller:
        asked = asyncio.get_running_loop().time()
        await caller.type("What is the fee?")
        await caller.wait_until(lambda me: me.transcript(by_agent=True, since=asked) == long)
        await caller.wait_until(lambda me: me.state == "listening")
        assert caller.first_sound(since=asked) is None

        await stack.behave(Script(words=words(ANSWER)))
        asked = asyncio.get_running_loop().time()
        await caller.type("What is the fee?", listens=True)
        await caller.wait_until(lambda me: me.first_sound(since=asked))


async def test_a_typed_question_that_no_server_can_answer_gets_an_apology_in_writing(
    stack: VoiceStack,
) -> None:
    await stack.behave(Script(fault=Fault.EMPTY))
    async with stack.call(microphone=False) as caller:
        asked = asyncio.get_running_loop().time()
        await caller.type("What is the fee?")
        said = await caller.wait_until(lambda me: me.transcript(by_agent=True, since=asked))
        assert said in {PHRASES.pick("sorry", "en", turn) for turn in range(8)}
        assert caller.first_sound(since=asked) is None


async def test_typing_and_speaking_are_one_conversation(stack: VoiceStack) -> None:
    await stack.behave(Script(words=words(ANSWER)))
    async with stack.call() as caller:
        await caller.type("What is the fee?")
        await caller.wait_until(lambda me: ANSWER in me.transcript(by_agent=True))
        await caller.wait_for_silence()
        asked = await caller.say(sentence("what_time"))
        await caller.wait_until(lambda me: me.transcript(by_agent=True, since=asked))
        assert caller.transcript(by_agent=True, since=asked) == ANSWER
        assert caller.first_sound(since=asked)
    said = [message["content"] for message in stack.first.requests[-1].messages]
    assert said[-3:-1] == ["What is the fee?", ANSWER]
    assert sentence("what_time").is_recognised_in(said[-1])


async def answered(caller: Caller, times: int) -> None:
    await caller.wait_until(lambda me: me.transcript(by_agent=True).count(ANSWER) == times)


async def test_visitors_learn_no_names_unless_a_setting_says_so(
    stack: VoiceStack, tmp_path: Path
) -> None:
    async with running_beside(stack, tmp_path, SHOW_CONNECTIONS="") as private:
        await private.behave(Script(words=words(ANSWER)))
        async with private.call(microphone=False) as caller:
            for count in (1, 2):  # a note on the first answer would be here before the second
                await caller.type("What is the fee?")
                await answered(caller, count)
            assert caller.routes == []
        address = f"http://127.0.0.1:{private.ports.http_port}/api/demo"
        async with httpx2.AsyncClient() as client:
            shown = (await client.get(address)).json()
        assert (shown["connections"], shown["offline"]) == ([], False)
