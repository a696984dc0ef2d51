"""A call in which nothing fails: heard, answered in sound and in writing, and ended."""

import asyncio
import os
import sys
from typing import Any

from livekit import rtc

from llm_router.testing.server import Script
from tests.voice.caller import Caller, sentence
from tests.voice.replies import by_role, calling, words
from tests.voice.stack import House

OPEN = "We open at nine on Saturday."
LATER = "It is later than you think."


async def test_questions_are_heard_and_answered_aloud_one_after_the_other(house: House) -> None:
    await house.behave(Script(words=words(OPEN)))
    async with house.call() as caller:
        for name in ("what_time", "stop_please"):
            asked = await caller.say(sentence(name))
            assert await caller.hear_out(asked) == OPEN
            assert caller.first_sound(since=asked)
        assert sentence("what_time").is_heard_in(caller.said(by_agent=False))
        assert [route["connection"] for route in caller.routes] == ["first", "first"]
        assert [route["took_over_from"] for route in caller.routes] == [[], []]
    said = [(m["role"], m["content"]) for m in house.first.requests[-1].messages[1:]]
    assert [role for role, _ in said] == ["assistant", "user", "assistant", "user"]
    assert sentence("what_time").is_heard_in(said[1][1])
    assert said[2][1] == OPEN
    assert sentence("stop_please").is_heard_in(said[3][1])


async def test_a_tool_is_used_and_its_result_is_answered_with(house: House) -> None:
    await house.behave(by_role(house.first, calling("get_time"), Script(words=words(LATER))))
    async with house.call() as caller:
        asked = await caller.say(sentence("what_time"))
        assert await caller.hear_out(asked) == LATER
    *_, call, result = house.first.requests[-1].messages
    assert call["tool_calls"][0]["function"]["name"] == "get_time"
    assert result["role"] == "tool"
    assert result["tool_call_id"] == call["tool_calls"][0]["id"]
    assert ":" in result["content"]  # a time of day


async def test_the_agent_says_goodbye_before_it_hangs_up(house: House) -> None:
    said_after = Script(words=words("This is never said."))
    await house.behave(by_role(house.first, calling("end_call"), said_after))
    async with house.call() as caller:
        hung_up: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        caller.room.on("disconnected", hung_up.set_result)
        asked = await caller.say(sentence("yes_thank_you"))
        goodbye = await caller.until(lambda me: me.said(by_agent=True, since=asked))
        assert "Goodbye" in goodbye
        assert caller.first_sound(since=asked)
        assert await hung_up == rtc.DisconnectReason.ROOM_DELETED


async def test_a_worker_that_livekit_does_not_know_says_so_and_ends(house: House) -> None:
    stranger = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent.worker", "start"),
        env={**house.settings, "LIVEKIT_API_SECRET": "x" * 32, "PATH": os.environ["PATH"]},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await stranger.communicate()
    assert stranger.returncode == 2
    assert b"LIVEKIT_API_SECRET" in said
    assert b"Traceback" not in said


async def test_a_second_caller_gets_an_agent_of_their_own(house: House) -> None:
    await house.behave(Script(words=words(OPEN)))

    async def ask(caller: Caller, name: str) -> str:
        asked = await caller.say(sentence(name))
        await caller.until(lambda me: me.said(by_agent=True, since=asked))
        # A busy machine may make a pause of it, and two turns of one sentence.
        await caller.until(lambda me: sentence(name).is_heard_in(me.said(by_agent=False)))
        return caller.said(by_agent=False)

    async with house.call() as one, house.call() as other:
        heard = await asyncio.gather(ask(one, "what_time"), ask(other, "my_bill"))
    assert not sentence("my_bill").is_heard_in(heard[0])
    assert not sentence("what_time").is_heard_in(heard[1])
