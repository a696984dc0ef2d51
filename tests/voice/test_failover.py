"""Model servers fail in the middle of a call, in every way: the caller hears a whole answer."""

import asyncio
from typing import Any

import pytest

from llm_router.testing.server import Fault, Script
from tests.voice.caller import Caller, longest_pause, sentence, withheld
from tests.voice.recogniser import mistakes, spoken_words, words_in
from tests.voice.replies import FAILINGS, REPLY, words
from tests.voice.stack import PHRASES, House

SHORT = "We are open until five."
ANSWER = "We are next to the station, and the parking behind the house is free for you."
BACK = "Yes, here I am again."
LONGEST_PAUSE = 0.7  # s; the voice itself pauses for 0.38 s between two sentences
MISHEARD = 1
"""Words of 12: the recogniser makes no mistake on a quiet machine, and a packet lost can cost one.
Without tolerance is the transcript."""
CLOSING = PHRASES.closing("", "en").strip()


async def ask(caller: Caller, name: str = "what_time") -> tuple[str, dict[str, Any]]:
    """Say it and hear the agent out: what it answered, and by which route."""
    notes = len(caller.routes)
    asked = await caller.say(sentence(name))
    await caller.until(lambda me: len(me.routes) > notes and me.said(by_agent=True, since=asked))
    await caller.silence()
    assert sentence(name).is_heard_in(caller.said(by_agent=False))
    assert caller.first_sound(since=asked)
    return caller.said(by_agent=True, since=asked), caller.routes[-1]


@pytest.mark.parametrize("name", FAILINGS)
async def test_every_word_is_heard_once_and_without_a_pause_when_the_first_fails(
    house: House, name: str
) -> None:
    failing = FAILINGS[name]
    await failing.begin(house.first, house.spare)
    async with house.call() as caller:
        before = asyncio.get_running_loop().time()
        answer, _ = await ask(caller)
        sound = caller.sound(since=before)
    assert house.first.requests
    assert house.spare.requests
    assert answer == REPLY
    heard = await asyncio.to_thread(words_in, sound)
    assert mistakes(heard, spoken_words(REPLY)) <= MISHEARD, heard
    pause, delay = longest_pause(sound), withheld(sound)
    assert pause <= LONGEST_PAUSE + delay
    last = max([*house.first.requests, *house.spare.requests], key=lambda request: request.at)
    tools_used = [message for message in last.messages if message["role"] == "tool"]
    assert len(tools_used) == len(failing.spare.tool_calls)


@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.EMPTY])
async def test_the_spare_answers_when_the_first(house: House, fault: Fault) -> None:
    await house.behave(Script(fault=fault), Script(words=words(SHORT)))
    async with house.call() as caller:
        answer, route = await ask(caller)
    assert answer == SHORT
    assert route["connection"] == "spare"
    assert not route["last_resort"]


async def test_the_spare_is_asked_for_no_more_than_what_is_missing(house: House) -> None:
    await FAILINGS["reset"].begin(house.first, house.spare)
    async with house.call() as caller:
        _, route = await ask(caller)
    assert route["connection"] == "spare"
    assert house.spare.requests[-1].messages[-1]["role"] == "assistant"
    assert house.spare.words_sent < len(words(REPLY))


async def test_an_answer_that_nobody_can_finish_ends_with_a_whole_sentence(house: House) -> None:
    broken = Script(words=words(ANSWER), fault=Fault.RESET_AFTER, after=6, continues=True)
    await house.behave(broken)
    async with house.call() as caller:
        answer, route = await ask(caller)
    given, closing = answer[: -len(CLOSING)].rstrip(" …"), answer[-len(CLOSING) :]
    assert closing == CLOSING
    assert given == "".join(words(ANSWER)[:12])
    assert route["last_resort"]


async def test_a_call_outlives_the_loss_of_every_server(house: House) -> None:
    await house.behave(Script(fault=Fault.REFUSE))
    async with house.call() as caller:
        phrase, route = await ask(caller)
        assert phrase.endswith((".", "?"))
        assert route["last_resort"]
        await house.behave(Script(words=words(BACK)))
        answer, route = await ask(caller, "stop_please")
    assert answer == BACK
    assert route["connection"] in {"first", "spare"}
