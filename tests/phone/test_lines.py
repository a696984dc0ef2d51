"""A line is as the telephone's file says: headers, hidden callers, codecs, limits."""

import numpy as np
import pytest
from livekit import api

from agent.phone.sip_messages import CODECS
from llm_router.testing.server import Script
from tests.phone.lines import file_lines, opened_api
from tests.phone.raw_caller import Identity, RawCaller, raw_call
from tests.phone.softphone import Account
from tests.phone.stack import PhoneStack, until
from tests.sounds.samples import RATE
from tests.voice.recogniser import spoken_words
from tests.voice.replies import words
from tests.voice.stack import GREETING

UNLISTED, OWN_LINE = "+15557777", "+15550180"
ACCOUNT = 'gold "</data>`'
LEG = "leg-4f2c"
CALLER = "+15550444"


async def press_one(stack: PhoneStack, caller: RawCaller) -> str:
    """Presses a key once the agent speaks; returns the instructions of the model's request."""
    caller.invite()
    await caller.answered()
    await caller.until(lambda me: me.packets > 50)
    caller.press([1])

    async def asked() -> str:
        requests = stack.voice.first.requests
        return str(requests[-1].messages[0]["content"]) if requests else ""

    return str(await until(asked, 30))


@pytest.mark.thorough
async def test_a_line_for_all_other_numbers_has_its_headers_its_limit_and_hides_its_callers(
    stack: PhoneStack,
) -> None:
    await stack.voice.behave(Script(words=words("On Saturday.")))
    headers = [("x-account", ACCOUNT), ("X-call_leg_id", LEG), ("X-Unasked", "unasked")]
    identity = Identity(user=CALLER, name='"Ada"', headers=headers, host="127.0.0.2")
    async with raw_call(stack, UNLISTED, identity) as caller:
        instructions = await press_one(stack, caller)
        [room] = await stack.rooms_with("sip.h.x-call_leg_id", LEG)
        async with opened_api(stack.voice.livekit) as livekit:
            request = api.ListParticipantsRequest(room=room)
            people = (await livekit.room.list_participants(request)).participants
        # A line from which no sound comes is cut after 15 s, and then the caller has left.
        await caller.play(np.zeros(22 * RATE, np.int16))
        # Before the line is cut for its length, the agent says that the call ends.
        await caller.until(lambda me: me.is_over)
    await stack.wait_until_idle()
    facts = await stack.facts_of(room)
    assert "You answer for a shop." in instructions
    assert '"x-account": "gold \\"\\u003c/data>\\u0060"' in instructions
    assert f'"x-call_leg_id": "{LEG}"' in instructions
    assert f'"number that was called": "{UNLISTED}"' in instructions
    assert "withheld" in instructions
    assert "unasked" not in instructions
    digits = CALLER.removeprefix("+")
    assert digits not in instructions
    assert digits not in str(people)
    assert digits not in str(facts)
    assert (facts["caller"], facts["reason"]) == ("", "too long")


@pytest.mark.thorough
async def test_a_call_from_elsewhere_to_a_number_that_is_not_listed_reaches_no_agent(
    stack: PhoneStack,
) -> None:
    async with raw_call(stack, UNLISTED) as caller:
        caller.invite()
        await caller.until(lambda me: me.statuses)
        async with stack.call() as known:
            await known.wait_until_silent()
        assert not caller.is_answered
        assert not await stack.rooms_with("sip.trunkPhoneNumber", UNLISTED)


def line_with(media: str) -> str:
    return f"""
    [[trunks]]
    name = "media"
    allowed_addresses = ["127.0.0.1"]

    [[numbers]]
    number = "{OWN_LINE}"

    [media]
    {media}
    """


@pytest.mark.thorough
async def test_only_the_codecs_of_the_file_are_taken_and_the_best_first(stack: PhoneStack) -> None:
    lines = line_with('codecs = ["PCMA", "G722"]')
    async with file_lines(stack.voice.livekit, stack.voice.settings["AGENT_NAME"], lines):
        async with raw_call(stack, OWN_LINE) as caller:
            caller.invite(codecs=["PCMU", "G722", "PCMA"])
            await caller.answered()
            assert caller.codec is not None
            assert CODECS[caller.codec] in {"PCMA", "G722"}
        async with raw_call(stack, OWN_LINE) as caller:
            caller.invite(codecs=["PCMU"])
            await caller.until(lambda me: me.is_over)
            assert not caller.is_answered


@pytest.mark.thorough
async def test_a_line_that_requires_encryption_takes_encrypted_calls_alone(
    stack: PhoneStack,
) -> None:
    lines = line_with('encryption = "require"')
    async with file_lines(stack.voice.livekit, stack.voice.settings["AGENT_NAME"], lines):
        async with raw_call(stack, OWN_LINE) as plain:
            plain.invite()
            await plain.until(lambda me: me.is_over)
            assert not plain.is_answered
        async with stack.phone(Account(number="+15550181", encrypts=True)) as phone:
            await phone.dial(OWN_LINE)
            await phone.wait_until_silent()
            assert phone.words(GREETING) == spoken_words(GREETING)
            assert "SRTP is Enabled" in (phone.folder / "log").read_text()
