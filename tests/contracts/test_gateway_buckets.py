"""Tests token buckets: their arithmetic, several processes on one Redis, and Redis in trouble."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from llm_router.gateway.buckets import Bucket, TokenBuckets, take
from llm_router.gateway.errors import Problem
from llm_router.gateway.rates import Counters
from llm_router.testing import ManualClock
from tests.contracts.redis_server import opened_counters, running_redis

FEW = Bucket(size=3, per_minute=6)


async def waits(buckets: TokenBuckets, number: int, client: str = "ann") -> list[int]:
    """Asks so often; returns the seconds after which each may be tried again, 0 if it passed."""
    found = []
    for _ in range(number):
        try:
            await buckets.take(FEW, "pull", client)
        except Problem as problem:
            found.append(int((problem.headers or {})["Retry-After"]))
        else:
            found.append(0)
    return found


def test_a_bucket_gives_its_size_at_once_and_then_its_rate() -> None:
    full_at, found = 0.0, []
    for now in (100.0, 100.0, 100.0, 100.0, 109.0, 110.0, 110.0, 120.0, 160.0, 160.0, 160.0, 160.0):
        full_at, wait = take(FEW, full_at, now)
        found.append(wait)
    assert found == [None, None, None, 10.0, 1.0, None, 10.0, None, None, None, None, 10.0]


def test_users_and_routes_have_buckets_of_their_own() -> None:
    clock = ManualClock()

    async def visits() -> None:
        buckets = TokenBuckets(clock=clock)
        assert await waits(buckets, 4) == [0, 0, 0, 10]
        assert await waits(buckets, 1, "bob") == [0]
        await buckets.take(FEW, "delete", "ann")
        await clock.sleep(10.0)
        assert await waits(buckets, 2) == [0, 10]

    clock.run(visits())


def test_the_clients_that_are_remembered_are_bounded() -> None:
    clock = ManualClock()

    async def visits() -> None:
        buckets = TokenBuckets(clock=clock)
        for number in range(10_500):
            await buckets.take(FEW, "pull", str(number))
        assert len(buckets._full_at) == 10_000
        assert await waits(buckets, 3, "10499") == [0, 0, 10]

    clock.run(visits())


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[tuple[Counters, Counters]]:
    async with running_redis(tmp_path) as port:
        url = f"redis://127.0.0.1:{port}/0"
        async with opened_counters(url) as one, opened_counters(url) as other:
            yield one, other


async def test_several_processes_share_a_bucket(shared: tuple[Counters, Counters]) -> None:
    one, other = map(TokenBuckets, shared)
    assert await waits(one, 2) == [0, 0]
    assert (await waits(other, 2))[0] == 0
    assert (await waits(other, 1))[0] > 0
    assert (await waits(one, 1))[0] > 0
    assert await waits(other, 1, "bob") == [0]


async def test_without_redis_each_process_has_its_own(tmp_path: Path) -> None:
    async with AsyncExitStack() as running, AsyncExitStack() as opened:
        port = await running.enter_async_context(running_redis(tmp_path))
        url = f"redis://127.0.0.1:{port}/0"
        buckets = TokenBuckets(await opened.enter_async_context(opened_counters(url)))
        assert await waits(buckets, 2) == [0, 0]
        await running.aclose()
        assert (await waits(buckets, 2))[0] == 0
        assert (await waits(buckets, 1))[0] > 0
