"""Spans of HTTP requests: one tree from the client to the model server, and no secret in it."""

import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv import schemas
from opentelemetry.semconv._incubating.attributes import (
    error_attributes,
    gen_ai_attributes,
    http_attributes,
    server_attributes,
    url_attributes,
)
from opentelemetry.trace import SpanKind, StatusCode

from llm_router.telemetry.opentelemetry import SCHEMA_URL, get_tracer
from llm_router.testing.server import Fault, FaultyServer, Script
from tests.contracts.api_process import admin_key, isolated_environ, serving
from tests.contracts.databases import Files
from tests.contracts.gateway import Gateway, gateway_on, one_server
from tests.contracts.receiver import Receiver, receiving

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SECRET_QUESTION = "My number is four two"
QUESTION = {"model": "auto", "messages": [{"role": "user", "content": SECRET_QUESTION}]}
PATH = "/v1/chat/completions"


class Traced:
    """An API whose finished spans are here, by name."""

    def __init__(self, gateway: Gateway, exporter: InMemorySpanExporter) -> None:
        self.gateway = gateway
        self._exporter = exporter

    @property
    def finished(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    def span(self, name: str) -> ReadableSpan:
        found = [span for span in self.finished if span.name == name]
        assert len(found) == 1, sorted({span.name for span in self.finished})
        return found[0]

    async def ask(self, sent: str = "", **more: object) -> httpx2.Response:
        headers = {"traceparent": sent} if sent else {}
        return await self.gateway.call("editor", "POST", PATH, QUESTION | more, headers=headers)


@pytest.fixture
async def traced(files: Files) -> AsyncIterator[Traced]:
    async with traced_gateway(files) as traced:
        yield traced


@asynccontextmanager
async def traced_gateway(files: Files) -> AsyncIterator[Traced]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    options: dict[str, Any] = {
        "allowed_addresses": ("127.0.0.0/8",),
        "tracer": get_tracer(provider),
    }
    async with gateway_on(await files.new(), **options) as gateway:
        yield Traced(gateway, exporter)


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


@pytest.mark.parametrize("stream", [True, False])
async def test_one_trace_leads_from_the_client_to_the_model_server(
    traced: Traced, *, stream: bool
) -> None:
    async with one_server(traced.gateway) as server:
        assert (await traced.ask(f"00-{TRACE}-{PARENT}-01", stream=stream)).is_success
        sent = server.requests[0].headers["traceparent"]
    request, reply = traced.span(f"POST {PATH}"), traced.span("router.reply")
    attempt = traced.span("chat m")
    assert request.parent
    assert (f"{request.parent.trace_id:032x}", f"{request.parent.span_id:016x}") == (TRACE, PARENT)
    assert reply.parent == request.context
    assert attempt.parent == reply.context
    assert request.context
    assert sent == f"00-{TRACE}-{request.context.span_id:016x}-01"
    assert request.kind is SpanKind.SERVER
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.route": PATH,
        "http.response.status_code": 200,
        "url.scheme": "http",
    }
    assert request.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("sent", ["", "00-not-a-trace-01", f"00-{'0' * 32}-{PARENT}-01"])
async def test_without_a_trace_of_the_client_one_begins(traced: Traced, sent: str) -> None:
    async with one_server(traced.gateway):
        assert (await traced.ask(sent)).is_success
    assert traced.span(f"POST {PATH}").parent is None


async def test_a_client_that_records_nothing_has_nothing_recorded(traced: Traced) -> None:
    async with one_server(traced.gateway) as server:
        assert (await traced.ask(f"00-{TRACE}-{PARENT}-00")).is_success
        assert "traceparent" not in server.requests[0].headers
    assert [span.name for span in traced.finished if span.name.startswith("chat")] == []


async def test_a_reply_of_a_stored_chat_belongs_to_the_request_for_it(traced: Traced) -> None:
    gateway = traced.gateway
    async with one_server(gateway) as server:
        chat = (await gateway.call("editor", "POST", "/chats", {})).json()["id"]
        body = {"content": SECRET_QUESTION}
        answer = await gateway.call("editor", "POST", f"/chats/{chat}/messages", body)
        assert answer.is_success, answer.text
        await gateway.services.chat_replies.aclose()
        sent = server.requests[0].headers["traceparent"]
    request = traced.span("POST /api/chats/{chat_id}/messages")
    assert request.context
    assert traced.span("router.reply").parent == request.context
    assert sent.split("-")[2] == f"{request.context.span_id:016x}"


