"""The database hangs, refuses or is slow: calls go on, and no request waits longer than 5 s."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import text

from llm_router.errors import StoreError
from llm_router.routing.router import Router
from llm_router.store.database import Database
from llm_router.stored_router import KnownConnections, StoreOptions, load_known, open_stored_router
from llm_router.testing.server import FaultyServer, Script
from llm_router.types import ChatRequest
from tests.attacks.frozen import frozen
from tests.attacks.relay import LONGEST, TROUBLES, Relay, Trouble, hanging, relay_to, slow
from tests.contracts.api_process import Serving, admin_key, isolated_environ, serving
from tests.contracts.databases import Postgres, opened, running_postgres
from tests.contracts.stores import store_options

HELLO = ChatRequest(messages=[{"role": "user", "content": "hello"}], integration="livekit")


@asynccontextmanager
async def relayed(postgres: Postgres) -> AsyncIterator[tuple[Relay, str]]:
    """Makes a database; yields a relay to it, and its URL through the relay."""
    url = await postgres.new()
    async with relay_to(postgres.port) as relay:
        yield relay, url.replace(f":{postgres.port}/", f":{relay.port}/")


@asynccontextmanager
async def api_on(url: str, folder: Path) -> AsyncIterator[tuple[httpx2.AsyncClient, Serving]]:
    async with serving(folder, **isolated_environ(folder), DATABASE_URL=url) as here:
        headers = {"Authorization": f"Bearer {admin_key(folder)}"}
        async with httpx2.AsyncClient(
            base_url=here.url, headers=headers, timeout=LONGEST
        ) as client:
            yield client, here


async def answers_again(client: httpx2.AsyncClient) -> None:
    async with asyncio.timeout(30):
        while (await client.get("/api/me")).status_code != 200:
            pass


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_the_api_answers_within_5_s_and_works_again_afterwards(
    postgres: Postgres, tmp_path: Path, trouble: Trouble
) -> None:
    async with relayed(postgres) as (relay, url), api_on(url, tmp_path) as (client, _):
        assert (await client.get("/api/me")).status_code == 200
        await trouble(relay)
        # More than it has connections. The key itself is known for a second, and asked again later.
        paths = ["/api/connections", "/api/keys", "/api/audit"] * 8
        # A request that waits longer than `LONGEST` raises here.
        statuses = {answer.status_code for answer in await asyncio.gather(*map(client.get, paths))}
        assert statuses == ({200} if trouble is slow else {503})
        refused = await client.get("/api/connections")
        if trouble is not slow:
            assert refused.json()["type"] == "/problems/database-unavailable"
            assert refused.headers["Retry-After"] == "2"
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.post("/token")).json()["type"] == "/problems/voice-server-unavailable"
        await relay.answer()
        await answers_again(client)


@pytest.fixture(scope="module")
def own_server() -> Iterator[Postgres]:
    with running_postgres("fsync=off") as server:
        yield server


async def test_a_frozen_server_holds_no_request_longer_than_5_s(
    own_server: Postgres, tmp_path: Path
) -> None:
    async with api_on(await own_server.new(), tmp_path) as (client, _):
        assert (await client.get("/api/me")).status_code == 200
        with frozen(f"port={own_server.port}"):
            answers = await asyncio.gather(*(client.get("/api/keys") for _ in range(20)))
        assert {answer.status_code for answer in answers} == {503}
        await answers_again(client)


async def test_a_process_beside_a_hanging_server_stops_in_time(
    postgres: Postgres, tmp_path: Path
) -> None:
    async with relayed(postgres) as (relay, url), api_on(url, tmp_path) as (client, here):
        assert (await client.get("/api/me")).status_code == 200
        relay.hang()
        here.running.terminate()
        async with asyncio.timeout(2 * LONGEST):
            assert await here.running.wait() == 0


async def test_a_statement_that_takes_too_long_is_ended_on_the_server(postgres: Postgres) -> None:
    database = Database(await postgres.new(), answer_within=0.5)
    try:
        with pytest.raises(StoreError, match="no answer; check that it runs"):
            async with database.reading() as db:
                await db.execute(text("SELECT pg_sleep(600)"))
        async with database.reading() as db:
            sleeping = "state = 'active' AND query LIKE '%pg_sleep(600)'"
            running = text(f"SELECT count(*) FROM pg_stat_activity WHERE {sleeping}")
            assert (await db.execute(running)).scalar_one() == 0
    finally:
        await database.aclose()


async def test_a_file_that_another_program_locks_holds_no_request_longer_than_5_s(
    tmp_path: Path,
) -> None:
    path = tmp_path / "store.sqlite3"
    row = {"name": "a", "provider": "offline"}
    async with api_on(f"sqlite:///{path}", tmp_path) as (client, _):
        lock = sqlite3.connect(path, isolation_level=None)
        try:
            lock.execute("BEGIN IMMEDIATE")
            waiting = [client.post("/api/connections", json=row) for _ in range(5)]
            assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {503}
            assert (await client.get("/api/me")).status_code == 200
        finally:
            lock.close()
        assert (await client.post("/api/connections", json=row)).status_code == 201


# ── Calls ────────────────────────────────────────────────────────────────────────────────────────


async def answer(router: Router) -> str:
    async with aclosing(router.stream(HELLO)) as reply:
        return "".join([chunk.text async for chunk in reply])


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_a_call_goes_on(postgres: Postgres, tmp_path: Path, trouble: Trouble) -> None:
    async with relayed(postgres) as (relay, url), FaultyServer(Script(words=["open"])) as server:
        options = store_options(url, tmp_path, server)
        async with (
            asyncio.timeout(60),
            open_stored_router(options, await load_known(options, {})) as router,
        ):
            assert await answer(router) == "open"
            await trouble(relay)
            async with asyncio.timeout(LONGEST):
                assert [await answer(router) for _ in range(20)] == ["open"] * 20


@asynccontextmanager
async def open_call(options: StoreOptions, known: KnownConnections) -> AsyncIterator[Router]:
    """Opens the router of a call, which must be there and have answered within `LONGEST`."""
    async with asyncio.timeout(LONGEST) as limit, open_stored_router(options, known) as router:
        yield router
        limit.reschedule(None)  # its end may wait for the database, to write usage


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_a_call_begins(postgres: Postgres, tmp_path: Path, trouble: Trouble) -> None:
    async with relayed(postgres) as (relay, url), FaultyServer(Script(words=["open"])) as server:
        options = store_options(url, tmp_path, server)
        known = await load_known(options, {})
        await trouble(relay)
        async with open_call(options, known) as router:
            assert await answer(router) == "open"


async def test_a_call_process_comes_up(postgres: Postgres, tmp_path: Path) -> None:
    async with relayed(postgres) as (relay, url), FaultyServer(Script(words=["open"])) as server:
        await hanging(relay)
        async with asyncio.timeout(2 * LONGEST):
            known = await load_known(store_options(url, tmp_path, server), {})
        assert [c.name for c in known.selected.connections] == ["named"]
        async with opened(url) as database:
            with pytest.raises(StoreError):
                async with database.reading():
                    pass
