"""Tests that calls lose nothing when the HTTP process or the database dies while they go on."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from llm_router.clock import SystemClock, utc_now
from llm_router.errors import StoreError
from llm_router.store.calls import CallStore
from llm_router.voice.calls import Call, CallAgent, CallFacts, CallItem
from tests.contracts.api_process import Serving, serving
from tests.contracts.databases import Files, Postgres, opened, running_postgres
from tests.contracts.test_api_crash import person, variables

CALLS = 6
WRITTEN = 15
"""Items of each call before the crash, and as many after it."""
FACTS = CallFacts(keep="transcript")


def item(number: int) -> CallItem:
    at = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
    return CallItem(id=f"i{number}", role="user", text=f"word {number}", created_at=at)


class Writer:
    """An agent that writes its call: item after item, each again until it is acknowledged."""

    def __init__(self, store: CallStore, call: Call) -> None:
        self._store = store
        self.call = call
        self.acknowledged: list[str] = []
        self._news = asyncio.Event()

    async def write(self, until: int) -> None:
        while len(self.acknowledged) < until:
            number = len(self.acknowledged) + 1
            try:
                await self._store.append(self.call.id, [item(number)], utc_now())
            except StoreError:
                await SystemClock().sleep(0.05)  # as an agent's window does
            else:
                self.acknowledged.append(f"i{number}")
                self._news.set()

    async def has_written(self, number: int) -> None:
        """Waits until so many items are acknowledged."""
        while len(self.acknowledged) < number:
            self._news.clear()
            await self._news.wait()

    async def stored(self) -> Sequence[str]:
        return [one.id for one in (await self._store.read(self.call.id))[1]]


async def writers(store: CallStore, count: int) -> list[Writer]:
    made = []
    for number in range(count):
        agent = CallAgent(identity="agent", worker="w", job=f"j{number}")
        call = await store.claim(f"room {number}", 1, agent, utc_now(), FACTS)
        assert call
        made.append(Writer(store, call))
    return made


async def write(them: Sequence[Writer], until: int) -> None:
    await asyncio.gather(*(writer.write(until) for writer in them))


@pytest.fixture
def fragile() -> Iterator[Postgres]:
    """A server that forces what it acknowledges to the disk, and that can crash."""
    with running_postgres() as server:
        yield server


@pytest.mark.timeout(120)
async def test_a_crash_of_the_database_loses_no_acknowledged_item_and_stores_none_twice(
    fragile: Postgres,
) -> None:
    async with opened(await fragile.new()) as database:
        them = await writers(CallStore(database), CALLS)
        await write(them, WRITTEN)
        going_on = asyncio.gather(*(writer.write(10**6) for writer in them))
        await them[0].has_written(WRITTEN + 1)
        await asyncio.to_thread(fragile.control, "crash")
        going_on.cancel()
        with suppress(asyncio.CancelledError):
            await going_on
        await asyncio.to_thread(fragile.control, "start")
        for writer in them:
            stored = await writer.stored()
            assert stored[: len(writer.acknowledged)] == writer.acknowledged
            assert len(stored) <= len(writer.acknowledged) + 1  # stored, and not confirmed
        written = max(len(writer.acknowledged) for writer in them) + WRITTEN
        await write(them, written)
        for writer in them:
            assert await writer.stored() == [f"i{number}" for number in range(1, written + 1)]


class Follower:
    """A client that follows one call, and comes back where it was cut off."""

    def __init__(self, call_id: str) -> None:
        self._path = f"/calls/{call_id}/stream"
        self._last = ""
        self.items: list[str] = []
        self.has_ended = False

    async def follow(self, client: httpx2.AsyncClient, until: int) -> None:
        """Reads until there are so many items, or the call or the process has ended."""
        headers = {"Last-Event-ID": self._last} if self._last else {}
        with suppress(httpx2.TransportError):
            async with client.stream("GET", self._path, headers=headers) as answer:
                async for line in answer.aiter_lines():
                    self._read(*line.partition(": ")[::2])
                    if len(self.items) >= until:
                        return

    def _read(self, field: str, value: str) -> None:
        if field == "id":
            self._last = value
        elif field == "data":
            data: Any = json.loads(value)
            if "role" in data:
                self.items.append(data["id"])
            self.has_ended = data.get("state") == "ended"


@pytest.mark.timeout(120)
async def test_a_call_goes_on_without_the_http_process_and_its_follower_misses_nothing(
    files: Files, tmp_path: Path
) -> None:
    url = await files.new()
    async with opened(url) as database:
        store = CallStore(database)
        (writer,) = await writers(store, 1)
        follower = Follower(writer.call.id)
        async with serving(tmp_path, **variables(tmp_path, url)) as process:
            writing = asyncio.ensure_future(writer.write(WRITTEN))
            await follow(follower, process, tmp_path, WRITTEN)
            await process.kill()
            await writing
        await writer.write(2 * WRITTEN)
        async with serving(tmp_path, **variables(tmp_path, url)) as process:
            await writer.write(3 * WRITTEN)
            await store.end(writer.call.id, "caller left", utc_now())
            await follow(follower, process, tmp_path, 10**6)
    assert follower.items == writer.acknowledged
    assert follower.has_ended


async def follow(follower: Follower, process: Serving, folder: Path, until: int) -> None:
    async with person(process, folder) as client:
        await follower.follow(client, until)
