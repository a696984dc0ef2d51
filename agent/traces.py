"""Sends the spans of a process to a collector, by OTLP over HTTP."""

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

_COLLECTOR_TIMEOUT = 2.0
"""Seconds that a collector may take; the end of a process waits as long for the last spans."""


def open_traces(endpoint: str, service: str) -> TracerProvider:
    """Makes a provider whose spans go to a collector, under the name of a service.

    They are sent by a thread of its own; while the collector is away, the oldest are dropped. Shut
    the provider down at the end, in a thread, or the last seconds of spans are lost.
    """
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", timeout=_COLLECTOR_TIMEOUT)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
