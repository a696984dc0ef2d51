"""Calls in which a caller asks to be put through to a person."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from llm_router.testing.server import Script
from llm_router.types import ToolCall
from tests.phone.softphone import Softphone
from tests.phone.stack import PhoneStack, until
from tests.sounds.samples import RATE, Samples
from tests.voice.caller import sentence
from tests.voice.replies import by_role, words
from tests.voice.stack import PHRASES

ABOUT = "An order from Tuesday is late."
SPOKEN_ABOVE = 1200
"""Hz: the hold music has no sound above that, and a voice has."""


class Call:
    """A call of a telephone to the stack, as the store has it."""

    def __init__(self, stack: PhoneStack, caller: Softphone, room: str) -> None:
        self.stack = stack
        self.caller = caller
        self.room = room

    async def facts(self) -> dict[str, Any]:
        return await self.stack.facts_of(self.room)

    async def has(self, phrase: str) -> bool:
        """Returns whether the agent has said a phrase to the caller."""
        found = await self.stack.voice.manage("GET", f"/calls/{(await self.facts())['id']}")
        return any(item["text"] == phrase for item in found["items"])

    async def receives(self, phrase: str) -> None:
        """Waits until the caller has received a phrase."""
        since = self.caller.seconds()
        await until(lambda: self.has(phrase))
        await self.caller.wait_until(lambda me: me.first_sound(max(0.0, since - 8.0)))

    async def ended(self) -> str:
        async def reason() -> str:
            facts = await self.facts()
            return str(facts["reason"]) if facts["state"] == "ended" else ""

        return str(await until(reason))


@asynccontextmanager
async def asking_for(stack: PhoneStack, person: str) -> AsyncIterator[Call]:
    """Calls, and asks for a person; yields the call once the caller waits for them."""
    async with stack.call() as caller:
        await caller.wait_until_silent()
        yield await ask_for(stack, caller, person)


async def ask_for(
    stack: PhoneStack, caller: Softphone, person: str, *, beside: Sequence[ToolCall] = ()
) -> Call:
    """Asks for a person; returns the call once the caller waits for them.

    The model calls the tools `beside` at the same time, and makes no call once it has a result.
    """
    arguments = f'{{"person": "{person}", "about": "{ABOUT}"}}'
    transfer = ToolCall("call_1", "transfer_call", arguments)
    put_through = Script(words=[], tool_calls=[*beside, transfer])
    first, answer = stack.voice.first, Script(words=words("Well?"))

    def once(number: int) -> Script:
        roles = {one["role"] for one in first.requests[number].messages}
        return answer if "tool" in roles else put_through

    await stack.voice.behave(once if beside else by_role(first, put_through, answer))
    await caller.say(sentence("real_person"))
    call = Call(stack, caller, await stack.room_of(caller))
    await until(lambda: call.has(phrase("begin", person)))
    return call


def phrase(occasion: str, person: str = "Mara") -> str:
    return PHRASES.pick(f"transfer.{occasion}", "en", 0).replace("{name}", person)


def voiced(samples: Samples) -> float:
    """Returns the loudest 50 ms of a recording above the notes of the hold music (RMS)."""
    spectrum = np.fft.rfft(samples.astype(np.float64))
    spectrum[np.fft.rfftfreq(len(samples), 1 / RATE) < SPOKEN_ABOVE] = 0
    high = np.fft.irfft(spectrum, len(samples))
    pieces = high[: len(high) // 800 * 800].reshape(-1, 800)
    return float(np.sqrt((pieces**2).mean(axis=1)).max())
