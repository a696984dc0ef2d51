"""Redis hangs, refuses or is slow: tokens and the API answer at once, and limits still hold."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from tests.attacks.relay import LONGEST, Relay, Trouble, hanging, refusing, relay_to
from tests.contracts.api_process import admin_key, isolated_environ, serving
from tests.contracts.redis_server import running_redis


async def slow(relay: Relay) -> None:
    relay.delay = 0.5


TROUBLES = [hanging, refusing, slow]


@asynccontextmanager
async def api_beside(relay: Relay, folder: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """Runs the HTTP process with its counters behind the relay."""
    redis_url = f"redis://127.0.0.1:{relay.port}/0"
    variables = isolated_environ(folder) | {"REDIS_URL": redis_url, "TOKEN_RATE_LIMIT": "4/hour"}
    async with serving(folder, **variables) as here:
        headers = {"Authorization": f"Bearer {admin_key(folder)}"}
        async with httpx2.AsyncClient(
            base_url=here.url, headers=headers, timeout=LONGEST
        ) as client:
            yield client


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_tokens_stay_limited(tmp_path: Path, trouble: Trouble) -> None:
    async with (
        running_redis(tmp_path) as port,
        relay_to(port) as relay,
        api_beside(relay, tmp_path) as client,
    ):
        statuses = [(await client.post("/token")).status_code]
        await trouble(relay)
        statuses += [(await client.post("/token")).status_code for _ in range(5)]
        # 503: there is no LiveKit beside this process.
        assert statuses == [503, 503, 503, 503, 429, 429]


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_the_api_answers_and_asks_redis_about_once_a_second(
    tmp_path: Path, trouble: Trouble
) -> None:
    async with (
        running_redis(tmp_path) as port,
        relay_to(port) as relay,
        api_beside(relay, tmp_path) as client,
    ):
        assert (await client.get("/api/me")).status_code == 200
        await trouble(relay)
        before = relay.connections
        async with asyncio.timeout(10 * LONGEST):
            statuses = [(await client.get("/api/me")).status_code for _ in range(60)]
        assert statuses == [200] * 60
        # Each question that went unanswered cost a connection; a refused one none.
        assert relay.connections - before < 30
        await relay.answer()
        assert (await client.get("/api/me")).status_code == 200
