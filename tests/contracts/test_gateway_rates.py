"""Tests rate limits that several HTTP processes count together, in a real Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from limits.aio.storage import MemoryStorage
from redis.exceptions import ConnectionError as LostError

from llm_router.errors import ConfigurationError
from llm_router.gateway.errors import Problem
from llm_router.gateway.rates import Counters, RateLimit, open_counters
from llm_router.testing import ManualClock
from tests.contracts.redis_server import opened_counters, running_redis


@pytest.fixture
async def redis_url(tmp_path: Path) -> AsyncIterator[str]:
    async with running_redis(tmp_path) as port:
        yield f"redis://127.0.0.1:{port}/0"


async def test_several_processes_count_together(redis_url: str) -> None:
    async with opened_counters(redis_url) as one, opened_counters(redis_url) as other:
        first, second = (RateLimit("3/hour", counters) for counters in (one, other))
        await first.hit("a caller")
        await second.hit("a caller")
        await first.hit("a caller")
        with pytest.raises(Problem) as caught:
            await second.hit("a caller")
        assert caught.value.status == 429
        await second.hit("another")


async def test_limits_of_different_names_do_not_add_up(redis_url: str) -> None:
    async with opened_counters(redis_url) as counters:
        for name in ("tokens", "sign-ins"):
            await RateLimit("1/hour", counters, name=name).hit("a caller")


def test_an_address_of_no_redis_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigurationError, match="REDIS_URL") as caught:
        open_counters("redis://:secret@127.0.0.1:none/0")
    assert "secret" not in str(caught.value)


# ── Redis in trouble ─────────────────────────────────────────────────────────────────────────────


class Troubled(MemoryStorage):
    """Counters of all processes that answer, refuse or hang as a test says."""

    STORAGE_SCHEME = []  # noqa: RUF012  as the base class declares it

    def __init__(self) -> None:
        super().__init__()
        self.trouble: Callable[[], Any] | None = None
        self.requests = 0

    @property
    def base_exceptions(self) -> type[Exception]:
        return LostError

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        self.requests += 1
        if self.trouble:
            await self.trouble()
        return await super().incr(key, expiry, amount)


async def refuse() -> None:
    raise LostError("connection refused")


async def hang() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("trouble", [refuse, hang])
def test_without_redis_this_process_enforces_the_limit(trouble: Callable[[], Any]) -> None:
    clock = ManualClock()
    shared = Troubled()
    shared.wrap_exceptions = True

    async def visits() -> list[int]:
        limit = RateLimit("5/day", Counters(shared, clock))
        await limit.hit("a caller")
        shared.trouble = trouble
        statuses = []
        for _ in range(6):
            try:
                await limit.hit("a caller")
            except Problem as problem:
                statuses.append(problem.status)
            else:
                statuses.append(200)
        return statuses

    assert clock.run(visits()) == [200, 200, 200, 200, 429, 429]


@pytest.mark.parametrize("trouble", [refuse, hang])
def test_one_request_a_second_waits_for_a_redis_in_trouble(trouble: Callable[[], Any]) -> None:
    clock = ManualClock()
    shared = Troubled()
    shared.wrap_exceptions = True
    shared.trouble = trouble

    async def visits() -> float:
        limit = RateLimit("1000/day", Counters(shared, clock))
        started = clock.now()
        for _ in range(4):
            await asyncio.gather(*(limit.hit("a caller") for _ in range(50)))
            await clock.sleep(0.5)
        return clock.now() - started

    took = clock.run(visits())
    # Fifty wait for the silent one together; from then on one a second finds out.
    assert shared.requests == (51 if trouble is hang else 2)
    assert took == pytest.approx(2.0 + (0.2 if trouble is hang else 0.0))


def test_redis_counts_again_once_it_answers() -> None:
    clock = ManualClock()
    shared = Troubled()
    shared.wrap_exceptions = True
    shared.trouble = refuse

    async def visits() -> None:
        limit = RateLimit("1000/day", Counters(shared, clock))
        await limit.hit("a caller")
        shared.trouble = None
        await clock.sleep(1.0)
        for _ in range(10):
            await limit.hit("a caller")

    clock.run(visits())
    assert shared.requests == 11
