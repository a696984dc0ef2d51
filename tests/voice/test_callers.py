"""Callers are understood through a telephone, and when they are people."""

from pathlib import Path

import pytest

from llm_router.testing.server import Script
from tests.sounds.channels import telephone
from tests.sounds.samples import Samples, read_sound
from tests.voice.caller import Sentence, for_call, sentence
from tests.voice.replies import words
from tests.voice.stack import VoiceStack

ANSWER = "We open at nine on Saturday."
PEOPLE = Path(__file__).parents[1] / "sounds" / "people"
PERSON = Sentence("bobby", ("bobby", "ledge"))


async def check_understood(stack: VoiceStack, said: Sentence, recording: Samples) -> None:
    """Plays a recording in a call of its own, and checks the transcript and the answer."""
    await stack.behave(Script(words=words(ANSWER)))
    async with stack.call() as caller:
        asked = await caller.play(for_call(recording))
        assert await caller.wait_for_answer(asked) == ANSWER
        assert caller.first_sound(since=asked)
        transcript = caller.transcript(by_agent=False)
    assert said.is_recognised_in(transcript), transcript


# What either voice says through a telephone: tests/contracts/test_stt_whisper.py.
@pytest.mark.parametrize("voice", ["rms", pytest.param("espeak", marks=pytest.mark.thorough)])
async def test_a_caller_is_understood_through_a_telephone(stack: VoiceStack, voice: str) -> None:
    said = sentence("cancel_appointment")
    await check_understood(stack, said, telephone(said.recording(voice)))


async def test_a_person_is_understood(stack: VoiceStack) -> None:
    await check_understood(stack, PERSON, read_sound(PEOPLE / "bobby.opus"))
