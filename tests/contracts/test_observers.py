"""What observers are told of whole replies; what Prometheus and OpenTelemetry make of it."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from llm_router import open_router
from llm_router.clock import SystemClock
from llm_router.connections import Connection
from llm_router.endpoint import Endpoint
from llm_router.errors import BrokenStreamError, StatusError
from llm_router.observe import AttemptEvent, EndpointState, Observer, ReplyEvent
from llm_router.observe.opentelemetry import OpenTelemetryObserver
from llm_router.observe.prometheus import PrometheusObserver
from llm_router.options import RouterOptions
from llm_router.policies.priority import Priority
from llm_router.pool import Pool
from llm_router.router import Router
from llm_router.testing import HANG, ManualClock, ScriptedProvider, Step, fail, say
from llm_router.testing.script import Fault, Script
from llm_router.testing.server import FaultyServer
from llm_router.types import ChatRequest, Chunk, Usage

QUESTION = "a-word-only-the-caller-said"
ANSWER = "We open at nine in the morning, and we close at six."
COUNTED = [
    *say(ANSWER, finish=None),
    Step(0.0, Chunk(finish_reason="stop")),
    Step(0.0, Chunk(usage=Usage(7, 12, 3))),
]
SPARE = say(ANSWER, first=0.2)


class Told:
    def __init__(self) -> None:
        self.attempts: list[AttemptEvent] = []
        self.replies: list[ReplyEvent] = []

    def attempt_ended(self, event: AttemptEvent) -> None:
        self.attempts.append(event)

    def reply_ended(self, event: ReplyEvent) -> None:
        self.replies.append(event)


class Scene:
    """Connections `a`, `b`… that play their scripts while observers look on."""

    def __init__(self, *scripts: Sequence[Step]) -> None:
        self.clock = ManualClock(now=100.0)
        self.endpoints = [
            Endpoint(
                Connection(
                    name=chr(97 + i),
                    base_url=f"http://user:secret@host-{i}:800{i}/v1",
                    model_name=f"model-{i}",
                    priority=i,
                ),
                ScriptedProvider([script], clock=self.clock),
            )
            for i, script in enumerate(scripts)
        ]

    def ask(
        self,
        *observers: Observer,
        turns: int = 1,
        stop_after: int | None = None,
        speech: bool = True,
    ) -> Told:
        told = Told()

        async def main() -> None:
            options = RouterOptions(hedge_budget=1.0)
            pool = Pool(self.endpoints, Priority(), options.target)
            router = Router(pool, options, clock=self.clock, observers=[told, *observers])
            for _ in range(turns):
                await self._listen(router, stop_after, speech=speech)
                await self.clock.sleep(1.0)
            await router.aclose()

        self.clock.run(main())
        return told

    @staticmethod
    async def _listen(router: Router, stop_after: int | None, *, speech: bool) -> None:
        request = ChatRequest(
            messages=[{"role": "user", "content": QUESTION}], speech=speech, session_id="call-1"
        )
        heard = 0
        async with aclosing(router.stream(request)) as reply:
            async for _ in reply:
                heard += 1
                if heard == stop_after:
                    return


# ── The facts ────────────────────────────────────────────────────────────────────────────────────


def test_an_attempt_is_told_with_its_times_its_tokens_and_who_it_was() -> None:
    first, second = Scene(COUNTED).ask(turns=2).attempts
    assert (first.connection, first.model, first.server) == ("a", "model-0", "host-0:8000")
    assert (first.role, first.outcome, first.finish_reason) == ("first", "won", "stop")
    assert first.usage == Usage(7, 12, 3)
    assert first.first_word == pytest.approx(0.15, abs=1e-6)
    assert first.first_clause == pytest.approx(0.15 + 6 * 0.02, abs=1e-6)
    assert first.largest_gap == pytest.approx(0.02, abs=1e-6)
    assert (first.characters, first.given, first.heard) == (len(ANSWER), len(ANSWER), True)
    assert first.predicted is None
    assert second.predicted == pytest.approx(first.first_clause, rel=0.1)


def test_a_reply_is_told_as_a_whole_with_the_attempts_it_took() -> None:
    told = Scene(fail(StatusError(503), after=0.1), COUNTED).ask()
    [reply] = told.replies
    assert reply.first_word == pytest.approx(0.25, abs=1e-6)
    assert reply.first_clause == pytest.approx(0.25 + 6 * 0.02, abs=1e-6)
    assert reply.started_at == 100.0
    assert reply.duration >= 0.25 + 11 * 0.02
    assert (reply.words, reply.characters, reply.wasted) == (12, len(ANSWER), 0)
    assert list(reply.tries) == told.attempts
    assert [(a.connection, a.role, a.outcome) for a in reply.tries] == [
        ("a", "first", "overloaded"),
        ("b", "failover", "won"),
    ]
    assert reply.tries[1].started_at == pytest.approx(100.1, abs=1e-6)


def test_a_stall_shows_as_the_largest_gap_and_what_nobody_heard_as_waste() -> None:
    stalls = [*say("One, two,", finish=None), Step(0.5, Chunk(text=" three")), HANG]
    told = Scene(stalls, SPARE).ask()
    [gone] = [event for event in told.attempts if event.connection == "a"]
    assert gone.largest_gap == pytest.approx(0.5, abs=1e-6)
    assert gone.heard
    assert told.replies[0].resumes == 1
    slow = Scene(say(ANSWER, first=0.31), say(ANSWER, first=0.05)).ask()
    [lost] = [event for event in slow.attempts if event.outcome == "lost"]
    assert (lost.heard, lost.given) == (False, 0)


def test_an_interrupted_attempt_says_how_much_was_heard_of_it() -> None:
    [event] = Scene(COUNTED).ask(stop_after=3).attempts
    assert (event.outcome, event.heard) == ("cancelled", True)
    assert event.given == len("We open at ")


# ── Prometheus ───────────────────────────────────────────────────────────────────────────────────


def measured(registry: CollectorRegistry) -> dict[str, float]:
    """All that has a value, as `name{label=value}`; buckets apart."""
    return {
        sample.name
        + "".join(f"{{{k}={v}}}" for k, v in sorted(sample.labels.items())): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.value and not sample.name.endswith(("_bucket", "_created"))
    }


def test_prometheus_counts_what_happened() -> None:
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
    assert seen["router_attempts_total{connection=a}{outcome=overloaded}"] == 1
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


def test_prometheus_counts_words_that_nobody_heard() -> None:
    registry = CollectorRegistry()
    breaks = [*say("One, two,", finish=None), Step(error=BrokenStreamError("x"))]
    told = Scene(breaks, say("One, two, three, four.", first=0.2)).ask(PrometheusObserver(registry))
    assert told.replies[0].characters == len("One, two, three, four.")
    seen = measured(registry)
    assert seen["router_wasted_characters_total"] == told.replies[0].wasted >= len("One, two,")
    assert seen["router_given_characters_total"] == told.replies[0].characters


async def test_prometheus_draws_breakers_and_streams_in_flight_while_a_router_is_open() -> None:
    registry = CollectorRegistry()
    observer = PrometheusObserver(registry)
    observer.endpoints_are([EndpointState(connection="x", breaker="half-open", in_flight=3)])
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


def test_two_observers_may_have_registries_of_their_own() -> None:
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


# ── OpenTelemetry ────────────────────────────────────────────────────────────────────────────────


class Traced:
    """Spans as they are exported, by name."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._provider = TracerProvider()
        self._provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self._provider.get_tracer("test")

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self._exporter.get_finished_spans()}


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def test_a_reply_is_a_span_under_the_turn_and_each_attempt_one_under_the_reply() -> None:
    traced = Traced()
    scene = Scene(fail(StatusError(503), after=0.1), COUNTED)
    with traced.tracer.start_as_current_span("turn") as turn:
        scene.ask(OpenTelemetryObserver(traced.tracer, scene.clock))
    spans = traced.spans
    reply, failed, won = spans["router.reply"], spans["chat model-0"], spans["chat model-1"]
    assert reply.parent == turn.get_span_context()
    assert failed.parent == won.parent == reply.context
    assert (
        attributes(won).items()
        >= {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai_compatible",
            "gen_ai.request.model": "model-1",
            "gen_ai.response.finish_reasons": ("stop",),
            "gen_ai.usage.input_tokens": 7,
            "gen_ai.usage.output_tokens": 12,
            "server.address": "host-1",
            "server.port": 8001,
            "router.role": "failover",
            "router.outcome": "won",
        }.items()
    )
    assert attributes(failed)["error.type"] == "overloaded"
    assert (failed.status.status_code, won.status.status_code) == (
        StatusCode.ERROR,
        StatusCode.UNSET,
    )
    assert attributes(reply)["router.took_over_from"] == ("a",)
    assert attributes(reply)["gen_ai.conversation.id"] == "call-1"


