"""What an endpoint keeps when its connection changes, and when its provider is closed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from llm_router.clock import SystemClock
from llm_router.connections.record import Connection
from llm_router.errors import RouterError
from llm_router.failures import Failure, FailureClass
from llm_router.options import BreakerOptions
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.policies.priority import Priority
from llm_router.routing.pool import Pool
from llm_router.sync.connections import EndpointSet, told_apart
from llm_router.types import ChatRequest

A = Connection(
    id="1", name="a", base_url="http://127.0.0.1:1/v1", model_name="m", api_key="sk-0123456789-old"
)
B = replace(A, id="2", name="b")
REJECTED = Failure(FailureClass.REJECTED_KEY, "HTTP 401")
HELLO = ChatRequest(messages=[{"role": "user", "content": "hello"}])


class Kept:
    def __init__(self) -> None:
        self.pool = Pool([], Priority(), 0.8)
        self.live = EndpointSet(self.pool, SystemClock(), BreakerOptions())


@pytest.fixture
async def kept() -> AsyncIterator[Kept]:
    kept = Kept()
    yield kept
    await kept.live.aclose()


def put(kept: Kept, *connections: Connection) -> list[Endpoint]:
    assert kept.live.put({connection.id: connection for connection in connections}) == {}
    return list(kept.pool.endpoints)


def known(endpoint: Endpoint) -> tuple[bool, bool]:
    """Whether it remembers its times, and that it rests."""
    is_measured = endpoint.latency.first_word(0).quantile(0.5) is not None
    return is_measured, endpoint.breaker.state(SystemClock().now()) == "open"


def used(endpoint: Endpoint) -> Endpoint:
    now = SystemClock().now()
    endpoint.latency.record_first_word(0, 0.3, now)
    endpoint.breaker.failed(REJECTED, now, endpoint.breaker.generation)
    endpoint.limits.request_started(1, now)
    assert known(endpoint) == (True, True)
    return endpoint


@pytest.mark.parametrize(
    "change",
    [{"priority": 7}, {"name": "renamed"}, {"weight": 0.0}, {"tags": ("t",)}, {"price_in": 2.0}],
)
async def test_one_that_is_asked_in_the_same_way_goes_on_as_it_is(
    kept: Kept, change: dict[str, Any]
) -> None:
    [before] = put(kept, A)
    used(before)
    [after] = put(kept, replace(A, **change))
    assert after is before
    assert after.connection == replace(A, **change)
    assert known(after) == (True, True)
    assert after.price is None or after.price.input == 2.0


@pytest.mark.parametrize(
    ("change", "keeps"),
    [
        ({"api_key": "sk-0123456789-new"}, (True, False)),
        ({"headers": {"x-team": "red"}}, (True, False)),
        ({"base_url": "http://127.0.0.1:1/other"}, (True, False)),
        ({"base_url": "http://127.0.0.1:2/v1"}, (False, False)),
        ({"model_name": "other"}, (False, False)),
        ({"temperature": 0.1}, (True, True)),
        ({"timeout": 5.0}, (True, True)),
    ],
)
async def test_one_that_is_asked_differently_keeps_what_is_still_true(
    kept: Kept, change: dict[str, Any], keeps: tuple[bool, bool]
) -> None:
    [before] = put(kept, replace(A, rate_limit_rpm=1))
    used(before)
    [after] = put(kept, replace(A, rate_limit_rpm=1, **change))
    assert after is not before
    assert known(after) == keeps
    assert after.limits.reached(SystemClock().now()), "what was used was used"


async def test_a_limit_that_is_raised_lets_go_at_once(kept: Kept) -> None:
    [one] = put(kept, replace(A, rate_limit_rpm=1))
    one.limits.request_started(1, SystemClock().now())
    assert kept.pool.plan(HELLO, SystemClock().now()).ready == []
    put(kept, replace(A, rate_limit_rpm=2))
    assert kept.pool.plan(HELLO, SystemClock().now()).ready == [one]


async def closed(endpoint: Endpoint) -> bool:
    """Whether its provider answers nothing more, not even that nobody listens at its address."""
    try:
        await endpoint.provider.probe()
    except RouterError:
        return False
    except RuntimeError:
        return True
    raise AssertionError("nobody listens there")


async def test_a_removed_one_is_closed_after_its_last_attempt(kept: Kept) -> None:
    one, other = put(kept, A, B)
    one.in_flight += 2
    assert put(kept, B) == [other]
    assert not one.may_start(SystemClock().now())
    one.in_flight -= 1
    await asyncio.sleep(0)
    assert not await closed(one)
    one.in_flight -= 1
    await asyncio.wait([task for task in asyncio.all_tasks() if task.get_name() == "leaving a"])
    assert await closed(one)
    assert not await closed(other)


async def test_the_end_waits_for_no_attempt(kept: Kept) -> None:
    one, other = put(kept, A, B)
    one.in_flight += 1
    put(kept, B)
    await kept.live.aclose()
    assert await closed(one)
    assert await closed(other)


async def test_one_whom_no_provider_serves_is_left_out(kept: Kept) -> None:
    refused = kept.live.put({"1": replace(A, provider="telepathy"), "2": B})
    assert [endpoint.name for endpoint in kept.pool.endpoints] == ["b"]
    assert "telepathy" in str(refused["1"])


def test_names_that_several_have_given_are_told_apart() -> None:
    named = [
        Connection(id="1", name="a", owner="anna"),
        Connection(id="2", name="a", owner="ben"),
        Connection(id="3", name="a"),
        Connection(id="4", name="a (ben)", owner="cleo"),
        Connection(id="5", name="b", owner="ben"),
        Connection(id="6", name="n" * 200, owner="anna" * 50),
        Connection(id="7", name="n" * 200, owner="ben" * 50),
    ]
    apart = told_apart(named)
    names = [connection.name for connection in apart]
    assert names[:5] == ["a (anna)", "a (2)", "a (of nobody)", "a (ben)", "b"]
    assert len(set(names)) == len(names)
    assert [connection.id for connection in apart] == [connection.id for connection in named]
