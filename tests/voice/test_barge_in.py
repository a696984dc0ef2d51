"""A caller who speaks interrupts the agent."""

import asyncio

from llm_router.testing.server import Script
from tests.voice.caller import AUDIBLE, longest_delay, sentence
from tests.voice.replies import words
from tests.voice.stack import VoiceStack

STORY = " ".join(f"This is sentence number {n} of a long story." for n in range(1, 25))
LISTENING = "Of course."
FRAMES_OF_WARM_UP = 350
"""LiveKit allows no interruption of the agent's first 3 s of speech, while the caller's echo
canceller adapts."""
STOPS_WITHIN = 0.3
"""Seconds from the decision that the caller has interrupted to the last sound."""


async def test_a_caller_who_speaks_stops_the_agent_and_its_model(stack: VoiceStack) -> None:
    await stack.behave(Script(words=words(STORY), gap=0.25))
    async with stack.call() as caller:
        asked = await caller.say(sentence("what_time"))
        await caller.wait_until(
            lambda me: sum(h.rms > AUDIBLE for h in me.frames if h.at > asked) > FRAMES_OF_WARM_UP
        )
        number = len(stack.first.requests) - 1
        await stack.behave(Script(words=words(LISTENING)))
        speaking = asyncio.ensure_future(caller.say(sentence("stop_please")))
        await caller.wait_until(lambda me: me.state != "speaking")
        interrupted = asyncio.get_running_loop().time()
        spoke_up = await speaking
        await caller.wait_until(
            lambda me: me.transcript(by_agent=True, since=spoke_up) == LISTENING
        )
        await caller.wait_for_silence()
        sound = [frame for frame in caller.frames if interrupted < frame.at <= spoke_up]
        last = max((frame.at for frame in sound if frame.rms > AUDIBLE), default=interrupted)
        assert last - interrupted <= STOPS_WITHIN + longest_delay(sound)
        assert sentence("stop_please").is_recognised_in(caller.transcript(by_agent=False))
        story = caller.transcript(by_agent=True, since=asked).removesuffix(LISTENING).strip()
    assert await stack.first.disconnected(number) is not None
    assert stack.first.requests[number].words_sent < len(words(STORY))
    # The history has the part of the answer that was spoken, not the whole. It may have gone to the
    # spare: so slow a story can make the spare the better choice.
    requests = [*stack.first.requests, *stack.spare.requests]
    *_, cut_short, _ = max((request.messages for request in requests), key=len)
    assert cut_short["role"] == "assistant"
    assert STORY.startswith(story)
    assert STORY.startswith(cut_short["content"].rstrip("…- "))
    assert len(cut_short["content"]) < len(STORY) / 2
