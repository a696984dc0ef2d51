"""Tests /api/healthz and /metrics: what they say, to whom, and what servers can do to them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any

import httpx2
import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from llm_router.clock import SystemClock, checkpoint
from llm_router.connections.access import SYSTEM
from llm_router.connections.record import Connection, Status
from llm_router.connections.store import Check
from llm_router.errors import StoreError
from llm_router.management.overview import sum_up
from llm_router.management.server_pages import ServerPage, ServerPages
from llm_router.management.vetting import AddressRules
from llm_router.options import HealthOptions
from llm_router.sync.queue_metrics import Queue, read_queue
from llm_router.telemetry.prometheus import SelectedSeries
from llm_router.testing import InMemoryConnectionStore
from llm_router.testing.server import FaultyServer
from tests.contracts.databases import Files
from tests.contracts.gateway import STRANGER, Gateway, gateway_on, problem
from tests.contracts.wire import raw_server

LOCAL = ("127.0.0.0/8",)
QUEUE = """\
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0"} 3
"""
PAGES = {"/metrics": QUEUE}
HERE = "http://127.0.0.1:8787"
QUESTION = {"model": "auto", "messages": [{"role": "user", "content": "Hi?"}]}


@pytest.fixture
async def gateway(files: Files) -> AsyncIterator[Gateway]:
    async with gateway_on(await files.new(), allowed_addresses=LOCAL) as gateway:
        yield gateway


async def passed(gateway: Gateway, connection_id: str, outcome: str = "ok") -> None:
    """Records a person's test of the connection, which decides its status."""
    check = Check(at=gateway.services.now(), kind="test", outcome=outcome)
    await gateway.store.record_check(SYSTEM, connection_id, check, HealthOptions())


async def ask(
    gateway: Gateway, path: str, headers: Mapping[str, str] | None = None, url: str = HERE
) -> httpx2.Response:
    """Asks as a program on this machine would."""
    return await gateway.client.get(f"{url}{path}", headers=headers)


