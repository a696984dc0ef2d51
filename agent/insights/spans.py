"""Reads the sessions of LiveKit agents out of their traces and logs (OTLP, protobuf). No I/O.

The names are those of livekit-agents, `telemetry/trace_types.py`. Values that are not understood
are left out: a later version of LiveKit may send anything.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from llm_router.voice.calls import ENDS_OF_SESSIONS, CallItem, ItemRole, storable_text

_MOST = 5_000
"""Spans or log lines of one request that are read."""
_MOST_SESSIONS = 100
"""Sessions of one request that are read."""
_MAX_NAME = 200
_LONGEST = 86_400.0
"""Seconds; a longer time is no wait."""
_TIMES = {
    "lk.e2e_latency": "e2e_latency",
    "lk.end_of_turn_delay": "end_of_turn_delay",
    "lk.transcription_delay": "transcription_delay",
}
"""Attributes of a turn, and the times of a receipt that they are."""
_ROLES: Mapping[str, ItemRole] = {"USER": "user", "ASSISTANT": "assistant"}

ItemSource = Literal["spans", "report"]
"""`spans`: turns as they end. `report`: the whole history, at the end of the session."""


class UnreadableError(ValueError):
    """A body that is no OTLP."""


@dataclass(slots=True, kw_only=True)
class SessionNews:
    """The news of one session, a job of LiveKit's, in one request."""

    job: str
    agent: str = ""
    room: str = ""
    began: datetime | None = None
    """The earliest time that is named."""
    ended: datetime | None = None
    reason: str = "agent ended"
    items: list[CallItem] = field(default_factory=list)
    source: ItemSource = "spans"


def read_traces(body: bytes) -> Sequence[SessionNews]:
    """Returns the news of each session in an ExportTraceServiceRequest. Raises UnreadableError."""
    request = ExportTraceServiceRequest()
    _parse(request, body)
    sessions = _Sessions()
    spans = list(_spans(request))
    replies = _replies_of(spans)
    for span in sorted(spans, key=lambda one: one.ended):
        if (news := sessions.of(span.attributes)) is None:
            continue
        news.began = min(news.began or span.began, span.began)
        if span.name in {"agent_session", "session_close"}:
            news.reason = ENDS_OF_SESSIONS.get(
                _text(span.attributes.get("lk.close_reason")), news.reason
            )
            news.ended = max(news.ended or span.ended, span.ended)
        if (item := _item_of(span, replies.get(span.id, {}))) is not None:
            news.items.append(item)
    return sessions.all


def read_logs(body: bytes) -> Sequence[SessionNews]:
    """Returns the news of each session in an ExportLogsServiceRequest. Raises UnreadableError."""
    request = ExportLogsServiceRequest()
    _parse(request, body)
    sessions = _Sessions("report")
    read = 0
    for resource in request.resource_logs:
        for scope in resource.scope_logs:
            shared = _values(resource.resource.attributes) | _values(scope.scope.attributes)
            for line in scope.log_records:
                read += 1
                body_text = line.body.string_value
                if read > _MOST or body_text not in {"session report", "chat item"}:
                    continue
                attributes = _values(line.attributes)
                news = sessions.of({**shared, **attributes})
                if news is None:
                    continue
                at = _time(line.time_unix_nano)
                if body_text == "session report":
                    news.ended = _time(line.observed_time_unix_nano or line.time_unix_nano)
                elif item := _chat_item(attributes.get("chat.item"), at):
                    news.items.append(item)
    return sessions.all


class _Sessions:
    """The sessions of one request, by their job."""

    def __init__(self, source: ItemSource = "spans") -> None:
        self._source: ItemSource = source
        self._news: dict[str, SessionNews] = {}

    def of(self, attributes: Mapping[str, Any]) -> SessionNews | None:
        job = _text(attributes.get("job_id")) or _text(attributes.get("lk.job_id"))
        if not job or (job not in self._news and len(self._news) >= _MOST_SESSIONS):
            return None
        news = self._news.setdefault(job, SessionNews(job=job, source=self._source))
        agent = attributes.get("lk.agent_name") or attributes.get("agent_name")
        news.agent = news.agent or _text(agent)
        room = attributes.get("lk.pii.room_name") or attributes.get("room")
        news.room = news.room or _text(room) or _text(attributes.get("room_id"))
        return news

    @property
    def all(self) -> Sequence[SessionNews]:
        return list(self._news.values())


# ── Spans ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Span:
    id: str
    parent: str
    name: str
    began: datetime
    ended: datetime
    attributes: Mapping[str, Any]


