"""EndpointSet: what endpoints inherit when a connection changes, and when providers are closed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from llm_router.clock import SystemClock, checkpoint
from llm_router.connections.record import Connection
from llm_router.errors import RouterError
from llm_router.failures import Failure, FailureClass
from llm_router.options import BreakerOptions
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.policies.priority import Priority
from llm_router.routing.pool import Pool
from llm_router.sync.endpoints import EndpointSet
from llm_router.sync.names import disambiguate
from llm_router.types import ChatRequest

A = Connection(
    id="1", name="a", base_url="http://127.0.0.1:1/v1", model_name="m", api_key="sk-0123456789-old"
)
B = replace(A, id="2", name="b")
REJECTED = Failure(FailureClass.REJECTED_KEY, "HTTP 401")
HELLO = ChatRequest(messages=[{"role": "user", "content": "hello"}])


class Fixture:
    def __init__(self) -> None:
        self.pool = Pool([], Priority(), 0.8)
        self.endpoints = EndpointSet(self.pool, SystemClock(), BreakerOptions())

    async def set(self, *connections: Connection) -> list[Endpoint]:
        by_id = {connection.id: connection for connection in connections}
        assert await self.endpoints.set_connections(by_id) == {}
        return list(self.pool.endpoints)


@pytest.fixture
async def fixture() -> AsyncIterator[Fixture]:
    fixture = Fixture()
    yield fixture
    await fixture.endpoints.aclose()


def state(endpoint: Endpoint) -> tuple[bool, bool]:
    """Returns whether its latency is measured, and whether its breaker is open."""
    is_measured = endpoint.latency.first_word(0).quantile(0.5) is not None
    return is_measured, endpoint.breaker.state(SystemClock().now()) == "open"


def used(endpoint: Endpoint) -> Endpoint:
    now = SystemClock().now()
    endpoint.latency.record_first_word(0, 0.3, now)
    endpoint.breaker.failed(REJECTED, now, endpoint.breaker.generation)
    endpoint.limits.request_started(1, now)
    assert state(endpoint) == (True, True)
    return endpoint


@pytest.mark.parametrize(
    "change",
    [
        {"priority": 7},
        {"name": "renamed"},
        {"weight": 0.0},
        {"tags": ("t",)},
        {"price_in": 2.0},
        {"max_retries": 0},
    ],
)
async def test_an_endpoint_stays_when_nothing_changes_that_its_provider_sees(
    fixture: Fixture, change: dict[str, Any]
) -> None:
    [before] = await fixture.set(A)
    used(before)
    [after] = await fixture.set(replace(A, **change))
    assert after is before
    assert after.connection == replace(A, **change)
    assert state(after) == (True, True)
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
async def test_a_new_endpoint_inherits_what_is_still_true(
    fixture: Fixture, change: dict[str, Any], keeps: tuple[bool, bool]
) -> None:
    [before] = await fixture.set(replace(A, rate_limit_rpm=1))
    used(before)
    [after] = await fixture.set(replace(A, rate_limit_rpm=1, **change))
    assert after is not before
    assert state(after) == keeps
    assert after.limits.reached(SystemClock().now()), "usage is not forgotten"


async def test_a_raised_limit_takes_effect_at_once(fixture: Fixture) -> None:
    [one] = await fixture.set(replace(A, rate_limit_rpm=1))
    one.limits.request_started(1, SystemClock().now())
    assert fixture.pool.plan(HELLO, SystemClock().now()).ready == []
    await fixture.set(replace(A, rate_limit_rpm=2))
    assert fixture.pool.plan(HELLO, SystemClock().now()).ready == [one]


async def closed(endpoint: Endpoint) -> bool:
    """Returns whether its provider is closed: it no longer reports an unreachable address."""
    try:
        await endpoint.provider.probe()
    except RouterError:
        return False
    except RuntimeError:
        return True
    raise AssertionError("no server listens there")


async def test_a_removed_endpoint_is_closed_after_its_last_attempt(fixture: Fixture) -> None:
    one, other = await fixture.set(A, B)
    one.in_flight += 2
    assert await fixture.set(B) == [other]
    assert not one.may_start(SystemClock().now())
    one.in_flight -= 1
    await checkpoint()
    assert not await closed(one)
    one.in_flight -= 1
    await asyncio.wait([task for task in asyncio.all_tasks() if task.get_name() == "closing a"])
    assert await closed(one)
    assert not await closed(other)


async def test_closing_the_set_waits_for_no_attempt(fixture: Fixture) -> None:
    one, other = await fixture.set(A, B)
    one.in_flight += 1
    await fixture.set(B)
    await fixture.endpoints.aclose()
    assert await closed(one)
    assert await closed(other)


async def test_a_connection_without_a_provider_is_left_out(fixture: Fixture) -> None:
    refused = await fixture.endpoints.set_connections(
        {"1": replace(A, provider="telepathy"), "2": B}
    )
    assert [endpoint.name for endpoint in fixture.pool.endpoints] == ["b"]
    assert "telepathy" in str(refused["1"])


MANY = [replace(A, id=f"{number}", name=f"{number}") for number in range(1_000)]


async def test_many_endpoints_are_made_beside_other_work_and_put_in_place_at_once(
    fixture: Fixture,
) -> None:
    seen: list[int] = []

    async def watch() -> None:
        while True:
            seen.append(len(fixture.pool.endpoints))
            await checkpoint()

    watching = asyncio.create_task(watch())
    await fixture.set(*MANY)
    watching.cancel()
    assert len(seen) >= 5
    assert {*seen} == {0}
    assert len(fixture.pool.endpoints) == len(MANY)


async def test_a_change_that_is_cancelled_changes_nothing(fixture: Fixture) -> None:
    [one] = await fixture.set(A)
    setting = asyncio.create_task(fixture.set(replace(A, priority=5), *MANY[2:]))
    await checkpoint()
    setting.cancel()
    await asyncio.wait([setting])
    assert setting.cancelled()
    assert list(fixture.pool.endpoints) == [one]
    assert one.connection.priority == A.priority


def test_names_that_several_owners_have_given_are_made_distinct() -> None:
    named = [
        Connection(id="1", name="a", owner="anna"),
        Connection(id="2", name="a", owner="ben"),
        Connection(id="3", name="a"),
        Connection(id="4", name="a (ben)", owner="cleo"),
        Connection(id="5", name="b", owner="ben"),
        Connection(id="6", name="n" * 200, owner="anna" * 50),
        Connection(id="7", name="n" * 200, owner="ben" * 50),
    ]
    renamed = disambiguate(named)
    names = [connection.name for connection in renamed]
    assert names[:5] == ["a (anna)", "a (2)", "a (no owner)", "a (ben)", "b"]
    assert len(set(names)) == len(names)
    assert [connection.id for connection in renamed] == [connection.id for connection in named]