def series(answer: httpx2.Response) -> dict[str, list[dict[str, str]]]:
    """Returns the labels of each series by its name."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


# ── Who is told what ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("http://patchbay.test", {}),
        ("http://10.0.0.1:8787", {}),
        (HERE, {"Origin": "https://evil.example"}),
        (HERE, {"Origin": HERE}),
        (HERE, {"X-Forwarded-For": "127.0.0.1"}),
        (HERE, {"Forwarded": "for=127.0.0.1"}),
        (HERE, {"X-Real-IP": "127.0.0.1"}),
        (HERE, {"Via": "1.1 proxy"}),
    ],
)
async def test_a_proxy_and_a_page_are_no_program_on_this_machine(
    gateway: Gateway, url: str, headers: dict[str, str]
) -> None:
    await gateway.connection(model_name="secret-model")
    problem(await ask(gateway, "/metrics", headers, url), 401)
    said = await ask(gateway, "/api/healthz", headers, url)
    assert (said.status_code, said.json()["details"]) == (200, None)
    assert "secret-model" not in said.text


async def test_an_address_elsewhere_needs_a_key(gateway: Gateway) -> None:
    transport = httpx2.ASGITransport(app=gateway.app, client=("203.0.113.7", 9))
    async with httpx2.AsyncClient(transport=transport, base_url=HERE) as client:
        problem(await client.get("/metrics"), 401)
        assert (await client.get("/api/healthz")).json()["details"] is None
        key = {"x-api-key": gateway.keys["viewer"]}
        assert (await client.get("/metrics", headers=key)).status_code == 200
        assert (await client.get("/api/healthz", headers=key)).json()["details"] is not None


async def test_a_wrong_key_is_refused_on_this_machine_as_well(gateway: Gateway) -> None:
    for path in ("/metrics", "/api/healthz"):
        problem(await ask(gateway, path, {"x-api-key": "pb_no"}), 401)


async def test_a_key_learns_of_its_own_connections_alone(gateway: Gateway) -> None:
    async with FaultyServer(pages=PAGES) as server:
        fields = {"base_url": server.base_url, "server": "vllm"}
        made = await gateway.connection(name="secret", model_name="secret-model", **fields)
        await passed(gateway, made["id"])
        hers = {"Authorization": f"Bearer {gateway.keys['editor']}"}
        await gateway.call("editor", "POST", "/v1/chat/completions", QUESTION)
        theirs = {"Authorization": f"Bearer {gateway.keys[STRANGER]}"}
        mine = await ask(gateway, "/metrics", hers)
        assert {labels["connection"] for labels in series(mine)["router_attempts_total"]} == {
            "secret"
        }
        other = await ask(gateway, "/metrics", theirs)
        assert "router_replies_total" in series(other)
        health = await ask(gateway, "/api/healthz", theirs)
    assert "secret" not in other.text
    assert health.json() == {
        "status": "unhealthy", "gpu_available": False, "model_loaded": False,
        "upstream_healthy": False, "queue_size": None, "details": {"models": [], "error": None},
    }  # fmt: skip


# ── Health ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_key_that_no_header_carries_hides_no_other_connection(gateway: Gateway) -> None:
    async with FaultyServer(pages=PAGES) as server:
        await gateway.connection(name="odd", base_url=server.base_url, server="vllm", api_key="ü😀")
        await gateway.connection(name="well", base_url=server.base_url, server="vllm")
        found = series(await ask(gateway, "/metrics"))["vllm:num_requests_waiting"]
        assert [labels["connection"] for labels in found] == ["well"]
        assert (await ask(gateway, "/api/healthz")).json()["queue_size"] == 3


async def test_one_vllm_is_described_as_programs_that_know_one_expect(gateway: Gateway) -> None:
    async with FaultyServer(pages=PAGES) as server:
        made = await gateway.connection(
            base_url=server.base_url, server="vllm", model_name="qwen", api_key="sk-0123456789-wxyz"
        )
        await passed(gateway, made["id"])
        said = (await ask(gateway, "/api/healthz")).json()
        [(path, headers)] = server.other_requests
    assert said == {
        "status": "healthy", "gpu_available": True, "model_loaded": True, "upstream_healthy": True,
        "queue_size": 3, "details": {"models": ["qwen"], "error": None},
    }  # fmt: skip
    assert (path, headers["authorization"]) == ("/metrics", "Bearer sk-0123456789-wxyz")


def page(status: Status, text: str | None = None, **fields: Any) -> ServerPage:
    record = {"name": "desk", "server": "vllm", "base_url": "http://a:8000", "model_name": "m"}
    connection = Connection(**{**record, **fields}, status=status)
    return ServerPage(connection, text, read_queue(text or ""))


@pytest.mark.parametrize(
    ("pages", "status", "is_loaded", "has_gpu", "queue"),
    [
        ([], "unhealthy", False, False, None),
        ([page("active")], "healthy", True, True, None),
        ([page("active", server="ollama")], "healthy", True, False, None),
        ([page("active", model_name="")], "degraded", False, True, None),
        ([page("active"), page("error")], "degraded", True, True, None),
        ([page("error", QUEUE)], "unhealthy", False, False, 3),
        ([page("untested")], "unhealthy", False, False, None),
        ([page("untested", QUEUE)], "healthy", True, True, 3),
        ([page("resting", QUEUE), page("active", QUEUE)], "healthy", True, True, 6),
        ([page("active", "no metrics")], "healthy", True, True, None),
        ([page("active", provider="offline")], "unhealthy", False, False, None),
        ([page("active", server="none such")], "healthy", True, False, None),
    ],
)
def test_several_connections_are_summed_up(
    pages: list[ServerPage], status: str, is_loaded: bool, has_gpu: bool, queue: int | None
) -> None:
    said = sum_up(pages)
    assert (said.status, said.model_loaded) == (status, is_loaded)
    assert (said.gpu_available, said.queue_size) == (has_gpu, queue)


class Down(InMemoryConnectionStore):
    """A store whose database does not answer."""

    async def find(self, *_: Any, **__: Any) -> Any:
        raise StoreError("the database at secret-host is away")


async def test_without_a_database_it_is_unhealthy_and_its_own_series_remain(files: Files) -> None:
    async with gateway_on(await files.new(), Down()) as gateway:
        said = (await ask(gateway, "/api/healthz")).json()
        assert said["status"] == "unhealthy"
        assert said["details"]["error"] == "the database does not answer; read the log"
        assert (await ask(gateway, "/metrics")).status_code == 200


# ── Metrics ──────────────────────────────────────────────────────────────────────────────────────


async def test_the_series_of_the_router_and_of_servers_are_on_one_page(gateway: Gateway) -> None:
    async with FaultyServer(pages=PAGES) as server:
        await gateway.connection(base_url=server.base_url, server="vllm")
        await gateway.call("editor", "POST", "/v1/chat/completions", QUESTION)
        found = series(await ask(gateway, "/metrics"))
    assert found["vllm:num_requests_waiting"] == [{"connection": "desk", "engine": "0"}]
    assert {"connection": "desk", "outcome": "won"} in found["router_attempts_total"]


class Noting(Collector):
    """Has a series of each of two connections; notes in which threads it was read."""

    def __init__(self) -> None:
        self.threads: list[int] = []

    def collect(self) -> Iterable[Metric]:
        self.threads.append(threading.get_ident())
        family = GaugeMetricFamily("load", "", labels=["connection"])
        for name in ("desk", "secret"):
            family.add_metric([name], 1.0)
        yield family


async def test_a_page_of_many_series_holds_up_no_other_request(gateway: Gateway) -> None:
    noting = Noting()
    gateway.services.registry.register(noting)
    noting.threads.clear()
    found = series(await ask(gateway, "/metrics"))
    assert len(found["load"]) == 2
    assert len(noting.threads) == 1
    assert threading.get_ident() not in noting.threads


def test_names_are_gone_through_once_however_many_series_there_are() -> None:
    class Names(list[str]):
        readings = 0

        def __iter__(self) -> Iterator[str]:
            self.readings += 1
            return super().__iter__()

    registry = CollectorRegistry()
    registry.register(Noting())
    names = Names(["desk"])
    [family] = SelectedSeries(registry, names).collect()
    assert [sample.labels["connection"] for sample in family.samples] == ["desk"]
    assert names.readings == 1


@pytest.mark.parametrize("page", [b"x" * (1 << 21), None])
async def test_a_server_that_sends_too_much_or_nothing_costs_its_own_series_alone(
    gateway: Gateway, page: bytes | None
) -> None:
    async with FaultyServer(pages=PAGES) as good, raw_server(page or b"", hold=page is None) as bad:
        await gateway.connection(base_url=good.base_url, server="vllm")
        await gateway.connection(name="bad", base_url=bad, server="vllm")
        found = series(await ask(gateway, "/metrics"))
    assert [labels["connection"] for labels in found["vllm:num_requests_waiting"]] == ["desk"]


async def test_an_address_that_its_owner_may_not_call_is_not_called(files: Files) -> None:
    async with (
        gateway_on(await files.new(), allowed_addresses=LOCAL) as gateway,
        FaultyServer(pages=PAGES) as server,
    ):
        await gateway.connection(base_url=server.base_url, server="vllm")
        closed = ServerPages(gateway.store, AddressRules(()), SystemClock())
        assert [one.text for one in await closed.read()] == [None]
        opened = ServerPages(gateway.store, AddressRules(LOCAL), SystemClock())
        assert [(one.text, one.queue) for one in await opened.read()] == [(QUEUE, Queue(0, 3))]
        assert [path for path, _ in server.other_requests] == ["/metrics"]


async def test_many_who_ask_have_servers_asked_once(gateway: Gateway) -> None:
    async with FaultyServer(pages=PAGES) as server:
        await gateway.connection(base_url=server.base_url, server="vllm")
        reader = ServerPages(gateway.store, gateway.services.addresses, SystemClock())
        first = asyncio.create_task(reader.read())
        others = [asyncio.create_task(reader.read()) for _ in range(20)]
        await checkpoint()
        first.cancel()
        assert {(await each)[0].text for each in others} == {QUEUE}
        assert len(server.other_requests) == 1
