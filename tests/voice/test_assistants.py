"""Assistants in real calls: a change holds from the next call on; a running one keeps its own."""

from typing import Any

from llm_router.testing.server import Script
from tests.voice.caller import Caller
from tests.voice.replies import words
from tests.voice.stack import GREETING, VoiceStack

ANSWER = "At nine."
OLD = {"greeting": "The old shop.", "instructions": "You are the old shop."}
NEW = {"greeting": "The new shop.", "instructions": "You are the new shop."}


async def instructed(stack: VoiceStack, caller: Caller) -> str:
    """Asks a question in the call; returns the system prompt that went along to the model."""
    number = len(stack.first.requests)
    notes = len(caller.routes)
    await caller.type("When do you open?")
    await caller.wait_until(lambda me: len(me.routes) > notes)
    message: Any = stack.first.requests[number].messages[0]
    assert message["role"] == "system"
    return str(message["content"])


async def test_an_edit_holds_from_the_next_call_and_a_running_call_keeps_its_own(
    stack: VoiceStack,
) -> None:
    await stack.behave(Script(words=words(ANSWER)))
    await stack.manage("POST", "/assistants", {"name": "shop", **OLD})
    async with stack.call(microphone=False, assistant="shop", greeting="The old shop.") as running:
        await stack.manage("PATCH", "/assistants/shop", NEW)
        assert await instructed(stack, running) == "You are the old shop."
        new = stack.call(microphone=False, assistant="shop", greeting="The new shop.")
        async with new as later:
            assert await instructed(stack, later) == "You are the new shop."
            assert await instructed(stack, running) == "You are the old shop."
    await stack.manage("DELETE", "/assistants/shop")
    async with stack.call(microphone=False, assistant="shop", greeting=GREETING) as caller:
        assert "shop" not in await instructed(stack, caller)
