"""The process with the speech models is killed during a call: the caller still gets answers."""

import asyncio

from llm_router.testing.server import Script
from tests.voice.caller import sentence
from tests.voice.replies import words
from tests.voice.stack import VoiceStack
from tests.voice.stack_processes import kill, speech_processes

ANSWER = "We open at nine on Saturday."
STORY = " ".join(f"This is sentence number {n} of a story." for n in range(1, 7))


async def killed_and_replaced(stack: VoiceStack) -> None:
    """Waits until the worker has started another speech process, after the last was killed."""
    async with asyncio.timeout(30):
        while not speech_processes(stack):  # noqa: ASYNC110  processes have no event
            await asyncio.sleep(0.1)


async def test_a_caller_gets_an_answer_though_the_speech_process_has_died(
    stack: VoiceStack,
) -> None:
    await stack.behave(Script(words=words(ANSWER)))
    async with stack.call() as caller:
        caller.voice = "rms"  # the embedded recogniser understands it
        (process,) = speech_processes(stack)
        kill(process)
        asked = await caller.say(sentence("what_time"))
        assert await caller.wait_for_answer(asked) == ANSWER
        assert caller.first_sound(since=asked)
        assert sentence("what_time").is_recognised_in(caller.transcript(by_agent=False))
    await killed_and_replaced(stack)
