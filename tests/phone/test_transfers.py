"""Callers are put through to people, over real SIP; when that fails, the agent has them again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.dispatch import Dispatch
from agent.staff import is_staff
from agent.survival.identity import identity_of
from llm_router.clock import SystemClock
from llm_router.types import ToolCall
from tests.contracts.byte_server import page
from tests.phone.lines import inbound_line
from tests.phone.outgoing import spoken
from tests.phone.peer import running_peer
from tests.phone.stack import PhoneStack, until
from tests.phone.transferring import Call, ask_for, asking_for, phrase, voiced
from tests.sounds.samples import RATE
from tests.voice.caller import AUDIBLE, sentence
from tests.voice.stack_processes import answering, kill

CLOCK = SystemClock()


# ── Warm ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_person_who_accepts_is_briefed_alone_and_keeps_the_caller_without_any_worker(
    stack: PhoneStack,
) -> None:
    async with stack.person() as mara, asking_for(stack, "Mara") as call:
        caller = call.caller
        await mara.accept()
        await caller.wait_until(lambda me: me.first_sound(me.seconds() - 0.5))
        picked_up = caller.seconds()
        await mara.wait_until(lambda me: me.first_sound())
        await mara.wait_until_silent(1.5)
        music = caller.recording()[round(picked_up * RATE) :]
        briefing = mara.recording()
        print("leak", voiced(music), "briefing", voiced(briefing), "music", len(music) / RATE)
        assert voiced(briefing) > 4 * AUDIBLE
        assert voiced(music) < AUDIBLE / 5
        await mara.press("1")
        async with stack.voice.server() as server:
            first = identity_of(call.room, 1)
            await until(lambda: _gone(server, call.room, first))
            people = [one for one in await server.people(call.room) if is_staff(one.identity)]
        assert [one.name for one in people] == [one.identity for one in people]
        shown = {key for one in people for key in one.attributes}
        assert not shown & {"sip.phoneNumber", "sip.trunkPhoneNumber", "sip.hostname"}
        assert (await call.facts())["state"] == "handed_over"
        for speaker, listener in ((mara, caller), (caller, mara)):
            before = listener.seconds()
            await speaker.say(sentence("what_time"))
            assert voiced(listener.recording()[round(before * RATE) :]) > AUDIBLE
        await caller.hang_up()
        await mara.wait_for("CALL_CLOSED", within=60)
        assert await call.ended() == "transferred"


@pytest.mark.thorough
async def test_a_person_who_says_yes_after_the_briefing_gets_the_caller(
    stack: PhoneStack, tmp_path: Path
) -> None:
    async with stack.person() as mara, asking_for(stack, "Mara") as call:
        await mara.accept()
        await mara.wait_until(lambda me: me.first_sound())
        await mara.wait_until_silent(1.5)
        await mara.play(spoken("Yes.", tmp_path))

        async def is_handed_over() -> bool:
            return bool((await call.facts())["state"] == "handed_over")

        await until(is_handed_over)


async def _gone(server: Any, room: str, identity: str) -> bool:
    return not await server.is_present(room, identity)


@pytest.mark.thorough
async def test_a_caller_is_brought_back_from_a_machine_that_accepts_nothing(
    stack: PhoneStack,
) -> None:
    async with stack.person() as mara, asking_for(stack, "Mara") as call:
        await mara.accept()
        await mara.say(sentence("book_appointment"))  # as a greeting would be
        await call.receives(phrase("not_accepted"))
        await mara.wait_for("CALL_CLOSED")


@pytest.mark.thorough
async def test_a_person_who_hangs_up_during_the_briefing_brings_the_caller_back(
    stack: PhoneStack,
) -> None:
    async with stack.person() as mara, asking_for(stack, "Mara") as call:
        await mara.accept()
        await mara.wait_until(lambda me: me.first_sound())
        await mara.hang_up()
        await call.receives(phrase("person_left"))


@pytest.mark.thorough
async def test_a_caller_who_hangs_up_leaves_no_telephone_ringing(stack: PhoneStack) -> None:
    async with stack.person() as mara, asking_for(stack, "Mara") as call:
        await mara.wait_for("CALL_INCOMING")
        await call.caller.hang_up()
        await mara.wait_for("CALL_CLOSED")
        assert await call.ended() == "caller left"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (486, "busy"),
        pytest.param(603, "declined", marks=pytest.mark.thorough),
        pytest.param(None, "no_answer", marks=pytest.mark.thorough),
    ],
)
async def test_a_person_who_does_not_answer_brings_the_caller_back(
    stack: PhoneStack, status: int | None, said: str
) -> None:
    async with running_peer(status, stack.person_port), asking_for(stack, "Mara") as call:
        await call.receives(phrase(said))


async def test_a_worker_that_dies_in_mid_transfer_leaves_the_caller_with_an_agent_that_says_so(
    stack: PhoneStack,
) -> None:
    async with stack.person() as mara, asking_for(stack, "Mara") as call:
        await mara.accept()
        await mara.wait_until(lambda me: me.first_sound())
        for process in answering(stack.voice):
            kill(process)
        await call.receives(phrase("cut"))
        await mara.wait_for("CALL_CLOSED")


# ── Beside another tool ──────────────────────────────────────────────────────────────────────────


class SlowOrders:
    """An HTTP server that answers a question about an order once `answers` is set."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.asked = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        await self.answers.wait()
        writer.write(page("200 OK", b"It leaves today.", "connection: close"))
        writer.close()


