"""Calls out over real SIP: what becomes of each, and what the person or the machine hears."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import pytest
from livekit import api

from llm_router.testing.server import Script
from tests.phone.lines import outbound_line
from tests.phone.outgoing import (
    ANSWER,
    GREETING,
    MACHINE,
    MESSAGE,
    NEVER_CALLED,
    NUMBER,
    VARIABLES,
    beep,
    called_phone,
    changed_file,
    done,
    place,
    spoken,
    stored_call,
    until,
    way_out,
    with_second_carrier,
)
from tests.phone.peer import running_peer
from tests.phone.softphone import free_port
from tests.phone.stack import LINE, PhoneStack
from tests.sounds.samples import silence
from tests.voice.recogniser import count_mistakes, spoken_words
from tests.voice.replies import words


@pytest.mark.usefixtures("office")
async def test_a_person_who_says_hello_is_greeted_and_answered(
    stack: PhoneStack, tmp_path: Path
) -> None:
    await stack.voice.behave(Script(words=words(ANSWER)))
    hello = spoken("Hello?", tmp_path)
    async with called_phone(stack) as phone:
        planned = await place(stack, phone, variables=VARIABLES)
        await phone.accept()
        said = await phone.play(hello)
        greeted = await phone.wait_until_silent(since=said)
        spoken_back = phone.words(GREETING, since=said)
        assert count_mistakes(spoken_back, spoken_words(GREETING)) <= 2
        assert phone.first_sound() >= said  # type: ignore[operator]  # not before the hello
        asked = await phone.play(spoken("What time do you open on Saturday?", tmp_path))
        await phone.wait_until_silent(since=max(asked, greeted))
        assert count_mistakes(phone.words(ANSWER, since=asked), spoken_words(ANSWER)) <= 2
        await phone.hang_up()
        ended = await done(stack, planned)
    assert (ended["outcome"], ended["reason"]) == ("person", "caller left")
    question = stack.voice.first.requests[-1].messages
    assert question[0]["content"].startswith("You call Ann Lee.")
    # Their hello was answered by the greeting, and by it alone.
    assert sum(message["role"] == "user" for message in question) == 1


@pytest.mark.thorough
@pytest.mark.usefixtures("office")
async def test_a_person_who_says_nothing_is_greeted(stack: PhoneStack) -> None:
    async with called_phone(stack) as phone:
        planned = await place(stack, phone, variables=VARIABLES)
        await phone.accept()
        await phone.wait_until_silent()
        assert count_mistakes(phone.words(GREETING), spoken_words(GREETING)) <= 2
        await phone.hang_up()
        assert (await done(stack, planned))["outcome"] == "answered"


@pytest.mark.usefixtures("office")
async def test_a_message_is_left_on_a_machine_after_its_beep(
    stack: PhoneStack, tmp_path: Path
) -> None:
    greeting = spoken(MACHINE, tmp_path)
    machine = np.concatenate([silence(0.3), greeting, silence(0.5), beep(), silence(0.1)])
    async with called_phone(stack) as phone:
        planned = await place(stack, phone, variables=VARIABLES, voicemail=MESSAGE)
        await phone.accept()
        beeped = await phone.play(machine)
        await phone.wait_for("CALL_CLOSED", within=40)
        spoken_back = phone.words(MESSAGE, since=beeped)
        assert count_mistakes(spoken_back, spoken_words(MESSAGE)) <= 2
        assert phone.first_sound() >= beeped  # type: ignore[operator]  # no word into its greeting
        ended = await done(stack, planned)
    assert ended["outcome"] == "voicemail"
    assert (await stored_call(stack, ended))["reason"] == "voicemail"


@pytest.mark.thorough
@pytest.mark.usefixtures("office")
async def test_a_machine_without_a_message_for_it_is_hung_up_on_and_called_again(
    stack: PhoneStack, tmp_path: Path
) -> None:
    async with called_phone(stack) as phone:
        planned = await place(stack, phone, retry_after_minutes=[30])
        await phone.accept()
        playing = asyncio.create_task(phone.play(spoken(MACHINE, tmp_path)))
        await phone.wait_for("CALL_CLOSED", within=40)
        playing.cancel()  # it was hung up on in the middle
        await asyncio.wait({playing})
        assert phone.first_sound() is None
        waiting = await until(stack, planned, lambda now: now["outcome"] == "machine")
    assert (waiting["status"], waiting["attempt"]) == ("waiting", 1)
    await stack.voice.manage("DELETE", f"/calls/planned/{planned['id']}")


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (486, "busy"),
        (None, "no_answer"),
        *(
            pytest.param(status, outcome, marks=pytest.mark.thorough)
            for status, outcome in [(603, "declined"), (404, "invalid"), (503, "capacity")]
        ),
    ],
)
async def test_each_failure_has_its_own_outcome_and_its_room_is_closed(
    stack: PhoneStack, status: int | None, outcome: str
) -> None:
    async with running_peer(status) as peer, way_out(stack, peer.address):
        planned = await done(stack, await place(stack))
        assert peer.called == [NUMBER]
    assert planned["outcome"] == outcome
    call = await stored_call(stack, planned)
    assert (call["state"], call["reason"]) == ("ended", outcome.replace("_", " "))
    async with stack.voice.server() as server:
        assert planned["room"] not in await server.rooms()


@pytest.mark.parametrize("status", [503, pytest.param(407, marks=pytest.mark.thorough)])
@pytest.mark.usefixtures("office")
async def test_a_call_that_the_first_carrier_refuses_reaches_the_person_by_the_second(
    stack: PhoneStack, status: int
) -> None:
    async with AsyncExitStack() as opened:
        opened.enter_context(changed_file(stack, with_second_carrier))
        first = await opened.enter_async_context(running_peer(status))
        phone = await opened.enter_async_context(stack.phone())
        await opened.enter_async_context(way_out(stack, first.address))
        second = outbound_line(stack.voice.livekit, phone.address, LINE, name="second")
        await opened.enter_async_context(second)
        planned = await place(stack, phone, variables=VARIABLES)
        await phone.accept()
        await phone.wait_until_silent()
        assert count_mistakes(phone.words(GREETING), spoken_words(GREETING)) <= 2
        await phone.hang_up()
        ended = await done(stack, planned)
        assert first.called == [phone.account.number]
    assert (ended["outcome"], ended["attempt"]) == ("answered", 1)


@pytest.mark.thorough
async def test_where_nothing_takes_calls_at_the_trunk_they_wait_with_that_reason(
    stack: PhoneStack,
) -> None:
    closed_port = f"127.0.0.1:{free_port()}"
    tcp = api.SIPTransport.SIP_TRANSPORT_TCP
    async with outbound_line(stack.voice.livekit, closed_port, LINE, name="main", transport=tcp):
        planned = await place(stack)
        waits = await until(stack, planned, lambda now: bool(now["reason"]))
        assert "nothing takes calls at the trunk's address" in waits["reason"]
        await stack.voice.manage("DELETE", f"/calls/planned/{planned['id']}")


@pytest.mark.thorough
@pytest.mark.usefixtures("office")
async def test_a_person_who_declines_at_the_telephone_counts_as_busy(stack: PhoneStack) -> None:
    async with called_phone(stack) as phone:
        planned = await place(stack, phone)
        await phone.reject()  # most telephones send 486 for it
        assert (await done(stack, planned))["outcome"] == "busy"


async def test_a_number_on_the_list_is_never_dialed(stack: PhoneStack) -> None:
    async with running_peer(486) as peer, way_out(stack, peer.address):
        planned = await done(stack, await place(stack, number=NEVER_CALLED))
        assert peer.called == []
    assert planned["outcome"] == "blocked"


@pytest.mark.thorough
async def test_a_call_beyond_the_limit_waits_for_the_one_before(stack: PhoneStack) -> None:
    async with running_peer(None) as peer, way_out(stack, peer.address):
        first = await place(stack)
        await until(stack, first, lambda now: now["status"] == "ringing")
        second = await place(stack, number="+15550178")
        await done(stack, first)
        assert peer.called == [NUMBER]
        await done(stack, second)
        assert peer.called == [NUMBER, "+15550178"]


@pytest.mark.thorough
async def test_a_call_waits_with_the_reason_until_calls_out_are_set_up(stack: PhoneStack) -> None:
    async with running_peer(486) as peer, way_out(stack, peer.address):
        with changed_file(stack, lambda text: text.replace("[outbound]", "[outbond]")):
            planned = await place(stack)
            waits = await until(stack, planned, lambda now: bool(now["reason"]))
            assert (waits["status"], waits["attempt"], peer.called) == ("waiting", 0, [])
            assert "did you mean outbound?" in waits["reason"]
        ended = await done(stack, planned)
    assert (ended["outcome"], ended["attempt"], peer.called) == ("busy", 1, [NUMBER])


@pytest.mark.thorough
@pytest.mark.usefixtures("office")
async def test_a_call_ends_with_a_sentence_before_its_line_is_cut(
    stack: PhoneStack, tmp_path: Path
) -> None:
    def shorten(text: str) -> str:
        return text.replace("calls_at_once = 1", "calls_at_once = 1\nmax_minutes = 0.5")

    with changed_file(stack, shorten):
        async with called_phone(stack) as phone:
            planned = await place(stack, phone, variables=VARIABLES)
            await phone.accept()
            said = await phone.play(spoken("Hello?", tmp_path))
            greeted = await phone.wait_until_silent(since=said)
            await phone.wait_for("CALL_CLOSED", within=40)
            assert phone.seconds() < 30
            assert phone.first_sound(greeted + 2.0) is not None
            ended = await done(stack, planned)
    assert (ended["outcome"], ended["reason"]) == ("person", "too long")
