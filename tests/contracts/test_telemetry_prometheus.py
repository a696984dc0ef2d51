"""PrometheusObserver: its series in one process, and summed over those of a worker."""

import asyncio
import os
import signal
import socket
import sys
from contextlib import aclosing
from pathlib import Path

import httpx2
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from llm_router import open_router
from llm_router.clock import SystemClock
from llm_router.connections.record import Connection
from llm_router.errors import BrokenStreamError, StatusError
from llm_router.options import RouterOptions
from llm_router.routing.events import EndpointState
from llm_router.telemetry.prometheus import PrometheusObserver
from llm_router.testing import HANG, Step, fail, say
from llm_router.testing.script import Fault, Script
from llm_router.testing.server import FaultyServer
from llm_router.types import ChatRequest
from tests.contracts.observed import COUNTED, SPARE, Scene

ALL_ATTEMPTS = RouterOptions().max_attempts
"""Requests to the only connection of a reply that gets no answer."""


def measured(registry: CollectorRegistry) -> dict[str, float]:
    """All that has a value, as `name{label=value}`; buckets apart."""
    return {
        sample.name
        + "".join(f"{{{k}={v}}}" for k, v in sorted(sample.labels.items())): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.value and not sample.name.endswith(("_bucket", "_created"))
    }


def test_prometheus_counts_replies_and_attempts() -> None:
    registry = CollectorRegistry()
    observer = PrometheusObserver(registry)
    Scene(COUNTED).ask(observer, turns=2)
    Scene([HANG], SPARE).ask(observer)
    Scene([*say("One, two", finish=None), Step(error=BrokenStreamError("x"))], SPARE).ask(observer)
    Scene(fail(StatusError(503))).ask(observer)
    Scene(COUNTED).ask(observer, stop_after=1)
    seen = measured(registry)
    assert seen["router_replies_total{outcome=answered}"] == 4
    assert seen["router_replies_total{outcome=last resort}"] == 1
    assert seen["router_replies_total{outcome=cancelled}"] == 1
    assert seen["router_attempts_total{connection=a}{outcome=won}"] == 2
    assert seen["router_attempts_total{connection=a}{outcome=overloaded}"] == ALL_ATTEMPTS
    assert seen["router_attempts_total{connection=a}{outcome=broken stream}"] == 1
    assert seen["router_hedges_total{won=true}"] == 1
    assert seen["router_resumes_total"] == 1
    assert seen["router_last_resorts_total"] == 1
    assert seen["router_first_word_seconds_count{connection=a}"] == 3
    assert seen["router_first_word_seconds_count{connection=b}"] == 2
    assert seen["router_first_word_seconds_sum{connection=a}"] == pytest.approx(0.45, abs=1e-5)
    assert seen["router_first_clause_seconds_count{connection=a}"] == 2
    assert seen["router_prediction_error_seconds_count{connection=a}"] == 1
    assert seen["router_tokens_total{connection=a}{kind=completion}"] == 24
    assert "router_wasted_characters_total" not in seen


def test_prometheus_counts_words_that_were_not_given_out() -> None:
    registry = CollectorRegistry()
    breaks = [*say("One, two,", finish=None), Step(error=BrokenStreamError("x"))]
    recorder = Scene(breaks, say("One, two, three, four.", first=0.2)).ask(
        PrometheusObserver(registry)
    )
    assert recorder.replies[0].characters == len("One, two, three, four.")
    seen = measured(registry)
    assert seen["router_wasted_characters_total"] == recorder.replies[0].wasted >= len("One, two,")
    assert seen["router_given_characters_total"] == recorder.replies[0].characters


async def test_prometheus_has_breakers_and_attempts_in_flight_while_a_router_is_open() -> None:
    registry = CollectorRegistry()
    observer = PrometheusObserver(registry)
    observer.endpoints_sampled([EndpointState(connection="x", breaker="half-open", in_flight=3)])
    assert measured(registry) == {
        "router_breaker_open{connection=x}": 0.5,
        "router_in_flight{connection=x}": 3,
    }
    async with FaultyServer(Script(fault=Fault.HANG_BEFORE_HEADERS)) as server:
        connection = Connection(name="y", base_url=server.base_url, model_name=server.model)
        async with (
            open_router([connection], observers=[observer]) as router,
            aclosing(router.stream(ChatRequest(messages=[]))) as reply,
        ):
            asked = asyncio.ensure_future(anext(aiter(reply)))
            while "router_in_flight{connection=y}" not in measured(registry):
                await router.clock.sleep(0.05)
            asked.cancel()
            await asyncio.wait([asked])
        assert "router_in_flight{connection=y}" not in measured(registry)


def test_two_observers_may_have_separate_registries() -> None:
    one, other = CollectorRegistry(), CollectorRegistry()
    Scene(COUNTED).ask(PrometheusObserver(one))
    PrometheusObserver(other)
    assert measured(one)
    assert not measured(other)


async def test_a_workers_processes_are_counted_together_at_its_metrics_port(
    tmp_path: Path,
) -> None:
    """LiveKit's real worker: two idle processes, each of which has counted one reply."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = Path(__file__).with_name("metered_worker.py")
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, str(script), str(tmp_path / "metrics"), str(port)),
        env={**os.environ, "PYTHONPATH": str(script.parents[2])},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        # A process writes one figure after another: only all of them together are a whole count.
        counted = (
            'router_replies_total{outcome="answered"} 2.0',
            'router_first_word_seconds_count{connection="a"} 2.0',
            'router_in_flight{connection="a"} 4.0',
            'router_breaker_open{connection="a"} 1.0',
            "lk_agents_proc_initialize_duration_seconds_count",  # the worker's own, too
        )
        page = ""
        async with asyncio.timeout(60), httpx2.AsyncClient() as client:
            while not all(line in page for line in counted):
                await SystemClock().sleep(0.1)
                page = await _page(client, f"http://127.0.0.1:{port}/metrics")
    finally:
        worker.send_signal(signal.SIGKILL)
        await worker.wait()


async def _page(client: httpx2.AsyncClient, url: str) -> str:
    try:
        return (await client.get(url)).text
    except httpx2.TransportError:
        return ""  # not yet there


SLOT = """
import os, sys
from pathlib import Path
from prometheus_client import Counter
from agent.telemetry import share_metrics
share_metrics(Path(sys.argv[1]))
Counter("seen", "Processes").inc()
print("ready", flush=True)
sys.stdin.readline()
os.kill(os.getpid(), 9)
"""


async def test_processes_that_come_and_go_share_a_few_files_and_lose_no_count(
    tmp_path: Path,
) -> None:
    async def start() -> asyncio.subprocess.Process:
        started = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SLOT, str(tmp_path)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert started.stdout is not None
        assert await started.stdout.readline() == b"ready\n"
        return started

    for _ in range(2):
        pair = await asyncio.gather(start(), start())
        for process in pair:
            await process.communicate(b"end\n")
            assert process.returncode == -signal.SIGKILL
    assert sorted(_names(tmp_path)) == ["counter_0.db", "counter_1.db", "slots"]
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(tmp_path))  # type: ignore[no-untyped-call]  # theirs
    assert registry.get_sample_value("seen_total") == 4


def _names(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]
