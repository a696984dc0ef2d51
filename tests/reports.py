"""Makes the traces and logs that LiveKit agents send, as their exporters do."""

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

_NS = 10**9


def span(
    name: str, span_id: str, ended: float, attributes: Mapping[str, Any], parent: str = ""
) -> Span:
    """Makes a span of one second that has ended then (s since 1970)."""
    return Span(
        name=name,
        span_id=bytes.fromhex(span_id),
        parent_span_id=bytes.fromhex(parent),
        start_time_unix_nano=int((ended - 1) * _NS),
        end_time_unix_nano=int(ended * _NS),
        attributes=_pairs(attributes),
    )


def traces(*spans: Span) -> bytes:
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.extend(spans)
    return request.SerializeToString()


def line(body: str, at: float, attributes: Mapping[str, Any]) -> LogRecord:
    return LogRecord(
        body=AnyValue(string_value=body),
        time_unix_nano=int(at * _NS),
        attributes=_pairs(attributes),
    )


def logs(*lines: LogRecord, **shared: str) -> bytes:
    """Makes a request of lines whose logger has these attributes."""
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    scope.scope.attributes.extend(_pairs(shared))
    scope.log_records.extend(lines)
    return request.SerializeToString()


def _pairs(values: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=name, value=_value(value)) for name, value in values.items()]


def _value(value: Any) -> AnyValue:
    found = AnyValue()
    if isinstance(value, bool):
        found.bool_value = value
    elif isinstance(value, int):
        found.int_value = value
    elif isinstance(value, float):
        found.double_value = value
    elif isinstance(value, str):
        found.string_value = value
    elif isinstance(value, Mapping):
        found.kvlist_value.values.extend(_pairs(value))
    elif isinstance(value, Sequence):
        found.array_value.values.extend(_value(each) for each in value)
    return found
