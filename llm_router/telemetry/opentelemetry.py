"""OpenTelemetry: a span for each reply, below the turn that it answers, and one for each attempt.

Attributes have the names of the semantic conventions for generative AI where there are any, and
`router.*` elsewhere. No span carries a word of the caller or of the model.
"""

from opentelemetry import context, trace
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, TracerProvider
from opentelemetry.util.types import AttributeValue

from llm_router.clock import Clock, SystemClock
from llm_router.routing.events import AttemptEvent, ReplyEvent
from llm_router.types import Usage
from llm_router.version import __version__

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
"""The version of the semantic conventions that the names of our attributes are from."""

_Attributes = dict[str, AttributeValue | None]


def get_tracer(provider: TracerProvider | None = None) -> Tracer:
    """Returns the tracer of our spans; None: one of OpenTelemetry's global provider."""
    return trace.get_tracer("llm_router", __version__, provider, SCHEMA_URL)


class OpenTelemetryObserver:
    """Makes the spans when the reply has ended, so that they cost nothing while it runs.

    `tracer`: None takes one of OpenTelemetry's global provider. Where no spans are recorded,
    next to nothing is done.
    """

    def __init__(self, tracer: Tracer | None = None, clock: Clock | None = None) -> None:
        self._tracer = tracer or get_tracer()
        self._clock = clock or SystemClock()

    def attempt_ended(self, event: AttemptEvent) -> None:
        """Does nothing: the event of its reply contains the attempt."""

    def reply_ended(self, event: ReplyEvent) -> None:
        # The wall time at the zero of the router's clock.
        zero = self._clock.wall() - event.started_at - event.duration
        reply = self._tracer.start_span(
            "router.reply", start_time=_nanoseconds(zero + event.started_at)
        )
        if reply.is_recording():
            reply.set_attributes(_without_none(_reply_attributes(event)))
            if event.last_resort:
                reply.set_status(Status(StatusCode.ERROR, "no connection could answer"))
            parent = trace.set_span_in_context(reply)
            for attempt in event.tries:
                self._add_span(attempt, parent, zero)
        reply.end(_nanoseconds(zero + event.started_at + event.duration))

    def _add_span(self, event: AttemptEvent, parent: context.Context, zero: float) -> None:
        span = self._tracer.start_span(
            f"chat {event.model}".rstrip(),
            parent,
            kind=SpanKind.CLIENT,
            attributes=_without_none(_attempt_attributes(event)),
            start_time=_nanoseconds(zero + event.started_at),
        )
        if event.failure:
            span.set_status(Status(StatusCode.ERROR, event.failure.explanation))
        span.end(_nanoseconds(zero + event.started_at + event.duration))


def _reply_attributes(event: ReplyEvent) -> _Attributes:
    return {
        "gen_ai.conversation.id": event.session_id or None,
        "router.connection": event.connection or None,
        "router.took_over_from": list(event.took_over_from) or None,
        "router.attempts": event.attempts,
        "router.resumes": event.resumes,
        "router.last_resort": event.last_resort and not event.failed,
        "router.failed": event.failed,
        "router.cancelled": event.cancelled,
        "router.first_word_seconds": event.first_word,
        "router.first_clause_seconds": event.first_clause,
        "router.words": event.words,
        "router.characters": event.characters,
        "router.wasted_characters": event.wasted,
    }


def _attempt_attributes(event: AttemptEvent) -> _Attributes:
    host, _, port = event.server.rpartition(":")
    if not port.isdigit():
        host, port = event.server, ""
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": event.provider,
        "gen_ai.request.model": event.model or None,
        "gen_ai.request.stream": True,
        "gen_ai.response.finish_reasons": [event.finish_reason] if event.finish_reason else None,
        "gen_ai.response.time_to_first_chunk": event.first_word,
        **_tokens(event.usage),
        "server.address": host.strip("[]") or None,
        "server.port": int(port) if port else None,
        "error.type": str(event.failure.kind) if event.failure else None,
        "router.connection": event.connection,
        "router.role": event.role,
        "router.outcome": event.outcome,
        "router.first_clause_seconds": event.first_clause,
        "router.predicted_first_clause_seconds": event.predicted,
        "router.largest_gap_seconds": event.largest_gap,
        "router.characters": event.characters,
        "router.given_characters": event.given,
    }


def _tokens(usage: Usage | None) -> _Attributes:
    if usage is None:
        return {}
    return {
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_creation_tokens or None,
    }


def _without_none(attributes: _Attributes) -> dict[str, AttributeValue]:
    return {name: value for name, value in attributes.items() if value is not None}


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
