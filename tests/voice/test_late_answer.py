"""A filler phrase covers a late answer and leaves no trace in transcript and history."""

import functools

from llm_router.testing.server import Script
from tests.voice.caller import Caller, sentence
from tests.voice.replies import words
from tests.voice.stack import PHRASES, VoiceStack

ANSWER = "We open at nine."
FILLERS = {p for key in ("filler.late", "filler.very_late") for p in PHRASES.by_language["en"][key]}


async def test_a_wait_is_covered_by_a_phrase_that_leaves_no_trace(stack: VoiceStack) -> None:
    await stack.behave(Script(words=words(ANSWER), first_token_after=3.0))
    async with stack.call() as caller:
        for name in ("what_time", "stop_please"):
            asked = await caller.say(sentence(name))
            sent = stack.words_sent
            await caller.wait_until(functools.partial(Caller.first_sound, since=asked))
            assert stack.words_sent == sent, "the sound was the answer, not a filler"
            assert await caller.wait_for_answer(asked) == ANSWER
    shown = " ".join(line.text for line in caller.lines)
    history = " ".join(str(m["content"]) for m in stack.first.requests[-1].messages)
    assert history.count(ANSWER) == 1
    assert not [phrase for phrase in FILLERS if phrase in shown + history]
