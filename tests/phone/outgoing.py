"""Places calls out over a telephone stack, and makes what a called telephone plays."""

import asyncio
import secrets
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tests.phone.lines import outbound_line
from tests.phone.softphone import Softphone
from tests.phone.stack import LINE, SETUP, PhoneStack
from tests.sounds.samples import RATE, Samples, read_sound

NEVER_CALLED = "+15550109999"
_OUTBOUND = """
[[trunks]]
name = "main"
address = "127.0.0.1:1"  # tests make the trunk anew, with the address of their telephone

[outbound]
trunk = "main"
caller_id = "+15550100"
calls_at_once = 1
calls_per_second = 10.0
ring_for = 6.0
do_not_call = "do-not-call.txt"
"""
"""Added to the telephone's file of the stack: one call out at a time."""
NUMBER = "+15550177"
GREETING = "Good morning, this is the office of Doctor Miller."
MESSAGE = "Please call the office back on Monday morning."
MACHINE = (
    "Hello, you have reached Ann Lee. I can not come to the phone right now. Please leave a message"
    " after the tone, and I will call you back as soon as I can."
)
ANSWER = "On Saturday we open at nine in the morning."
_POLL = 0.2  # s


def file_with_calls_out(folder: Path) -> Path:
    """Writes the telephone's file of the stack with calls out; returns it."""
    file = folder / "phone.toml"
    file.write_text(SETUP.read_text(encoding="utf-8") + _OUTBOUND, encoding="utf-8")
    (folder / "do-not-call.txt").write_text(f"{NEVER_CALLED}\n", encoding="utf-8")
    return file


def with_second_carrier(text: str) -> str:
    """Adds a trunk to the telephone's file that is tried when the first one refuses."""
    second = '[[trunks]]\nname = "second"\naddress = "127.0.0.1:1"\n'
    return text.replace("[outbound]\n", '[outbound]\nfallback = ["second"]\n') + second


def spoken(text: str, folder: Path) -> Samples:
    """Returns a sentence as a voice says it."""
    file = folder / f"{secrets.token_hex(4)}.wav"
    subprocess.run(["flite", "-voice", "rms", "-t", text, "-o", str(file)], check=True)
    return read_sound(file)


def tone(seconds: float, pitch: float) -> Samples:
    at = np.arange(round(seconds * RATE)) / RATE
    return (6_000 * np.sin(2 * np.pi * pitch * at)).astype(np.int16)


def beep(seconds: float = 0.6) -> Samples:
    return tone(seconds, 1_000)


@asynccontextmanager
async def way_out(stack: PhoneStack, address: str) -> AsyncIterator[None]:
    """Leads the calls of the trunk `main` to an address during the block."""
    async with outbound_line(stack.voice.livekit, address, LINE, name="main"):
        yield


@asynccontextmanager
async def called_phone(stack: PhoneStack) -> AsyncIterator[Softphone]:
    """Runs a telephone to which the calls of the trunk `main` lead."""
    async with stack.phone() as phone, way_out(stack, phone.address):
        yield phone


async def place(stack: PhoneStack, phone: Softphone | None = None, **fields: Any) -> dict[str, Any]:
    """Plans a call to a telephone, or to a number that only an exchange has."""
    number = phone.account.number if phone else NUMBER
    body = {"number": number, "assistant": "office" if phone else "", **fields}
    planned: dict[str, Any] = await stack.voice.manage("POST", "/calls", body)
    return planned


async def until(
    stack: PhoneStack,
    planned: dict[str, Any],
    holds: Callable[[dict[str, Any]], bool],
    within: float = 60.0,
) -> dict[str, Any]:
    """Returns the planned call once it is so."""
    now = planned
    try:
        async with asyncio.timeout(within):
            while not holds(now):
                await asyncio.sleep(_POLL)
                now = await stack.voice.manage("GET", f"/calls/planned/{planned['id']}")
    except TimeoutError:
        raise AssertionError(
            f"it stays {now['status']}: {now['outcome']} {now['reason']}"
        ) from None
    return now


async def done(stack: PhoneStack, planned: dict[str, Any]) -> dict[str, Any]:
    return await until(stack, planned, lambda now: now["status"] == "done")


async def stored_call(stack: PhoneStack, planned: dict[str, Any]) -> dict[str, Any]:
    page = await stack.voice.manage("GET", f"/calls?room={planned['room']}")
    call: dict[str, Any] = page["items"][0]
    return call


VARIABLES = {"doctor": "Miller", "name": "Ann Lee"}


@contextmanager
def changed_file(stack: PhoneStack, change: Callable[[str], str]) -> Iterator[None]:
    """Changes the telephone's file during the block."""
    file = Path(stack.voice.settings["PHONE_FILE"])
    before = file.read_text(encoding="utf-8")
    file.write_text(change(before), encoding="utf-8")
    try:
        yield
    finally:
        file.write_text(before, encoding="utf-8")
