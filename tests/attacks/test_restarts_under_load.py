"""PostgreSQL and Redis crash and come back while much goes on: nothing acknowledged is lost."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import func, select

from llm_router.clock import SystemClock
from llm_router.connections.access import SYSTEM
from llm_router.connections.record import Connection
from llm_router.connections.store import Query
from llm_router.errors import StoreError
from llm_router.routing.router import Router
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.database import Database
from llm_router.store.fleets import SqlFleetBook
from llm_router.store.tables import usage
from llm_router.stored_router import load_known, open_stored_router
from llm_router.testing.server import FaultyServer, Script
from llm_router.types import ChatRequest
from tests.contracts.api_process import admin_key, isolated_environ, serving
from tests.contracts.databases import Postgres, opened, running_postgres
from tests.contracts.redis_server import running_redis
from tests.contracts.stores import MASTER_KEY, VAULT, store_options

CRASHES = 2
EDITORS = 6
BETWEEN = 12
"""Edits of each editor, and replies of each call, before a crash and after the last one."""
WORDS = ("We", " open", " at", " nine", ".")


class Progress:
    """Counts what was acknowledged, and wakes those that wait for so much of it."""

    def __init__(self) -> None:
        self.count = 0
        self._news = asyncio.Event()

    def add(self) -> None:
        self.count += 1
        self._news.set()

    async def reaches(self, count: int) -> None:
        while self.count < count:
            self._news.clear()
            await self._news.wait()


class Editor:
    """Changes one connection again and again, each change until it is acknowledged."""

    def __init__(self, store: SqlConnectionStore, book: SqlFleetBook, number: int) -> None:
        self.id = f"edited-{number}"
        self.acknowledged = Progress()
        self.numbers: list[int] = []
        self._store = store
        self._book = book

    async def edit(self) -> None:
        while True:
            wanted = {"priority": self.acknowledged.count + 1}
            try:
                await self._store.change(SYSTEM, self.id, wanted)
                self.numbers.append(await self._book.begin_launch("llama", 0.0))
            except StoreError:
                await SystemClock().sleep(0.05)
            else:
                self.acknowledged.add()


async def talk(router: Router, answers: Progress) -> None:
    """Asks again and again; every answer must be whole."""
    request = ChatRequest(messages=[{"role": "user", "content": "When?"}], speech=True)
    while True:
        async with aclosing(router.stream(request)) as reply:
            assert "".join([chunk.text async for chunk in reply]) == "".join(WORDS)
        answers.add()


@pytest.fixture
def fragile() -> Iterator[Postgres]:
    """A server that forces what it acknowledges to the disk, and that can crash."""
    with running_postgres() as server:
        yield server


@asynccontextmanager
async def going_on(*works: "asyncio.Task[None]") -> AsyncIterator[None]:
    """Ends the works with the block; one that failed meanwhile is its error."""
    try:
        yield
    finally:
        for work in works:
            work.cancel()
        results = await asyncio.gather(*works, return_exceptions=True)
        for result in results:
            if not isinstance(result, asyncio.CancelledError | None):
                raise result


async def won(database: Database) -> int:
    async with database.reading() as db:
        query = select(func.count()).select_from(usage).where(usage.c.outcome == "won")
        return int((await db.execute(query)).scalar_one())


@pytest.mark.timeout(180)
async def test_a_database_that_crashes_under_load_loses_nothing_and_no_call_notices(
    fragile: Postgres, tmp_path: Path
) -> None:
    url = await fragile.new()
    answers = Progress()
    script = Script(words=WORDS, first_token_after=0.02)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(FaultyServer(script))
        database = await stack.enter_async_context(opened(url))
        store, book = SqlConnectionStore(database, VAULT), SqlFleetBook(database)
        editors = [Editor(store, book, number) for number in range(EDITORS)]
        await store.add(
            SYSTEM,
            [
                Connection(name="desk", base_url=server.base_url, model_name="m"),
                *(Connection(id=e.id, name=e.id, provider="offline", is_active=False)
                  for e in editors),
            ],
        )  # fmt: skip
        options = replace(store_options(url, tmp_path, server), master_keys=(MASTER_KEY,))
        known = await load_known(options, {})
        async with open_stored_router(options, known) as router:
            works = [
                asyncio.create_task(work)
                for work in (talk(router, answers), *(editor.edit() for editor in editors))
            ]
            async with going_on(*works):
                for crash in range(1, CRASHES + 1):
                    for progress in (answers, *(e.acknowledged for e in editors)):
                        await progress.reaches(crash * BETWEEN)
                    await asyncio.to_thread(fragile.control, "crash")
                    before = answers.count
                    await answers.reaches(before + BETWEEN)  # the call goes on meanwhile
                    await asyncio.to_thread(fragile.control, "start")
                for editor in editors:
                    await editor.acknowledged.reaches((CRASHES + 1) * BETWEEN)
        stored = {c.id: c for c in (await store.find(SYSTEM, Query(limit=None))).items}
        for editor in editors:
            # The last change may have been stored and its confirmation lost.
            acknowledged = editor.acknowledged.count
            assert stored[editor.id].priority in {acknowledged, acknowledged + 1}
        numbers = [number for editor in editors for number in editor.numbers]
        assert len({*numbers}) == len(numbers)
        # The last answer may have ended just as the call was hung up.
        assert answers.count <= await won(database) <= answers.count + 1


@pytest.mark.timeout(120)
async def test_a_redis_that_crashes_under_load_refuses_no_request_and_limits_hold_again(
    tmp_path: Path,
) -> None:
    answers = Progress()

    async def ask(client: httpx2.AsyncClient) -> None:
        while True:
            answer = await client.get("/api/me")
            assert answer.status_code == 200, answer.text
            answers.add()

    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(AsyncExitStack())
        port = await redis.enter_async_context(running_redis(tmp_path))
        limits = {"API_RATE_LIMIT": "100000/minute", "TOKEN_RATE_LIMIT": "4/hour"}
        variables = isolated_environ(tmp_path) | limits
        variables |= {"REDIS_URL": f"redis://127.0.0.1:{port}/0"}
        here = await stack.enter_async_context(serving(tmp_path, **variables))
        headers = {"Authorization": f"Bearer {admin_key(tmp_path)}"}
        client = await stack.enter_async_context(
            httpx2.AsyncClient(base_url=here.url, headers=headers, timeout=10)
        )
        works = [asyncio.create_task(ask(client)) for _ in range(8)]
        async with going_on(*works):
            for _ in range(CRASHES):
                await answers.reaches(answers.count + 50)
                await redis.aclose()
                await answers.reaches(answers.count + 50)
                await redis.enter_async_context(running_redis(tmp_path, port=port))
            await answers.reaches(answers.count + 50)
        statuses = [(await client.post("/token")).status_code for _ in range(6)]
        assert statuses == [503] * 4 + [429] * 2  # 503: there is no LiveKit here
