"""A caller who speaks up is given the floor."""

from llm_router.testing.server import Script
from tests.voice.caller import AUDIBLE, sentence
from tests.voice.replies import words
from tests.voice.stack import House

STORY = " ".join(f"This is sentence number {n} of a long story." for n in range(1, 25))
LISTENING = "Of course."
FRAMES_OF_WARM_UP = 350
"""LiveKit lets nobody interrupt the first 3 s in which the agent speaks, while the caller's echo
canceller learns what to take away."""


async def test_a_caller_who_speaks_up_silences_the_agent_and_its_model(house: House) -> None:
    await house.behave(Script(words=words(STORY), gap=0.25))
    async with house.call() as caller:
        asked = await caller.say(sentence("what_time"))
        await caller.until(
            lambda me: sum(h.rms > AUDIBLE for h in me.heard if h.at > asked) > FRAMES_OF_WARM_UP
        )
        told = len(house.first.requests) - 1
        await house.behave(Script(words=words(LISTENING)))
        spoke_up = await caller.say(sentence("stop_please"))
        await caller.until(lambda me: me.said(by_agent=True, since=spoke_up) == LISTENING)
        await caller.silence()
        assert sentence("stop_please").is_heard_in(caller.said(by_agent=False))
        story = caller.said(by_agent=True, since=asked).removesuffix(LISTENING).strip()
    assert await house.first.disconnected(told) is not None
    assert house.first.requests[told].words_sent < len(words(STORY))
    # The model is told what the caller heard of its answer, and not what it had meant to say. Which
    # model that is: so slow a story may well have made the spare the better choice.
    requests = [*house.first.requests, *house.spare.requests]
    *_, cut_short, _ = max((request.messages for request in requests), key=len)
    assert cut_short["role"] == "assistant"
    assert STORY.startswith(story)
    assert STORY.startswith(cut_short["content"].rstrip("…- "))
    assert len(cut_short["content"]) < len(STORY) / 2
