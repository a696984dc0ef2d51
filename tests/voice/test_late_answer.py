"""An answer that is late is covered, and the cover leaves no trace."""

import functools

from llm_router.testing.server import Script
from tests.voice.caller import Caller, sentence
from tests.voice.replies import words
from tests.voice.stack import PHRASES, House

ANSWER = "We open at nine."
FILLERS = {p for key in ("filler.late", "filler.very_late") for p in PHRASES.by_language["en"][key]}


async def test_a_wait_is_covered_by_a_phrase_that_leaves_no_trace(house: House) -> None:
    await house.behave(Script(words=words(ANSWER), first_token_after=3.0))
    async with house.call() as caller:
        for name in ("what_time", "stop_please"):
            asked = await caller.say(sentence(name))
            sent = house.words_sent
            await caller.until(functools.partial(Caller.first_sound, since=asked))
            assert house.words_sent == sent, "what was heard was an answer"
            assert await caller.hear_out(asked) == ANSWER
    shown = " ".join(line.text for line in caller.lines)
    told = " ".join(str(m["content"]) for m in house.first.requests[-1].messages)
    assert told.count(ANSWER) == 1
    assert not [phrase for phrase in FILLERS if phrase in shown + told]
