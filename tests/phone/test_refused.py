"""Calls that are not answered: their callers learn it, and a flood of them leaves the line free."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from google.protobuf.duration_pb2 import Duration

from tests.phone.lines import inbound_line
from tests.phone.softphone import Account
from tests.phone.stack import LINE, LOCKED_LINE, PhoneStack

UNATTENDED = "+15550190"
"""A number of the stack's own whose agent no worker is."""
FLOOD = 60
"""Calls of the flood, twenty a second."""


async def test_only_callers_with_the_password_are_answered(stack: PhoneStack) -> None:
    wrong = Account(number="+15550301", user="carrier", password="guess")
    async with stack.phone(wrong) as phone:
        await phone.ring(LOCKED_LINE)
        assert "401" in (await phone.wait_for("CALL_CLOSED")).detail
    right = Account(number="+15550302", user="carrier", password=stack.password)
    async with stack.phone(right) as phone:
        await phone.dial(LOCKED_LINE)
        await phone.wait_until_silent()


@pytest.mark.thorough
async def test_an_unknown_number_rings_without_end_and_reaches_no_agent(stack: PhoneStack) -> None:
    # livekit-sip drops such calls in silence, lest it tell strangers which numbers there are.
    async with stack.phone() as phone:
        await phone.ring("+15559999")
        await phone.wait_for("CALL_RINGING")
        async with stack.call() as known:
            await known.wait_until_silent()
        assert not phone.has("CALL_ESTABLISHED")
        assert not await stack.rooms_of(phone)


@pytest.mark.thorough
async def test_a_number_without_a_worker_rings_and_then_ends(stack: PhoneStack) -> None:
    trunk = {"ringing_timeout": Duration(seconds=3)}
    async with (
        inbound_line(stack.voice.livekit, UNATTENDED, "nobody", trunk=trunk),
        stack.phone() as phone,
    ):
        await phone.ring(UNATTENDED)
        await phone.wait_for("CALL_RINGING")
        closed = await phone.wait_for("CALL_CLOSED")
        assert not phone.has("CALL_ESTABLISHED")
        assert "486" in closed.detail


async def test_a_flood_of_refused_calls_leaves_the_line_free(stack: PhoneStack) -> None:
    async with sipp(stack, LOCKED_LINE, calls=FLOOD, rate=20) as flood:
        async with stack.call() as phone:
            await phone.wait_until_silent()
        assert await flood.wait() != 0  # no call of it was answered
        assert not await stack.rooms_with("sip.trunkPhoneNumber", LOCKED_LINE)


@pytest.mark.thorough
async def test_a_call_without_sound_from_the_caller_is_not_cut_off(stack: PhoneStack) -> None:
    # 8 s: some versions of livekit-sip have ended such calls after 5.
    async with sipp(stack, LINE, calls=1, rate=1, lasts=8) as silent:
        assert await silent.wait() == 0


@asynccontextmanager
async def sipp(
    stack: PhoneStack, number: str, *, calls: int, rate: int, lasts: int = 0
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Makes calls without sound that last for some seconds; its exit code is 0 if all were well."""
    program = shutil.which("sipp")
    assert program, "install Debian's sip-tester"
    process = await asyncio.create_subprocess_exec(
        *(program, "-sn", "uac", "-i", "127.0.0.1", "-s", number),
        *("-m", str(calls), "-r", str(rate), "-d", str(lasts * 1000), "-timeout", "60s"),
        stack.sip_address,
        cwd=stack.folder,
        env={"TERM": "xterm", "PATH": "/usr/bin"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