@asynccontextmanager
async def call_about_an_order(stack: PhoneStack) -> AsyncIterator[tuple[Call, SlowOrders]]:
    """Calls an assistant whose model transfers the caller and looks an order up in one reply."""
    orders = SlowOrders()
    number, voice = f"+1555{next(stack.numbers)}", stack.voice
    async with await asyncio.start_server(orders.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"http://localhost:{port}/order"
        tool = {"name": "find_order", "description": "Finds the order.", "url": url, "timeout": 60}
        record = {"name": "store", "greeting": "Hello.", "tools": ["transfer"]}
        await voice.manage("POST", "/assistants", record | {"http_tools": [tool]})
        agent_name, to_store = voice.settings["AGENT_NAME"], Dispatch(assistant="store")
        try:
            async with (
                inbound_line(voice.livekit, number, agent_name, dispatch=to_store),
                stack.call(number) as caller,
            ):
                await caller.wait_until_silent()
                find = ToolCall("call_2", "find_order", "{}")
                yield await ask_for(stack, caller, "Mara", beside=[find]), orders
        finally:
            orders.answers.set()
            await voice.manage("DELETE", "/assistants/store")


def results(stack: PhoneStack) -> list[tuple[str, str]]:
    """Returns the results of tools in the model's last question, by the ids of their calls."""
    messages = stack.voice.first.requests[-1].messages
    return [(one["tool_call_id"], one["content"]) for one in messages if one["role"] == "tool"]


@pytest.mark.thorough
async def test_a_lookup_that_outlasts_a_failed_transfer_is_answered_and_neither_is_repeated(
    stack: PhoneStack,
) -> None:
    async with running_peer(486, stack.person_port) as mara:
        async with call_about_an_order(stack) as (call, orders):
            await call.receives(phrase("busy"))
            back_at = call.caller.seconds()
            # The lookup goes on: the caller is told so, and hears no silence.
            await call.caller.wait_until(lambda me: me.first_sound(back_at + 1.0), 15)
            orders.answers.set()
            await until(lambda: call.has("Well?"))
        assert (orders.asked, len(mara.called)) == (1, 1)
    assert sorted(results(stack)) == [
        ("call_1", "the person's line is busy; nothing was done"),
        ("call_2", "It leaves today."),
    ]


@pytest.mark.thorough
async def test_a_lookup_that_outlasts_a_transfer_keeps_no_agent_and_says_nothing_on_hold(
    stack: PhoneStack,
) -> None:
    async with stack.person() as mara, call_about_an_order(stack) as (call, orders):
        await mara.accept()
        await mara.wait_until(lambda me: me.first_sound())
        on_hold = call.caller.seconds()
        await mara.wait_until_silent(1.5)
        music = call.caller.recording()[round(on_hold * RATE) :]
        assert len(music) > 5 * RATE
        assert voiced(music) < AUDIBLE / 5
        await mara.press("1")
        async with stack.voice.server() as server:
            await until(lambda: _gone(server, call.room, identity_of(call.room, 1)))
        assert (await call.facts())["state"] == "handed_over"
        assert orders.asked == 1
        await call.caller.hang_up()
        assert await call.ended() == "transferred"


# ── Cold ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.thorough
@pytest.mark.parametrize("after", [0.0, 12.0])
async def test_a_telephone_that_is_transferred_leaves_the_call_however_late_the_person_answers(
    stack: PhoneStack, after: float
) -> None:
    async with stack.person() as paul, asking_for(stack, "Paul") as call:
        await paul.wait_for("CALL_INCOMING")
        await CLOCK.sleep(after)
        for failure in ("busy", "declined", "no_answer", "failed"):
            assert not await call.has(phrase(failure, "Paul"))
        await paul.accept()
        assert await call.ended() == "transferred"
        await paul.hang_up()


async def test_a_telephone_that_cannot_be_transferred_brings_its_caller_back_with_the_reason(
    stack: PhoneStack,
) -> None:
    async with stack.person() as paul, asking_for(stack, "Paul") as call:
        since = call.caller.seconds()
        await paul.reject()
        await call.receives(phrase("busy", "Paul"))
        assert call.caller.seconds() - since > 8.0