async def test_no_span_has_words_keys_paths_or_queries(traced: Traced) -> None:
    gateway = traced.gateway
    async with one_server(gateway, Script(fault=Fault.STATUS)):
        assert not (await traced.ask()).is_success
    for path in ("/nowhere/pb_secret?key=pb_secret", "/connections/pb_secret?token=pb_secret"):
        assert (await gateway.call("editor", "GET", path)).status_code == 404
    everything = " ".join(span.to_json() for span in traced.finished)
    assert "GET /api/connections/{connection_id}" in everything
    for secret in (SECRET_QUESTION, "pb_", "127.0.0.1:1"):
        assert secret not in everything.replace(gateway.keys["editor"], "pb_")


async def test_failures_are_marked_and_unknown_routes_and_methods_have_no_name(
    traced: Traced,
) -> None:
    gateway = traced.gateway
    async with one_server(gateway, Script(fault=Fault.STATUS)):
        status = (await traced.ask()).status_code
    assert status >= 500
    failed = traced.span(f"POST {PATH}")
    assert attributes(failed)["error.type"] == str(status)
    assert failed.status.status_code is StatusCode.ERROR
    await gateway.call("editor", "GET", "/nowhere")
    assert attributes(traced.span("GET"))["http.response.status_code"] == 404
    await gateway.client.request("BREW", "/v1/models")
    assert attributes(traced.span("HTTP /v1/models"))["http.request.method"] == "_OTHER"


async def test_requests_about_the_process_are_not_traced(traced: Traced) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        await traced.gateway.client.get(path)
    assert traced.finished == ()


async def test_the_names_are_those_of_the_conventions_that_are_installed(traced: Traced) -> None:
    modules = [error_attributes, gen_ai_attributes, http_attributes, server_attributes]
    known = {
        value
        for module in (*modules, url_attributes)
        for name, value in vars(module).items()
        if name.isupper()
    }
    async with one_server(traced.gateway):
        assert (await traced.ask()).is_success
    names = {name for span in traced.finished for name in attributes(span)}
    assert {"gen_ai.request.model", "http.route", "server.address"} <= names
    assert {name for name in names if not name.startswith("router.")} <= known
    assert SCHEMA_URL in {one.value for one in schemas.Schemas}
    for span in traced.finished:
        assert span.instrumentation_scope
        assert span.instrumentation_scope.schema_url == SCHEMA_URL


def exported(receiver: Receiver) -> dict[str, set[str]]:
    """Returns the names of the spans that a collector has got, by service."""
    found: dict[str, set[str]] = {}
    for request in receiver.requests:
        for group in ExportTraceServiceRequest.FromString(request.body).resource_spans:
            pairs = {pair.key: pair.value.string_value for pair in group.resource.attributes}
            names = {span.name for scope in group.scope_spans for span in scope.spans}
            found.setdefault(pairs["service.name"], set()).update(names)
    return found


async def test_both_processes_send_their_spans_at_the_latest_when_they_end(tmp_path: Path) -> None:
    async with receiving(200) as collector, FaultyServer() as server:
        base = collector.url.removesuffix("/hook")
        variables = isolated_environ(tmp_path) | {"OTEL_EXPORTER_OTLP_ENDPOINT": base + "/"}
        row = {"name": "desk", "base_url": server.base_url, "model_name": "m"}
        for module in ("agent.api", "agent.gateway"):
            async with serving(tmp_path, module=module, **variables, GATEWAY_PORT="0") as here:
                headers = {"x-api-key": admin_key(tmp_path)}
                async with httpx2.AsyncClient(base_url=here.url, headers=headers) as client:
                    if module == "agent.api":
                        assert (await client.post("/api/connections", json=row)).is_success
                    answer = await client.post(PATH, json=QUESTION)
                    assert answer.is_success, answer.text
                here.running.send_signal(signal.SIGTERM)
                assert await here.running.wait() == 0
        assert {request.path for request in collector.requests} == {"/v1/traces"}
        spans = exported(collector)
        assert spans.keys() == {"patchbay-http", "patchbay-gateway"}
        for names in spans.values():
            assert {f"POST {PATH}", "router.reply", "chat m"} <= names
        for request in server.requests:
            sent = request.headers["traceparent"]
            assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[13]", sent)
        everything = b"".join(request.body for request in collector.requests)
        assert SECRET_QUESTION.encode() not in everything


async def test_a_collector_that_is_away_costs_no_request(tmp_path: Path) -> None:
    variables = isolated_environ(tmp_path)
    variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:9"
    async with serving(tmp_path, **variables) as here:
        headers = {"x-api-key": admin_key(tmp_path)}
        async with httpx2.AsyncClient(base_url=here.url, headers=headers) as client:
            assert (await client.get("/api/connections")).is_success
        here.running.send_signal(signal.SIGTERM)
        assert await here.running.wait() == 0
    assert "Traceback" not in "".join(here.log)
