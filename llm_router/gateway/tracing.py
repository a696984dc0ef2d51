"""Makes a span of each request; the spans of the replies that the router gives for it are below it.

A client that sends `traceparent` (W3C's Trace Context) finds the request in its own trace. No span
has a path, a query, a header, a word of a body or an address of a client: where something secret
may be, only the route's own pattern is written.
"""

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_UNTRACED = frozenset({"/healthz", "/readyz", "/metrics"})
"""Paths that programs ask every few seconds."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER_METHOD = "_OTHER"
"""The convention's name for a method that a client has made up."""
_PREFIX = "/api/"
"""Begin of the paths of the management API."""
_SERVER_ERROR = 500
_PROPAGATOR = TraceContextTextMapPropagator()


class RequestSpans:
    """Makes a span of each request, from its head to the last byte of its answer."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self.app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _UNTRACED:
            await self.app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else _OTHER_METHOD
        name = "HTTP" if method == _OTHER_METHOD else method
        span = self._tracer.start_span(
            name,
            _PROPAGATOR.extract(_parent(scope)),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method, "url.scheme": scope["scheme"]},
        )

        async def send_noting_status(message: Message) -> None:
            if message["type"] == "http.response.start":
                _note_status(span, message["status"])
            await send(message)

        # The texts of exceptions may hold what a caller said: only their kind is written.
        with trace.use_span(
            span, end_on_exit=True, record_exception=False, set_status_on_exception=False
        ):
            try:
                await self.app(scope, receive, send_noting_status)
            except Exception as error:
                span.set_attribute("error.type", type(error).__qualname__)
                span.set_status(Status(StatusCode.ERROR))
                raise
            finally:
                _note_route(span, name, scope)


def _parent(scope: Scope) -> dict[str, str]:
    """Returns the client's `traceparent`, which is two numbers, and not its `tracestate`, which may
    hold anything.
    """
    sent = dict(scope["headers"]).get(b"traceparent")
    return {"traceparent": sent.decode("latin-1")} if sent else {}


def _note_status(span: Span, status: int) -> None:
    span.set_attribute("http.response.status_code", status)
    if status >= _SERVER_ERROR:
        span.set_attribute("error.type", str(status))
        span.set_status(Status(StatusCode.ERROR))


def _note_route(span: Span, name: str, scope: Scope) -> None:
    if pattern := getattr(scope.get("route"), "path", ""):
        if scope["path"].startswith(_PREFIX) and not pattern.startswith(_PREFIX):
            pattern = _PREFIX.rstrip("/") + pattern  # a route does not know where it is included
        span.set_attribute("http.route", pattern)
        span.update_name(f"{name} {pattern}")