def test_spans_begin_and_end_when_what_they_show_did() -> None:
    traced = Traced()
    scene = Scene(fail(StatusError(503), after=0.1), COUNTED)
    began = scene.clock.wall()
    scene.ask(OpenTelemetryObserver(traced.tracer, scene.clock))
    reply, failed, won = (
        traced.spans[name] for name in ("router.reply", "chat model-0", "chat model-1")
    )

    def seconds(moment: int | None) -> float:
        assert moment is not None
        return moment / 1e9 - began

    assert seconds(reply.start_time) == pytest.approx(0.0, abs=1e-5)
    assert seconds(failed.start_time) == pytest.approx(0.0, abs=1e-5)
    assert seconds(failed.end_time) == pytest.approx(0.1, abs=1e-5)
    assert seconds(won.start_time) == pytest.approx(0.1, abs=1e-5)
    assert seconds(won.end_time) <= seconds(reply.end_time) + 1e-5


def test_no_span_carries_a_word_that_was_said_or_a_secret() -> None:
    traced = Traced()
    scene = Scene(fail(StatusError(400, detail=QUESTION)), COUNTED)
    scene.ask(OpenTelemetryObserver(traced.tracer, scene.clock))
    everything = " ".join(span.to_json() for span in traced.spans.values())
    assert "model-1" in everything
    for secret in (QUESTION, "morning", "secret", "user"):
        assert secret not in everything


def test_the_last_resort_is_an_error_of_the_reply() -> None:
    traced = Traced()
    scene = Scene(fail(StatusError(503)))
    scene.ask(OpenTelemetryObserver(traced.tracer, scene.clock))
    assert traced.spans["router.reply"].status.status_code is StatusCode.ERROR


def test_where_nothing_is_recorded_nothing_is_drawn() -> None:
    quiet = trace.NoOpTracerProvider().get_tracer("off")
    scene = Scene(COUNTED)
    assert scene.ask(OpenTelemetryObserver(quiet, scene.clock)).replies
