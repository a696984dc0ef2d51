"""A call is stored as it happens, whatever becomes of the database meanwhile."""

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from llm_router.store.calls import CallStore
from llm_router.testing.server import Script
from llm_router.voice.calls import Call, CallFilters, CallItem
from tests.contracts.databases import opened
from tests.voice.caller import AUDIBLE, Caller, sentence
from tests.voice.replies import words
from tests.voice.stack import GREETING, VoiceStack

ANSWER = "We open at nine."
AWAY = "The cellar has a key."
STORY = " ".join(f"This is sentence number {n} of a long story." for n in range(1, 25))
LISTENING = "Of course."
FRAMES_OF_WARM_UP = 350
"""LiveKit allows no interruption of the agent's first 3 s of speech."""


@contextmanager
def locked(stack: VoiceStack) -> Iterator[None]:
    """Lets no process write into the database."""
    path = stack.settings["DATABASE_URL"].removeprefix("sqlite:///")
    holder = sqlite3.connect(path, isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        yield
        holder.execute("ROLLBACK")
    finally:
        holder.close()


async def answered(stack: VoiceStack, caller: Caller, answer: str) -> None:
    await stack.behave(Script(words=words(answer)))
    asked = await caller.say(sentence("what_time"))
    assert await caller.wait_for_answer(asked) == answer
    assert caller.first_sound(since=asked)
    await caller.wait_for_silence()


async def interrupt(stack: VoiceStack, caller: Caller, calls: CallStore, call_id: str) -> str:
    """Lets the agent tell a long story, and interrupts it; returns what was stored as voiced."""
    await stack.behave(Script(words=words(STORY), gap=0.1))
    asked = await caller.say(sentence("what_time"))
    await caller.wait_until(
        lambda me: sum(h.rms > AUDIBLE for h in me.frames if h.at > asked) > FRAMES_OF_WARM_UP
    )
    voiced = (await calls.get(call_id)).voiced
    await stack.behave(Script(words=words(LISTENING)))
    spoke_up = await caller.say(sentence("stop_please"))
    await caller.wait_until(lambda me: me.transcript(by_agent=True, since=spoke_up) == LISTENING)
    await caller.wait_for_silence()
    return voiced


async def stored_at_its_end(calls: CallStore, call_id: str) -> tuple[Call, Sequence[CallItem]]:
    async with asyncio.timeout(30):
        while (await calls.get(call_id)).state != "ended":  # noqa: ASYNC110  another process ends it
            await asyncio.sleep(0.1)  # the call's process ends in its own time
    return await calls.read(call_id)


async def test_a_call_is_stored_as_it_was_while_the_database_comes_and_goes(
    stack: VoiceStack,
) -> None:
    async with opened(stack.settings["DATABASE_URL"]) as database:
        calls = CallStore(database)
        async with stack.call() as caller:
            await answered(stack, caller, ANSWER)
            (going_on,), _ = await calls.find(CallFilters(state="agent"), limit=1)
            with locked(stack):
                await answered(stack, caller, AWAY)
                _, during = await calls.read(going_on.id)
            voiced = await interrupt(stack, caller, calls, going_on.id)
        call, items = await stored_at_its_end(calls, going_on.id)
    assert AWAY not in [item.text for item in during]
    assert (call.kind, call.reason, call.answered_at is None) == ("web", "caller left", False)
    assert [item.role for item in items] == ["assistant", *["user", "assistant"] * 4]
    greeting, first, second, story, last = (item for item in items if item.role == "assistant")
    assert [one.text for one in (greeting, first, second, last)] == [
        GREETING, ANSWER, AWAY, LISTENING,
    ]  # fmt: skip
    assert STORY.startswith(story.text.rstrip("…- "))
    assert len(story.text) < len(STORY) / 2
    assert story.interrupted_at == len(story.text.split())
    assert voiced.strip()
    assert story.text.startswith(voiced.strip())
    for item in (first, second, story, last):
        assert item.receipt["connection"] in {"first", "spare"}
        assert any(one["delivered"] for one in item.receipt["attempts"])
        assert item.receipt["first_word"] > 0
