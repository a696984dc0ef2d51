"""Tests rate limits that several HTTP processes count together, in a real Redis."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from limits.aio.storage import RedisStorage
from limits.aio.storage.redis.redispy import RedispyBridge
from redis.asyncio import Redis

from llm_router.errors import ConfigurationError
from llm_router.gateway.errors import Problem
from llm_router.gateway.rates import RateLimit, open_counters

READY = b"Ready to accept connections"


@pytest.fixture
async def redis_url(tmp_path: Path) -> AsyncIterator[str]:
    program = shutil.which("redis-server")
    assert program, "install Debian's redis-server"
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path)),
        *("--save", ""),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    while READY not in (line := await process.stdout.readline()):
        assert line, "Redis ended before it was ready"
    yield f"redis://127.0.0.1:{port}/0"
    process.terminate()
    await process.communicate()


async def close(counters: object) -> None:
    assert isinstance(counters, RedisStorage)
    assert isinstance(counters.bridge, RedispyBridge)
    client = counters.bridge.get_connection()
    assert isinstance(client, Redis)
    await client.aclose()


async def test_several_processes_count_together(redis_url: str) -> None:
    counters = [open_counters(redis_url) for _ in range(2)]
    first, second = (RateLimit("3/hour", one) for one in counters)
    await first.hit("a caller")
    await second.hit("a caller")
    await first.hit("a caller")
    with pytest.raises(Problem) as caught:
        await second.hit("a caller")
    assert caught.value.status == 429
    await second.hit("another")
    for one in counters:
        await close(one)


async def test_without_redis_requests_are_not_limited() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    counters = open_counters(f"redis://127.0.0.1:{port}/0")
    limit = RateLimit("1/hour", counters)
    await limit.hit("a caller")
    await limit.hit("a caller")
    await close(counters)


def test_an_address_of_no_redis_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigurationError, match="REDIS_URL") as caught:
        open_counters("redis://:secret@127.0.0.1:none/0")
    assert "secret" not in str(caught.value)
