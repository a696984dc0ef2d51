"""Calls in over real SIP: each number has its assistant, and a closed one takes a message."""

import asyncio
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from livekit import api

from llm_router.testing.server import Script
from tests.phone.lines import opened_api
from tests.phone.softphone import Softphone
from tests.phone.stack import CLOSED_LINE, LINE, SHOP_LINE, PhoneStack, until
from tests.sounds.samples import RATE
from tests.voice.caller import sentence
from tests.voice.recogniser import spoken_words
from tests.voice.replies import words

GREETING = "Welcome to the tea shop."
ANSWER = "On Saturday we open at nine in the morning."
NOTED = "Thank you, your message is noted. Goodbye."
_BEEP_HERTZ = 1_000


def has_beep(phone: Softphone) -> bool:
    """Returns whether the telephone has received the tone before a message."""
    received = phone.recording().astype(np.float32)
    pieces = received[: len(received) // 1600 * 1600].reshape(-1, 1600)
    spectrum = np.abs(np.fft.rfft(pieces))
    tone = spectrum[:, _BEEP_HERTZ * 1600 // RATE]
    return bool(((tone > 0.6 * np.linalg.norm(spectrum, axis=1)) & (tone > 100_000)).any())


async def test_a_number_has_its_assistant_which_speaks_after_the_pick_up_and_knows_the_caller(
    stack: PhoneStack,
) -> None:
    await stack.voice.behave(Script(words=words(ANSWER)))
    async with stack.call(SHOP_LINE) as phone:
        await phone.wait_until(lambda me: me.first_sound() is not None)
        # The recording begins with the pick-up, and the greeting is whole in it.
        await phone.wait_until(lambda me: me.seconds() > (me.first_sound() or 0) + 2)
        assert phone.words(GREETING)[:3] == spoken_words(GREETING)[:3]
        await phone.press("1")
        await phone.wait_until(lambda _: stack.voice.first.requests)
        cut = await phone.wait_until_silent()
        assert cut < 8  # the greeting, of twelve seconds, was cut off by the key
        request = stack.voice.first.requests[-1]
        assert request.messages[-1]["content"] == "When are you open?"
        assert "You answer for a shop." in request.messages[0]["content"]
        assert phone.account.number in request.messages[0]["content"]
        await phone.wait_until(lambda me: "nine" in me.words(ANSWER))


@pytest.mark.thorough
async def test_a_caller_who_hangs_up_in_a_message_has_left_it(stack: PhoneStack) -> None:
    async with stack.call(CLOSED_LINE) as phone:
        await phone.wait_until(has_beep)
        await phone.say(sentence("my_bill"))
        await phone.hang_up()

        async def message() -> Any:
            found = (await stack.voice.manage("GET", "/messages"))["items"]
            return next((one for one in found if one["contact"] == phone.account.number), None)

        left = await until(message)
    assert sentence("my_bill").is_recognised_in(left["text"])
    assert left["assistant"] == "shop"
    file = Path(stack.voice.settings["RECORDINGS"]) / f"{left['id']}.wav"
    with wave.open(str(await asyncio.to_thread(lambda: file))) as sound:
        assert sound.getnframes() / sound.getframerate() > 2
    assert stack.voice.first.requests == []  # no model was asked


@pytest.mark.thorough
async def test_the_hash_key_ends_a_message_after_the_tone_which_is_then_confirmed(
    stack: PhoneStack,
) -> None:
    async with stack.call(CLOSED_LINE) as phone:
        await phone.wait_until(lambda me: me.first_sound() is not None)
        await phone.press("#")  # in the greeting, where it means nothing
        await phone.wait_until(has_beep)
        said = await phone.say(sentence("parking"))
        await phone.press("#")
        await phone.wait_for("CALL_CLOSED")
        assert {"message", "noted"} & set(phone.words(NOTED, since=said))


async def test_a_call_is_stored_with_its_kind_and_a_hash_and_ends_with_its_caller(
    stack: PhoneStack,
) -> None:
    async with stack.call() as phone:
        await phone.wait_until_silent()
        room = await stack.room_of(phone)
    assert LINE in room

    async def ended() -> Any:
        call = await stack.facts_of(room)
        return call if call["state"] == "ended" else None

    call = await until(ended, 10)
    assert (call["kind"], call["reason"]) == ("phone", "caller left")
    assert call["caller"]
    assert phone.account.number not in str(call)


@pytest.mark.thorough
async def test_a_caller_whom_a_server_removes_leaves_no_agent_behind(stack: PhoneStack) -> None:
    async with stack.call() as phone:
        await phone.wait_until_silent()
        room = await stack.room_of(phone)
        async with opened_api(stack.voice.livekit) as livekit:
            request = api.ListParticipantsRequest(room=room)
            people = (await livekit.room.list_participants(request)).participants
            [caller] = [one.identity for one in people if one.identity.startswith("sip")]
            who = api.RoomParticipantIdentity(room=room, identity=caller)
            await livekit.room.remove_participant(who)

            async def is_gone() -> bool:
                rooms = await livekit.room.list_rooms(api.ListRoomsRequest(names=[room]))
                return not rooms.rooms

            await until(is_gone, 10)
