"""A supervisor listens to a call by telephone, instructs its agent, answers, and gives it back."""

from typing import Any

import pytest
from livekit import api

from llm_router.testing.server import Script
from tests.phone.lines import opened_api
from tests.phone.softphone import Softphone
from tests.phone.stack import PhoneStack, until
from tests.phone.transferring import voiced
from tests.sounds.samples import RATE
from tests.voice.caller import AUDIBLE, Caller, call, sentence
from tests.voice.replies import words
from tests.voice.stack import PHRASES

ANSWER = "On Saturday we open at nine in the morning."
INSTRUCTION = "Say that parking is free."
BACK = PHRASES.pick("supervision.back", "en", 0)


async def ask(stack: PhoneStack, phone: Softphone, what: str) -> list[str]:
    """Asks a question, waits for the answer, and returns what the model was given."""
    asked = await phone.say(sentence(what))
    await phone.wait_until_silent(since=asked)
    request = stack.voice.first.requests[-1]
    assert sentence(what).is_recognised_in(str(request.messages[-1]["content"]))
    return [str(message["content"]) for message in request.messages]


def speakers(supervisor: Caller) -> set[str]:
    """Returns whom the supervisor has received, by the first letters of their identities."""
    return {
        identity.partition("_")[0].partition("-")[0]
        for identity, frames in supervisor.by_speaker.items()
        if any(frame.rms > AUDIBLE for frame in frames)
    }


@pytest.mark.thorough
async def test_a_supervisor_listens_unnoticed_and_instructs_the_agent(stack: PhoneStack) -> None:
    await stack.voice.behave(Script(words=words(ANSWER)))
    async with stack.call() as phone:
        await phone.wait_until_silent()
        room = await stack.room_of(phone)
        path = f"/calls/{(await stack.facts_of(room))['id']}"
        seat = await stack.voice.manage("POST", f"{path}/listen", {"seconds": 60})
        async with (
            stack.listening(phone) as other,
            call(
                stack.voice.livekit.url,
                seat["participant_token"],
                microphone=False,
                waits_for_agent=False,
            ) as supervisor,
        ):
            await ask(stack, phone, "what_time")
            await supervisor.wait_until(lambda me: speakers(me) == {"agent", "sip"})
            assert seat["identity"] not in other.room.remote_participants
            await stack.voice.manage("POST", f"{path}/whisper", {"text": INSTRUCTION})
            given = await ask(stack, phone, "parking")
            assert any(INSTRUCTION in text for text in given)
        said = await stack.voice.manage("GET", path)
    assert not any(INSTRUCTION in item["text"] for item in said["items"])


async def test_a_supervisor_answers_and_gives_the_caller_back_to_an_agent_that_knows_the_call(
    stack: PhoneStack,
) -> None:
    await stack.voice.behave(Script(words=words(ANSWER)))
    async with stack.call() as phone:
        await phone.wait_until_silent()
        await ask(stack, phone, "what_time")
        room = await stack.room_of(phone)
        path = f"/calls/{(await stack.facts_of(room))['id']}"
        seat = await stack.voice.manage("POST", f"{path}/take-over")
        url, token = stack.voice.livekit.url, seat["participant_token"]
        async with call(url, token, waits_for_agent=False) as supervisor:
            await until(lambda: _is(stack, room, "handed_over"))
            await until(lambda: _is_without_agent(stack, room))
            before = phone.seconds()
            await supervisor.say(sentence("my_bill"))
            await phone.wait_until(
                lambda me: voiced(me.recording()[round(before * RATE) :]) > AUDIBLE
            )
            began = len(supervisor.frames)
            asked = await phone.say(sentence("parking"))
            await supervisor.wait_until(
                lambda me: any(frame.rms > AUDIBLE for frame in me.frames[began:])
            )
            await stack.voice.manage("POST", f"{path}/release")
            await supervisor.wait_until(lambda me: not me.room.isconnected())
        await until(lambda: _is(stack, room, "agent"))
        await until(lambda: _has(stack, path, BACK))
        await phone.wait_until_silent(since=asked)
        given = await ask(stack, phone, "my_bill")
        assert given[-2] == BACK
        assert ANSWER in given
        assert any(sentence("what_time").is_recognised_in(text) for text in given)


@pytest.mark.thorough
async def test_a_supervisor_who_is_gone_leaves_the_caller_to_an_agent(stack: PhoneStack) -> None:
    async with stack.call() as phone:
        await phone.wait_until_silent()
        room = await stack.room_of(phone)
        path = f"/calls/{(await stack.facts_of(room))['id']}"
        seat = await stack.voice.manage("POST", f"{path}/take-over")
        url, token = stack.voice.livekit.url, seat["participant_token"]
        async with call(url, token, waits_for_agent=False):
            await until(lambda: _is(stack, room, "handed_over"))
        await until(lambda: _has(stack, path, BACK))
        assert (await stack.facts_of(room))["state"] == "agent"


async def _is(stack: PhoneStack, room: str, state: str) -> bool:
    return bool((await stack.facts_of(room))["state"] == state)


async def _has(stack: PhoneStack, path: str, text: str) -> bool:
    found: dict[str, Any] = await stack.voice.manage("GET", path)
    return any(item["text"] == text for item in found["items"])


async def _is_without_agent(stack: PhoneStack, room: str) -> bool:
    async with opened_api(stack.voice.livekit) as livekit:
        found = await livekit.room.list_participants(api.ListParticipantsRequest(room=room))
    return not any(one.identity.startswith("agent-") for one in found.participants)
