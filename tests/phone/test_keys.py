"""Keys over real SIP: each one arrives once, in both directions, and secret ones stay secret.

So does the caller's number, which no log has.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.dispatch import Dispatch
from llm_router.testing.server import Script
from llm_router.types import ToolCall
from tests.contracts.byte_server import ByteServer
from tests.phone.lines import inbound_line
from tests.phone.softphone import Softphone
from tests.phone.stack import LOGS, SHOP_LINE, PhoneStack, running_phone_stack
from tests.voice.replies import words

KEYS = "".join(random.Random(7).choices("0123456789*#", k=100))
TYPED = KEYS.replace("#", "3")
"""The hash key ends a number."""
PIN = "860427"
_ASK = {"prompt": "Your PIN.", "name": "pin", "minimum": 6, "maximum": 6, "secret": True}
_BANK_LINE = "+15550185"


@pytest.mark.thorough
async def test_a_hundred_keys_that_a_caller_types_reach_the_model_once_each(
    stack: PhoneStack,
) -> None:
    fields = [TYPED[at : at + 25] for at in range(0, 100, 25)]

    def script(number: int) -> Script:
        messages = stack.voice.first.requests[number].messages
        done = sum(message["role"] == "tool" for message in messages)
        if done == len(fields):
            return Script(words=words("Thank you."))
        ask = json.dumps({"prompt": "Please type.", "minimum": 25, "maximum": 25})
        return Script(words=[], tool_calls=[ToolCall(f"ask_{done}", "ask_for_digits", ask)])

    await stack.voice.behave(script)
    async with stack.call(SHOP_LINE) as phone:
        await phone.wait_until(lambda me: me.first_sound() is not None)
        await phone.press("1")
        await phone.wait_until(lambda _: stack.voice.first.requests)
        await phone.press(TYPED)
        await phone.wait_until(lambda _: len(stack.voice.first.requests) > len(fields), 90)
        results = [m for m in stack.voice.first.requests[-1].messages if m["role"] == "tool"]
        assert [m["content"].removeprefix("The caller typed: ") for m in results] == fields


@pytest.mark.thorough
async def test_a_hundred_keys_that_the_model_presses_reach_the_caller_once_each(
    stack: PhoneStack,
) -> None:
    halves = KEYS[:50], KEYS[50:]

    def script(number: int) -> Script:
        messages = stack.voice.first.requests[number].messages
        done = sum(message["role"] == "tool" for message in messages)
        if done == len(halves):
            return Script(words=words("They are pressed."))
        keys = json.dumps({"keys": halves[done]})
        return Script(words=[], tool_calls=[ToolCall(f"press_{done}", "press_keys", keys)])

    await stack.voice.behave(script)
    async with stack.call(SHOP_LINE) as phone:
        await phone.wait_until(lambda me: me.first_sound() is not None)
        await phone.press("1")
        await phone.wait_until(lambda me: len(me.digits) == len(KEYS), 120)
        assert phone.digits == KEYS


async def test_a_pin_is_in_no_request_no_stored_call_and_no_log_nor_is_the_number(
    stack: PhoneStack,
) -> None:
    phone = await check_secret(stack, LOGS)
    own = " ".join((LOGS / name).read_text(errors="replace") for name in ("worker.log", "page.log"))
    assert phone.account.number.removeprefix("+") not in own


@pytest.mark.thorough
async def test_a_pin_is_in_no_log_either_that_says_all_there_is_to_say(tmp_path: Path) -> None:
    logs = LOGS / "debug"
    async with running_phone_stack(tmp_path, logs, LOG_LEVEL="DEBUG") as stack:
        await check_secret(stack, logs)
    assert '"DEBUG"' in (logs / "worker.log").read_text(errors="replace")


async def check_secret(stack: PhoneStack, logs: Path) -> Softphone:
    """Types a PIN that the model asks for and gives to a tool, which alone receives it."""

    def script(number: int) -> Script:
        messages = stack.voice.first.requests[number].messages
        done = sum(message["role"] == "tool" for message in messages)
        calls = [
            ToolCall("ask", "ask_for_digits", json.dumps(_ASK)),
            ToolCall("use", "check_pin", '{"pin": "secret-pin-1"}'),
        ][done : done + 1]
        return Script(words=[], tool_calls=calls) if calls else Script(words=words("Thanks."))

    await stack.voice.behave(script)
    async with ByteServer(lambda asked: plain_answer(asked.path)) as bank, opened_bank(stack, bank):
        async with (
            inbound_line(
                stack.voice.livekit,
                _BANK_LINE,
                stack.voice.settings["AGENT_NAME"],
                dispatch=Dispatch(assistant="bank"),
            ),
            stack.call(_BANK_LINE) as phone,
        ):
            await phone.wait_until(lambda me: me.first_sound() is not None)
            await phone.press("1")
            await phone.wait_until(lambda _: stack.voice.first.requests)
            await phone.press(PIN)
            await phone.wait_until(lambda _: len(stack.voice.first.requests) > 2)
            asked = str([request.messages for request in stack.voice.first.requests])
            facts = await stack.facts_of(await stack.room_of(phone))
            stored = str(await stack.voice.manage("GET", f"/calls/{facts['id']}"))
        assert PIN in bank.asked[0].path
    assert "secret-pin-1" in asked
    written = await asyncio.to_thread(read_logs, logs)
    for place in (asked, stored, written):
        assert PIN not in place
    return phone


def read_logs(folder: Path) -> str:
    return " ".join(file.read_text(errors="replace") for file in folder.glob("*.log"))


@asynccontextmanager
async def opened_bank(stack: PhoneStack, bank: ByteServer) -> AsyncIterator[None]:
    """Makes an assistant that asks for keys and gives them to a server in its address."""
    tool = {
        "name": "check_pin",
        "description": "Checks a PIN.",
        "url": f"{bank.root}/check",
        "parameters": {"type": "object", "properties": {"pin": {"type": "string"}}},
    }
    record = {"name": "bank", "tools": ["keypad"], "http_tools": [tool]}
    await stack.voice.manage("POST", "/assistants", record)
    yield
    await stack.voice.manage("DELETE", "/assistants/bank")


def plain_answer(text: str) -> bytes:
    """Answers with a text, in which the PIN stands."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\n\r\n"
    return (head + text).encode()
