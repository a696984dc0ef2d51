"""A worker's health checks say whether it can answer a call, and why not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from agent.health import health_server
from agent.starts import Starts
from llm_router.errors import ConfigurationError
from llm_router.testing.server import FaultyServer

Answer = tuple[int, str]


@pytest.fixture
def starts(tmp_path: Path) -> Starts:
    return Starts(tmp_path / "starts")


@asynccontextmanager
async def checks(
    starts: Starts, own: str, url: str, *, registered: bool = True
) -> AsyncIterator[httpx2.AsyncClient]:
    """Serves the checks at `url`, over LiveKit's own at `own`; yields a client of them."""
    port = urlsplit(url).port or 0
    own_port = urlsplit(own).port or 0
    served = health_server("127.0.0.1", port, starts, lambda: own_port, lambda: registered)
    async with served, httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        yield client


async def answer(client: httpx2.AsyncClient, path: str) -> Answer:
    response = await client.get(path)
    return response.status_code, response.text


async def test_metrics_are_passed_on_where_there_are_some(starts: Starts, unused_url: str) -> None:
    port = urlsplit(unused_url).port or 0
    async with FaultyServer(pages={"/metrics": "lk_agents_worker_load 0.5"}) as own:
        metrics_port = urlsplit(own.base_url).port
        for given, expected in ((None, 404), (metrics_port, 200), (9, 503)):
            served = health_server(
                "127.0.0.1", port, starts, lambda: 0, lambda: True, metrics_port=given
            )
            async with served, httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
                status, text = await answer(client, "/metrics")
            assert status == expected
            assert ("lk_agents_worker_load 0.5" in text) == (expected == 200)


@pytest.mark.parametrize("path", ["/", "/readyz"])
async def test_a_worker_is_ready_while_its_last_call_process_came_up(
    starts: Starts, unused_url: str, path: str
) -> None:
    async with (
        FaultyServer(pages={"/": "OK"}) as own,
        checks(starts, own.base_url, unused_url) as client,
    ):
        assert await answer(client, path) == (503, "no call process has come up yet")
        starts.succeeded(0)
        assert await answer(client, path) == (200, "OK")
        starts.failed()
        status, reason = await answer(client, path)
        assert (status, "the log says why" in reason) == (503, True)
        assert await answer(client, "/healthz") == (200, "OK")
        starts.succeeded(1)
        assert await answer(client, path) == (200, "OK")


async def test_a_worker_that_livekit_does_not_know_is_not_ready(
    starts: Starts, unused_url: str
) -> None:
    starts.succeeded(0)
    async with (
        FaultyServer(pages={"/": "OK"}) as own,
        checks(starts, own.base_url, unused_url, registered=False) as client,
    ):
        status, reason = await answer(client, "/readyz")
        assert (status, "not registered" in reason) == (503, True)
        assert await answer(client, "/healthz") == (200, "OK")


async def test_a_process_that_began_before_a_failure_does_not_make_the_worker_ready(
    starts: Starts, unused_url: str
) -> None:
    async with (
        FaultyServer(pages={"/": "OK"}) as own,
        checks(starts, own.base_url, unused_url) as client,
    ):
        before, also_before = starts.failures, starts.failures
        starts.succeeded(before)
        starts.failed()
        starts.succeeded(also_before)  # it had read the files that are broken now
        assert (await answer(client, "/"))[0] == 503
        after = starts.failures
        starts.succeeded(after)
        assert await answer(client, "/") == (200, "OK")


async def test_what_livekit_says_against_the_worker_counts_too(
    starts: Starts, unused_url: str
) -> None:
    starts.succeeded(0)
    async with FaultyServer() as own, checks(starts, own.base_url, unused_url) as client:
        assert (await answer(client, "/"))[0] == 404
    async with checks(starts, own.base_url, unused_url) as client:
        assert await answer(client, "/") == (503, "the worker's own health check does not answer")


async def test_livekits_description_of_the_worker_is_passed_on(
    starts: Starts, unused_url: str
) -> None:
    about = {"agent_name": "desk"}
    async with (
        FaultyServer(pages={"/worker": about}) as own,
        checks(starts, own.base_url, unused_url) as client,
    ):
        assert (await client.get("/worker")).json() == about


async def test_a_taken_port_is_named_with_its_variable(starts: Starts) -> None:
    async with FaultyServer() as other:
        with pytest.raises(ConfigurationError, match=r"is taken: .* WORKER_PORT"):
            async with checks(starts, other.base_url, other.base_url):
                pass
