"""Says to a model server to which trace a request belongs, as W3C's Trace Context defines it."""

try:
    from opentelemetry import trace
except ModuleNotFoundError:  # an extra
    _HAS_TRACES = False
else:
    _HAS_TRACES = True


def trace_headers() -> dict[str, str]:
    """Returns `traceparent` for the span that a request is made in; nothing where none is recorded.

    A vLLM with `--otlp-traces-endpoint` adds its own spans to the trace of the turn. The header is
    two random numbers and says nothing of the caller.
    """
    if not _HAS_TRACES:
        return {}
    # Not `is_recording`: a reply that goes on after its request has ended belongs to it still.
    context = trace.get_current_span().get_span_context()
    if not (context.is_valid and context.trace_flags.sampled):
        return {}
    ids = f"{context.trace_id:032x}-{context.span_id:016x}"
    return {"traceparent": f"00-{ids}-{context.trace_flags:02x}"}
