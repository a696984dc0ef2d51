"""Persons who are called do what telephones may do: at the pick-up, and later in the call."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_router.clock import SystemClock
from llm_router.testing.server import Script
from tests.phone.outgoing import ANSWER, NUMBER, VARIABLES, done, place, spoken, stored_call
from tests.phone.outgoing import until as until_planned
from tests.phone.raw_callee import RawCallee, raw_callee
from tests.phone.stack import PhoneStack, until
from tests.sounds.samples import silence
from tests.voice.caller import sentence
from tests.voice.replies import words

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("office")]
CLOCK = SystemClock()


async def called(stack: PhoneStack) -> dict[str, Any]:
    """Plans a call to the person, who has the only telephone behind the trunk."""
    return await place(stack, number=NUMBER, assistant="office", variables=VARIABLES)


async def is_asked(stack: PhoneStack, text: str) -> None:
    """Waits until the model is asked something that holds a text."""

    async def found() -> bool:
        requests = stack.voice.first.requests
        return any(text in str(request.messages[-1]["content"]) for request in requests)

    await until(found, 40)


async def greeted(callee: RawCallee, hello: Path) -> None:
    """Picks up, says hello, and waits for the greeting to be under way."""
    await callee.rings()
    await callee.answer()
    await callee.play(np.concatenate([silence(0.3), spoken("Hello?", hello)]))
    await CLOCK.sleep(2.0)


async def test_sound_before_the_answer_is_no_answer(stack: PhoneStack, tmp_path: Path) -> None:
    async with raw_callee(stack) as callee:
        planned = await called(stack)
        await callee.rings()
        callee.announce()
        await callee.play(spoken("Hello? Your call is being connected, please wait.", tmp_path))
        seen = await until_planned(stack, planned, lambda now: now["status"] == "ringing")
        assert (seen["outcome"], callee.packets) == ("", 0)
        await callee.answer()
        await callee.play(np.concatenate([silence(0.3), spoken("Hello?", tmp_path)]))
        await until_planned(stack, planned, lambda now: now["status"] == "answered")

        async def is_greeted() -> bool:
            call = await stored_call(stack, planned)
            return bool(call["metadata"].get("answered_by"))

        await until(is_greeted)
        callee.hang_up()
        assert (await done(stack, planned))["outcome"] == "person"


async def test_a_person_who_hangs_up_as_soon_as_they_have_answered_leaves_nothing(
    stack: PhoneStack,
) -> None:
    for after in (0.0, 0.05, 0.3):
        async with raw_callee(stack) as callee:
            planned = await called(stack)
            await callee.rings()
            await callee.answer()
            await CLOCK.sleep(after)
            callee.hang_up()
            ended = await done(stack, planned)
            assert ended["outcome"] == "answered"
            call = await stored_call(stack, ended)
            assert (call["state"], call["reason"]) == ("ended", "caller left")
        await stack.wait_until_idle()


async def test_a_person_who_holds_the_line_is_answered_afterwards(
    stack: PhoneStack, tmp_path: Path
) -> None:
    await stack.voice.behave(Script(words=words(ANSWER)))
    async with raw_callee(stack) as callee:
        planned = await called(stack)
        await greeted(callee, tmp_path)
        for direction in ("sendonly", "inactive", "sendrecv"):
            await callee.hold(direction)
            await CLOCK.sleep(1.0)
        await callee.play(sentence("what_time").recording("rms"))

        async def is_understood() -> bool:
            requests = stack.voice.first.requests
            last = str(requests[-1].messages[-1]["content"]) if requests else ""
            return sentence("what_time").is_recognised_in(last)

        await until(is_understood, 40)
        callee.hang_up()
        assert (await done(stack, planned))["outcome"] == "person"


async def test_a_key_in_the_greeting_counts(stack: PhoneStack, tmp_path: Path) -> None:
    await stack.voice.behave(Script(words=words(ANSWER)))
    async with raw_callee(stack) as callee:
        planned = await called(stack)
        await greeted(callee, tmp_path)
        callee.press([1])
        await is_asked(stack, "has pressed: 1")
        callee.hang_up()
        assert (await done(stack, planned))["outcome"] == "person"