def _spans(request: ExportTraceServiceRequest) -> Iterator[_Span]:
    read = 0
    for resource in request.resource_spans:
        shared = _values(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                read += 1
                if read > _MOST:
                    return
                yield _Span(
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.name,
                    _time(span.start_time_unix_nano),
                    _time(span.end_time_unix_nano),
                    {**shared, **_values(span.attributes)},
                )


def _replies_of(spans: Iterable[_Span]) -> Mapping[str, dict[str, Any]]:
    """Returns what the nodes of a turn say of its reply, by the id of the turn's span."""
    found: dict[str, dict[str, Any]] = {}
    for span in spans:
        reply = found.setdefault(span.parent, {})
        if span.name == "llm_node":
            reply["first_word"] = _number(span.attributes.get("lk.response.ttft"))
            reply["model"] = _text(span.attributes.get("gen_ai.request.model"))
        elif span.name == "tts_node":
            reply["voice"] = _number(span.attributes.get("lk.response.ttfb"))
    return found


def _item_of(span: _Span, reply: Mapping[str, Any]) -> CallItem | None:
    """Returns the item of a span that has said something, or has called a tool."""
    attributes = span.attributes
    if span.name == "function_tool":
        called = {
            "call_id": _text(attributes.get("lk.function_tool.id")),
            "name": _text(attributes.get("lk.function_tool.name")),
            "arguments": _long(attributes.get("lk.pii.function_tool.arguments")),
            "output": _long(attributes.get("lk.pii.function_tool.output")),
            "is_error": attributes.get("lk.function_tool.is_error") is True,
        }
        return CallItem(id=span.id, role="tool", tool_calls=[called], created_at=span.ended)
    role: ItemRole = "user" if span.name == "user_turn" else "assistant"
    name = {"user_turn": "lk.pii.user_transcript", "agent_turn": "lk.pii.response.text"}
    text = _long(attributes.get(name.get(span.name, "")))
    if not text:
        return None
    times = {
        ours: value
        for theirs, ours in _TIMES.items()
        if (value := _number(attributes.get(theirs))) is not None
    }
    if (voice := reply.get("voice")) is not None:
        times["tts_node_ttfb"] = voice
    known = {"first_word": reply.get("first_word"), "model": reply.get("model")}
    receipt: dict[str, Any] = {k: v for k, v in known.items() if v not in (None, "")}
    if times:
        receipt["times"] = times
    is_cut = role == "assistant" and attributes.get("lk.interrupted") is True
    return CallItem(
        id=span.id,
        role=role,
        text=text,
        interrupted_at=len(text.split()) if is_cut else None,
        receipt=receipt,
        created_at=span.ended,
    )


# ── Logs ─────────────────────────────────────────────────────────────────────────────────────────


def _chat_item(value: Any, at: datetime) -> CallItem | None:
    """Returns the item of a line of a session's report; None for one that is no message."""
    message = value.get("message") if isinstance(value, dict) else None
    if not isinstance(message, dict) or (role := _ROLES.get(_text(message.get("role")))) is None:
        return None
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    texts = [_long(part.get("text")) for part in parts if isinstance(part, dict)]
    text, name = "\n".join(filter(None, texts)), _text(message.get("id"))
    if not text or not name:
        return None
    is_cut = message.get("interrupted") is True
    return CallItem(
        id=name,
        role=role,
        text=text,
        interrupted_at=len(text.split()) if is_cut else None,
        created_at=at,
    )


# ── Values ───────────────────────────────────────────────────────────────────────────────────────


def _parse(request: Any, body: bytes) -> None:
    try:
        request.ParseFromString(body)
    except DecodeError:
        raise UnreadableError("this is no OTLP in protobuf") from None


def _values(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "kvlist_value":
        return _values(value.kvlist_value.values)
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return None if kind is None else getattr(value, kind)


def _text(value: Any) -> str:
    """Returns a name, as every database can store it."""
    return storable_text(value[:_MAX_NAME]) if isinstance(value, str) else ""


def _long(value: Any) -> str:
    """Returns a text, as every database can store it, no longer than an item may be."""
    return storable_text(value) if isinstance(value, str) else ""


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return round(float(value), 3) if is_number and 0 <= value < _LONGEST else None


def _time(nanoseconds: int) -> datetime:
    """Returns a time of the sender's; one beyond the calendar is the end of it."""
    try:
        return datetime.fromtimestamp(nanoseconds / 1e9, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.max.replace(tzinfo=UTC)
