"""A call without failures: speech, answers in sound and in writing, tools, and the end."""

import asyncio
import os
import sys
from typing import Any

import numpy as np
import pytest
from livekit import rtc

from deploy import paths
from llm_router.testing.server import Script
from tests.sounds import samples as sounds
from tests.voice.caller import RATE, Caller, longest_pause, sentence
from tests.voice.replies import by_role, calling, words
from tests.voice.stack import VoiceStack

OPEN = "We open at nine on Saturday."
LATER = "It is later than you think."
OFFER = (
    "Sure! An oil change costs $49.50, and takes about half an hour. We open at 9:30 am, from"
    " Monday to Friday. Shall I book you in?"
)
RECORDING = paths.ROOT / "test-artifacts" / "answer.opus"
"""`docs/answer.opus` is such a recording."""
_LONGEST_PAUSE = 0.7


async def test_questions_are_recognised_and_answered_aloud_in_turn(
    stack: VoiceStack,
) -> None:
    await stack.behave(Script(words=words(OPEN)))
    async with stack.call() as caller:
        for name in ("what_time", "stop_please"):
            asked = await caller.say(sentence(name))
            assert await caller.wait_for_answer(asked) == OPEN
            assert caller.first_sound(since=asked)
        assert sentence("what_time").is_recognised_in(caller.transcript(by_agent=False))
        assert [route["connection"] for route in caller.routes] == ["first", "first"]
        assert [route["took_over_from"] for route in caller.routes] == [[], []]
    said = [(m["role"], m["content"]) for m in stack.first.requests[-1].messages[1:]]
    assert [role for role, _ in said] == ["assistant", "user", "assistant", "user"]
    assert sentence("what_time").is_recognised_in(said[1][1])
    assert said[2][1] == OPEN
    assert sentence("stop_please").is_recognised_in(said[3][1])


async def test_an_answer_of_several_sentences_is_spoken_without_a_gap(stack: VoiceStack) -> None:
    await stack.behave(Script(words=words(OFFER)))
    async with stack.call() as caller:
        asked = await caller.say(sentence("what_time"))
        assert await caller.wait_for_answer(asked) == OFFER
        await caller.wait_for_silence(1.0)
        sound = caller.sound(since=asked)
    assert longest_pause(sound) < _LONGEST_PAUSE
    _record(np.concatenate([frame.samples for frame in sound]))


def _record(samples: sounds.Samples) -> None:
    resampler = rtc.AudioResampler(RATE, sounds.RATE, quality=rtc.AudioResamplerQuality.HIGH)
    frames = [*resampler.push(bytearray(samples.tobytes())), *resampler.flush()]
    RECORDING.parent.mkdir(exist_ok=True)
    recorded = np.concatenate([np.frombuffer(frame.data, np.int16) for frame in frames])
    sounds.write_opus(RECORDING, recorded, 24_000)


async def test_a_tool_is_called_and_its_result_is_answered(stack: VoiceStack) -> None:
    await stack.behave(by_role(stack.first, calling("get_time"), Script(words=words(LATER))))
    async with stack.call() as caller:
        asked = await caller.say(sentence("what_time"))
        assert await caller.wait_for_answer(asked) == LATER
    *_, call, result = stack.first.requests[-1].messages
    assert call["tool_calls"][0]["function"]["name"] == "get_time"
    assert result["role"] == "tool"
    assert result["tool_call_id"] == call["tool_calls"][0]["id"]
    assert ":" in result["content"]  # a time of day


async def test_a_question_is_answered_from_the_shops_text_which_is_searched_once(
    stack: VoiceStack,
) -> None:
    search = calling("search_documents", '{"question": "What time do you open on Saturday?"}')
    await stack.behave(by_role(stack.first, search, Script(words=words(OPEN))))
    async with stack.call() as caller:
        asked = await caller.say(sentence("what_time"))
        assert await caller.wait_for_answer(asked) == OPEN
    results = [m["content"] for m in stack.first.requests[-1].messages if m["role"] == "tool"]
    (found,) = results
    assert found.startswith("On Saturday we open at nine in the morning")
    assert found.splitlines()[0].endswith("[shop.md, Opening hours]")


async def test_the_agent_says_goodbye_before_it_hangs_up(stack: VoiceStack) -> None:
    said_after = Script(words=words("This is never said."))
    await stack.behave(by_role(stack.first, calling("end_call"), said_after))
    async with stack.call() as caller:
        hung_up: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        caller.room.on("disconnected", hung_up.set_result)
        asked = await caller.say(sentence("yes_thank_you"))
        goodbye = await caller.wait_until(lambda me: me.transcript(by_agent=True, since=asked))
        assert "Goodbye" in goodbye
        assert caller.first_sound(since=asked)
        assert await hung_up == rtc.DisconnectReason.ROOM_DELETED


@pytest.mark.thorough
async def test_a_worker_with_a_wrong_secret_reports_it_and_exits(stack: VoiceStack) -> None:
    stranger = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent.worker", "start"),
        env={**stack.settings, "LIVEKIT_API_SECRET": "x" * 32, "PATH": os.environ["PATH"]},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await stranger.communicate()
    assert stranger.returncode == 2
    assert b"LIVEKIT_API_SECRET" in said
    assert b"Traceback" not in said


async def test_a_second_caller_gets_an_agent_of_their_own(stack: VoiceStack) -> None:
    await stack.behave(Script(words=words(OPEN)))

    async def ask(caller: Caller, name: str) -> str:
        asked = await caller.say(sentence(name))
        await caller.wait_until(lambda me: me.transcript(by_agent=True, since=asked))
        # On a busy machine a pause may split one sentence into two turns.
        await caller.wait_until(
            lambda me: sentence(name).is_recognised_in(me.transcript(by_agent=False))
        )
        return caller.transcript(by_agent=False)

    async with stack.call() as one, stack.call() as other:
        transcripts = await asyncio.gather(ask(one, "what_time"), ask(other, "my_bill"))
    assert not sentence("my_bill").is_recognised_in(transcripts[0])
    assert not sentence("what_time").is_recognised_in(transcripts[1])
