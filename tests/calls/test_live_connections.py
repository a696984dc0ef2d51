"""Changes of connections over the API take effect in a call from the next turn on, and lose no word
of the reply in flight.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from llm_router.testing.server import Fault, FaultyServer, Script
from tests.contracts.databases import Postgres
from tests.voice.caller import Caller
from tests.voice.stack import VoiceStack, running_beside

SPOKEN = Script(words=["We open at nine on Saturday morning,", " until noon."], gap=0.8)
"""The server still sends words when a change is made, and the voice has words left meanwhile."""
SHORT = Script(words=["Until noon."])
MUST_NOT_BE_ASKED = Script(fault=Fault.HANG_BEFORE_HEADERS)
OLD_KEY, NEW_KEY = "sk-0123456789-old", "sk-0123456789-new"


@pytest_asyncio.fixture(loop_scope="session")
async def on_postgresql(
    stack: VoiceStack, cluster: Postgres, tmp_path: Path
) -> AsyncIterator[VoiceStack]:
    url = await cluster.new(migrated=False)
    async with running_beside(stack, tmp_path, DATABASE_URL=url) as beside:
        yield beside


async def add_connection(stack: VoiceStack, name: str, server: FaultyServer, priority: int) -> str:
    row = {
        "name": name,
        "base_url": server.base_url,
        "model_name": server.model,
        "api_key": OLD_KEY,
        "priority": priority,
    }
    made: dict[str, Any] = await stack.manage("POST", "/connections", row)
    return f"/connections/{made['id']}"


async def turn(
    caller: Caller, asked: FaultyServer, other: FaultyServer, *changes: Awaitable[Any]
) -> tuple[str, str | None]:
    """Asks a question that the server `asked` must answer, and makes `changes` meanwhile.

    Checks that the whole answer is spoken; returns the connection and the key that answered.
    """
    said = SPOKEN if changes else SHORT
    await asked.behave(said)
    await other.behave(MUST_NOT_BE_ASKED)
    number, notes = len(asked.requests), len(caller.routes)
    since = asyncio.get_running_loop().time()
    await caller.type("And when are you open?")
    async with asyncio.timeout(20):
        request = await asked.received(number)
    for change in changes:
        await change
    await caller.wait_until(lambda me: len(me.routes) > notes)
    assert await caller.wait_for_answer(since) == "".join(said.words)
    assert request.is_finished
    return caller.routes[-1]["connection"], request.headers.get("authorization")


async def each_change_holds(stack: VoiceStack) -> None:
    first, spare = stack.first, stack.spare
    a, b = await add_connection(stack, "a", first, 1), await add_connection(stack, "b", spare, 2)
    async with stack.call(microphone=False) as caller:
        later = stack.manage("PATCH", a, {"priority": 3})
        assert await turn(caller, first, spare, later) == ("a", f"Bearer {OLD_KEY}")
        off = stack.manage("POST", f"{b}/deactivate")
        another_key = stack.manage("POST", f"{a}/rotate-key", {"api_key": NEW_KEY})
        assert await turn(caller, spare, first, off, another_key) == ("b", f"Bearer {OLD_KEY}")
        gone = stack.manage("DELETE", a)
        assert await turn(caller, first, spare, gone) == ("a", f"Bearer {NEW_KEY}")
        # No usable connection is stored any more, so the call uses the file's connections.
        assert await turn(caller, first, spare) == ("first", None)
    # The usage log has every attempt.
    asked = [request for request in spare.requests if "authorization" in request.headers]
    async with asyncio.timeout(20):
        while (await stack.manage("GET", f"{b}/usage"))["figures"]["attempts"] != len(asked):  # noqa: ASYNC110
            await asyncio.sleep(0.1)  # it is written within a second, without an event
    await stack.manage("DELETE", b)


async def test_each_change_holds_from_the_next_turn_and_costs_no_word_on_sqlite(
    stack: VoiceStack,
) -> None:
    await each_change_holds(stack)


@pytest.mark.thorough  # what PostgreSQL tells a call: tests/contracts/test_live_connections.py
async def test_each_change_holds_from_the_next_turn_and_costs_no_word_on_postgresql(
    on_postgresql: VoiceStack,
) -> None:
    await each_change_holds(on_postgresql)
