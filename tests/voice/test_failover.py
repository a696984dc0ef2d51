"""Model servers fail in the middle of a call, in every way: the caller hears a whole answer."""

from typing import Any

import pytest

from llm_router.testing.script import chunk, event
from llm_router.testing.server import Fault, Script
from tests.voice.caller import Caller, sentence
from tests.voice.house import PHRASES, House, words

SHORT = "We are open until five."
ANSWER = "We are next to the station, and the parking behind the house is free for you."
BACK = "Yes, here I am again."
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


ALIVE_AND_SILENT = Script(
    raw=[event(chunk({"role": "assistant", "content": ""})), *[b": keep-alive\n\n"] * 100],
    gap=0.05,
    fault=Fault.STALL_AFTER,
)


@pytest.mark.parametrize(
    "fails",
    [
        Script(fault=Fault.REFUSE),
        Script(fault=Fault.HANG_BEFORE_HEADERS),
        ALIVE_AND_SILENT,
        Script(fault=Fault.EMPTY),
    ],
    ids=["refuses", "hangs", "sends a role and keep-alives", "says nothing"],
)
async def test_the_spare_answers_when_the_first(house: House, fails: Script) -> None:
    await house.behave(fails, Script(words=words(SHORT)))
    async with house.call() as caller:
        answer, route = await ask(caller)
    assert answer == SHORT
    assert route["connection"] == "spare"
    assert not route["last_resort"]


async def test_an_answer_that_breaks_off_goes_on_without_a_repeat(house: House) -> None:
    broken = Script(words=words(ANSWER), fault=Fault.RESET_AFTER, after=6, gap=0.02)
    await house.behave(broken, Script(words=words(ANSWER), continues=True))
    async with house.call() as caller:
        answer, route = await ask(caller)
    assert answer == ANSWER
    assert route["connection"] == "spare"
    assert house.spare.requests[-1].messages[-1]["role"] == "assistant"
    assert house.spare.words_sent < len(words(ANSWER))


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
