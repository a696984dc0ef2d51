"""OpenTelemetryObserver: spans with the times of the clock and without any spoken word."""

from contextlib import aclosing

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from llm_router import open_router
from llm_router.connections.record import Connection
from llm_router.errors import StatusError
from llm_router.telemetry.opentelemetry import OpenTelemetryObserver
from llm_router.testing import fail
from llm_router.testing.server import Fault, FaultyServer, Script
from llm_router.types import ChatRequest
from tests.contracts.observed import COUNTED, QUESTION, Scene


class Traced:
    """Collects exported spans by name."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._provider = TracerProvider()
        self._provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self._provider.get_tracer("test")

    @property
    def finished(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.finished}


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def test_a_reply_is_a_span_below_the_turn_and_each_attempt_one_below_the_reply() -> None:
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


def test_spans_have_the_times_of_replies_and_attempts() -> None:
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


def test_no_span_contains_a_spoken_word_or_a_secret() -> None:
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


def test_without_recording_no_span_is_made() -> None:
    quiet = trace.NoOpTracerProvider().get_tracer("off")
    scene = Scene(COUNTED)
    assert scene.ask(OpenTelemetryObserver(quiet, scene.clock)).replies


async def test_the_trace_of_a_turn_reaches_every_model_server_that_is_asked() -> None:
    traced = Traced()
    request = ChatRequest(messages=[{"role": "user", "content": QUESTION}])
    async with (
        FaultyServer(Script(fault=Fault.STATUS)) as failing,
        FaultyServer() as spare,
        open_router(
            [
                Connection(name="a", base_url=failing.base_url, model_name="m"),
                Connection(name="b", base_url=spare.base_url, model_name="m", priority=1),
            ],
            observers=[OpenTelemetryObserver(traced.tracer)],
        ) as router,
    ):
        with traced.tracer.start_as_current_span("turn") as turn:
            async with aclosing(router.stream(request)) as reply:
                async for _ in reply:
                    pass
        async with aclosing(router.stream(request)) as reply:
            async for _ in reply:
                pass
        sent = [server.requests[0].headers["traceparent"] for server in (failing, spare)]
        assert "traceparent" not in spare.requests[-1].headers  # outside of a trace
    context = turn.get_span_context()
    ids = f"{context.trace_id:032x}-{context.span_id:016x}"
    assert sent == [f"00-{ids}-{context.trace_flags:02x}"] * 2
    assert context.trace_flags.sampled
    replies = [span for span in traced.finished if span.name == "router.reply"]
    assert [span.parent for span in replies] == [context, None]


async def test_the_header_of_a_connection_stays_its_own() -> None:
    traced = Traced()
    own = {"traceparent": "00-0123456789abcdef0123456789abcdef-0123456789abcdef-00"}
    async with FaultyServer() as server:
        connection = Connection(name="a", base_url=server.base_url, model_name="m", headers=own)
        async with open_router([connection]) as router:
            with traced.tracer.start_as_current_span("turn"):
                request = ChatRequest(messages=[{"role": "user", "content": "hi"}])
                async with aclosing(router.stream(request)) as reply:
                    async for _ in reply:
                        pass
        assert server.requests[0].headers["traceparent"] == own["traceparent"]
