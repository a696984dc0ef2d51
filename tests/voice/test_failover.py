"""Model servers fail during a call, in every way, and the caller still gets a whole answer."""

import asyncio
from typing import Any

import pytest

from llm_router.testing.server import Fault, Script
from tests.voice.caller import Caller, longest_delay, longest_pause, sentence
from tests.voice.recogniser import count_mistakes, recognise_words, spoken_words
from tests.voice.replies import FAILURE_CASES, REPLY, words
from tests.voice.stack import PHRASES, VoiceStack

SHORT = "We are open until five."
ANSWER = "We are next to the station, and the parking behind the house is free for you."
BACK = "Yes, here I am again."
LONGEST_PAUSE = 0.7  # s; the voice itself pauses for 0.38 s between two sentences
MISHEARD = 1
"""Mistakes allowed in 12 words: the recogniser makes none on a quiet machine, but a lost packet can
cost a word. The transcript is compared without tolerance."""
CLOSING = PHRASES.closing("", "en").strip()


async def ask(caller: Caller, name: str = "what_time") -> tuple[str, dict[str, Any]]:
    """Speaks a sentence and waits for the answer; returns its words and its route."""
    notes = len(caller.routes)
    asked = await caller.say(sentence(name))
    await caller.wait_until(
        lambda me: len(me.routes) > notes and me.transcript(by_agent=True, since=asked)
    )
    await caller.wait_for_silence()
    assert sentence(name).is_recognised_in(caller.transcript(by_agent=False))
    assert caller.first_sound(since=asked)
    return caller.transcript(by_agent=True, since=asked), caller.routes[-1]


EACH_OF_ITS_KIND = ("hang", "stall", "reset", "half_tool_call")
"""One case each of no word, a pause in a sentence, a broken sentence and a broken call of a tool.

To the voice the others are the same; the router's words and times in every case are those of
tests/scenarios/test_every_fault.py, and `make test-voice` makes a call for each.
"""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in EACH_OF_ITS_KIND else pytest.mark.thorough)
        for name in FAILURE_CASES
    ],
)
async def test_every_word_is_spoken_once_and_without_a_pause_when_the_first_fails(
    stack: VoiceStack, name: str
) -> None:
    case = FAILURE_CASES[name]
    await case.apply(stack.first, stack.spare)
    async with stack.call() as caller:
        before = asyncio.get_running_loop().time()
        answer, route = await ask(caller)
        sound = caller.sound(since=before)
    assert stack.first.requests
    assert stack.spare.requests
    assert answer == REPLY
    recognised = await asyncio.to_thread(recognise_words, REPLY, sound)
    assert count_mistakes(recognised, spoken_words(REPLY)) <= MISHEARD, recognised
    pause, delay = longest_pause(sound), longest_delay(sound)
    assert pause <= LONGEST_PAUSE + delay
    last = max([*stack.first.requests, *stack.spare.requests], key=lambda request: request.at)
    tools_used = [message for message in last.messages if message["role"] == "tool"]
    assert len(tools_used) == len(case.spare.tool_calls)
    if name == "reset":  # the spare generates only the missing words
        assert route["connection"] == "spare"
        assert last.messages[-1]["role"] == "assistant"
        assert stack.spare.words_sent < len(words(REPLY))


@pytest.mark.parametrize(
    "fault", [Fault.REFUSE, pytest.param(Fault.EMPTY, marks=pytest.mark.thorough)]
)
async def test_the_spare_answers_when_the_first(stack: VoiceStack, fault: Fault) -> None:
    await stack.behave(Script(fault=fault), Script(words=words(SHORT)))
    async with stack.call() as caller:
        answer, route = await ask(caller)
    assert answer == SHORT
    assert route["connection"] == "spare"
    assert not route["last_resort"]


async def test_an_answer_that_no_server_can_finish_ends_with_a_whole_sentence(
    stack: VoiceStack,
) -> None:
    broken = Script(words=words(ANSWER), fault=Fault.RESET_AFTER, after=2, continues=True)
    await stack.behave(broken)
    async with stack.call() as caller:
        answer, route = await ask(caller)
    given, closing = answer[: -len(CLOSING)].rstrip(" …"), answer[-len(CLOSING) :]
    assert closing == CLOSING
    assert given == "".join(words(ANSWER)[:12])
    assert route["last_resort"]


async def test_a_call_outlives_the_loss_of_every_server(stack: VoiceStack) -> None:
    await stack.behave(Script(fault=Fault.REFUSE))
    async with stack.call() as caller:
        phrase, route = await ask(caller)
        assert phrase.endswith((".", "?"))
        assert route["last_resort"]
        await stack.behave(Script(words=words(BACK)))
        answer, route = await ask(caller, "stop_please")
    assert answer == BACK
    assert route["connection"] in {"first", "spare"}
