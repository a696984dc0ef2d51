"""Connections are changed over the API in the middle of a call: from the next turn on, and no word
of the reply under way is lost.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import pytest_asyncio

from llm_router.testing.server import Fault, FaultyServer, Script
from tests.contracts.databases import Postgres
from tests.voice.caller import Caller
from tests.voice.stack import House, running_beside

SPOKEN = Script(words=["We open at nine on Saturday morning,", " until noon."], gap=0.8)
"""The server is still speaking when a change is made, and the voice has enough to say meanwhile."""
SHORT = Script(words=["Until noon."])
NOT_ASKED = Script(fault=Fault.HANG_BEFORE_HEADERS)
OLD_KEY, NEW_KEY = "sk-0123456789-old", "sk-0123456789-new"


@pytest_asyncio.fixture(loop_scope="session")
async def on_postgresql(house: House, cluster: Postgres, tmp_path: Path) -> AsyncIterator[House]:
    url = await cluster.new(migrated=False)
    async with running_beside(house, tmp_path, DATABASE_URL=url) as beside:
        yield beside


async def keep(house: House, name: str, server: FaultyServer, priority: int) -> str:
    row = {
        "name": name,
        "base_url": server.base_url,
        "model_name": server.model,
        "api_key": OLD_KEY,
        "priority": priority,
    }
    made: dict[str, Any] = await house.manage("POST", "/connections", row)
    return f"/connections/{made['id']}"


async def turn(
    caller: Caller, asked: FaultyServer, other: FaultyServer, *changes: Awaitable[Any]
) -> tuple[str, str | None]:
    """A question that one of the two is asked, and changes while it answers. The whole answer is
    heard; by which connection, and with which key.
    """
    said = SPOKEN if changes else SHORT
    await asked.behave(said)
    await other.behave(NOT_ASKED)
    number, notes = len(asked.requests), len(caller.routes)
    since = asyncio.get_running_loop().time()
    await caller.type("And when are you open?")
    async with asyncio.timeout(20):
        request = await asked.received(number)
    for change in changes:
        await change
    await caller.until(lambda me: len(me.routes) > notes)
    assert await caller.hear_out(since) == "".join(said.words)
    assert request.is_finished
    return caller.routes[-1]["connection"], request.headers.get("authorization")


async def each_change_holds(house: House) -> None:
    first, spare = house.first, house.spare
    a, b = await keep(house, "a", first, 1), await keep(house, "b", spare, 2)
    async with house.call(microphone=False) as caller:
        later = house.manage("PATCH", a, {"priority": 3})
        assert await turn(caller, first, spare, later) == ("a", f"Bearer {OLD_KEY}")
        off = house.manage("POST", f"{b}/deactivate")
        another_key = house.manage("POST", f"{a}/rotate-key", {"api_key": NEW_KEY})
        assert await turn(caller, spare, first, off, another_key) == ("b", f"Bearer {OLD_KEY}")
        gone = house.manage("DELETE", a)
        assert await turn(caller, first, spare, gone) == ("a", f"Bearer {NEW_KEY}")
        # Nothing that may be asked is stored any more: the call goes by the file.
        assert await turn(caller, first, spare) == ("first", None)
    # And every attempt is in the usage log.
    asked = [request for request in spare.requests if "authorization" in request.headers]
    async with asyncio.timeout(20):
        while (await house.manage("GET", f"{b}/usage"))["figures"]["attempts"] != len(asked):  # noqa: ASYNC110
            await asyncio.sleep(0.1)  # it is written within a second, and nobody tells
    await house.manage("DELETE", b)


async def test_each_change_holds_from_the_next_turn_and_costs_no_word_on_sqlite(
    house: House,
) -> None:
    await each_change_holds(house)


async def test_each_change_holds_from_the_next_turn_and_costs_no_word_on_postgresql(
    on_postgresql: House,
) -> None:
    await each_change_holds(on_postgresql)
