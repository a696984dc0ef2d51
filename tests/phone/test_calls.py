"""Calls in from a telephone, over real SIP: what the caller hears, and how the call ends."""

import pytest

from llm_router.testing.server import ReceivedRequest, Script
from tests.phone.softphone import Softphone
from tests.phone.stack import PhoneStack
from tests.voice.caller import sentence
from tests.voice.recogniser import count_mistakes, spoken_words
from tests.voice.replies import FAILURE_CASES, MORE_FAILURES, REPLY, words
from tests.voice.stack import GREETING
from tests.voice.stack_processes import answering, kill

ANSWER = "On Saturday we open at nine in the morning."
FAILURES = {**FAILURE_CASES, **MORE_FAILURES}
ALWAYS = "reset"
"""The failure of a model server that `make test` shows in a call; `make test-voice` shows all."""


async def test_a_caller_is_greeted_and_their_question_is_answered(stack: PhoneStack) -> None:
    await stack.voice.behave(Script(words=words(ANSWER)))
    async with stack.call() as phone:
        await phone.wait_until_silent()
        assert phone.words(GREETING) == spoken_words(GREETING)
        asked = await phone.say(sentence("what_time"))
        await phone.wait_until_silent(since=asked)
        assert received(phone, ANSWER, since=asked)
    question = stack.voice.first.requests[-1].messages[-1]["content"]
    assert sentence("what_time").is_recognised_in(question)


async def test_keys_reach_the_agents_room_and_the_caller(stack: PhoneStack) -> None:
    async with stack.call() as phone, stack.listening(phone) as room:
        await phone.press("1234567890*#")
        assert await room.wait_for_digits(12) == "1234567890*#"
        await room.press("35#")
        await phone.wait_until(lambda me: me.digits == "35#")


@pytest.mark.parametrize(
    "failure",
    [
        name if name == ALWAYS else pytest.param(name, marks=pytest.mark.thorough)
        for name in FAILURES
    ],
)
async def test_a_failing_model_server_costs_the_caller_no_word(
    stack: PhoneStack, failure: str
) -> None:
    async with stack.call() as phone:
        await phone.wait_until_silent()
        await FAILURES[failure].apply(stack.voice.first, stack.voice.spare)
        asked = await phone.say(sentence("what_time"))
        await phone.wait_until_silent(4, since=asked)
        assert received(phone, REPLY, since=asked)
    assert stack.voice.first.requests or failure == "refused"


@pytest.mark.thorough
@pytest.mark.parametrize("failure", FAILURES)
async def test_two_failing_model_servers_cost_the_caller_no_silence_and_no_call(
    stack: PhoneStack, failure: str
) -> None:
    async with stack.call() as phone:
        await phone.wait_until_silent()
        await stack.voice.behave(FAILURES[failure].first)
        asked = await phone.say(sentence("what_time"))
        await phone.wait_until_silent(since=asked)
        assert not phone.has("CALL_CLOSED")
        facts = await stack.facts_of(await stack.room_of(phone))
    assert facts["reason"] != "failed"


async def test_a_call_goes_on_with_its_history_when_its_agent_is_killed(stack: PhoneStack) -> None:
    await stack.voice.behave(Script(words=words(ANSWER)))
    async with stack.call() as phone:
        await phone.wait_until_silent()
        asked = await phone.say(sentence("what_time"))
        silent = await phone.wait_until_silent(since=asked) + 0.1
        process = await stack.only_call()
        kill(process)
        async with stack.listening(phone) as room:
            await room.wait_for_agent(epoch=2)
        await phone.say(sentence("parking"))
        requests = stack.voice.first.requests
        await phone.wait_until(lambda _: _asks(requests[-1], "parking"))
        # After a long absence the agent has said an apology before.
        await phone.wait_until_silent(2, since=silent)
        assert received(phone, ANSWER, since=silent)
    said = [one["content"] for one in requests[-1].messages]
    assert ANSWER in said
    assert any(sentence("what_time").is_recognised_in(text) for text in said)


def received(phone: Softphone, text: str, *, since: float) -> bool:
    """Returns whether a telephone has received most words of a text; a busy machine loses sound."""
    spoken = spoken_words(text)
    return count_mistakes(phone.words(text, since=since), spoken) <= len(spoken) / 3


def _asks(request: ReceivedRequest, question: str) -> bool:
    return sentence(question).is_recognised_in(request.messages[-1]["content"])


@pytest.mark.thorough
async def test_the_job_ends_soon_after_its_caller_has_hung_up(stack: PhoneStack) -> None:
    async with stack.call() as phone:
        await phone.wait_until_silent()
        process = await stack.only_call()
        await phone.hang_up()
        await phone.wait_for("CALL_CLOSED")
        # LiveKit alone would let the agent wait for the caller's return for 20 s.
        await phone.wait_until(lambda _: process not in answering(stack.voice), within=10)
        assert not await stack.rooms_of(phone)
