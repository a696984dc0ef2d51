"""Starts a real Redis server for a test."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from limits.aio.storage import RedisStorage
from limits.aio.storage.redis.redispy import RedispyBridge
from redis.asyncio import Redis

from llm_router.gateway.rates import Counters, open_counters

_READY = b"Ready to accept connections"


@asynccontextmanager
async def running_redis(folder: Path, port: int = 0) -> AsyncIterator[int]:
    """Runs Redis during the block and yields its port on loopback, by default any."""
    program = shutil.which("redis-server")
    assert program, "install Debian's redis-server"
    if not port:
        with socket.create_server(("127.0.0.1", 0)) as held:
            port = held.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)),
        *("--save", ""),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout
        while _READY not in (line := await process.stdout.readline()):
            assert line, "Redis ended before it was ready"
        yield port
    finally:
        process.terminate()
        await process.communicate()


@asynccontextmanager
async def opened_counters(url: str) -> AsyncIterator[Counters]:
    """Opens counters in Redis, and closes their client at the end of the block."""
    counters = open_counters(url)
    try:
        yield counters
    finally:
        storage = counters.shared
        assert isinstance(storage, RedisStorage)
        assert isinstance(storage.bridge, RedispyBridge)
        client = storage.bridge.get_connection()
        assert isinstance(client, Redis)
        await client.aclose()
