"""Prometheus: the series for dashboards and alerts."""

from collections.abc import Collection, Iterable, Sequence
from typing import Final, Literal

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Metric,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.registry import Collector

from llm_router.routing.events import AttemptEvent, EndpointState, ReplyEvent

_SPEECH_BUCKETS: Final = (
    0.1,
    0.15,
    0.2,
    0.25,
    0.3,
    0.4,
    0.5,
    0.6,
    0.8,
    1.0,
    1.2,
    1.5,
    2.0,
    3.0,
    4.0,
    8.0,
)
"""Seconds. Narrow where a caller notices a difference: between 0.2 s and 2 s."""
_ERROR_BUCKETS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_BREAKER_VALUES: Final = {"closed": 0.0, "half-open": 0.5, "open": 1.0}


class PrometheusObserver:
    """Updates the `router_*` series in `registry`; make one for each process and registry.

    In prometheus-client's multiprocess mode the series of all processes are summed up, and a
    breaker has the value that a process set last.
    """

    def __init__(self, registry: CollectorRegistry | None = REGISTRY) -> None:
        def histogram(name: str, text: str, buckets: Sequence[float]) -> Histogram:
            return Histogram(name, text, ["connection"], registry=registry, buckets=buckets)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def gauge(name: str, text: str, mode: Literal["mostrecent", "sum"]) -> Gauge:
            return Gauge(name, text, ["connection"], registry=registry, multiprocess_mode=mode)

        self._first_word = histogram(
            "router_first_word_seconds",
            "Seconds from the request to the first word, by the connection that answered",
            _SPEECH_BUCKETS,
        )
        self._first_clause = histogram(
            "router_first_clause_seconds",
            "Seconds from the request to the first whole clause",
            _SPEECH_BUCKETS,
        )
        self._gap = histogram(
            "router_largest_gap_seconds",
            "Longest wait between two words of an attempt, in seconds",
            _SPEECH_BUCKETS,
        )
        self._prediction_error = histogram(
            "router_prediction_error_seconds",
            "Seconds between the expected and the actual first clause of an attempt",
            _ERROR_BUCKETS,
        )
        self._attempts = counter(
            "router_attempts_total", "Attempts, by outcome", "connection", "outcome"
        )
        self._replies = counter("router_replies_total", "Replies, by outcome", "outcome")
        self._hedges = counter(
            "router_hedges_total", "Attempts started beside a slow one, by whether they won", "won"
        )
        self._resumes = counter(
            "router_resumes_total", "Replies continued by another connection, each time counted"
        )
        self._last_resorts = counter(
            "router_last_resorts_total", "Replies that no connection could give"
        )
        self._given = counter("router_given_characters_total", "Characters given out")
        self._wasted = counter(
            "router_wasted_characters_total", "Characters generated and not given out"
        )
        self._tokens = counter(
            "router_tokens_total", "Tokens, as the servers counted them", "connection", "kind"
        )
        self._breaker = gauge(
            "router_breaker_open", "0 closed, 0.5 half-open, 1 open", "mostrecent"
        )
        self._in_flight = gauge("router_in_flight", "Attempts whose stream has not ended", "sum")

    def attempt_ended(self, event: AttemptEvent) -> None:
        name = event.connection
        self._attempts.labels(name, event.outcome).inc()
        if event.role == "hedge":
            self._hedges.labels(str(event.delivered).lower()).inc()
        if event.delivered and event.largest_gap:
            self._gap.labels(name).observe(event.largest_gap)
        if event.first_clause is not None and event.predicted is not None:
            self._prediction_error.labels(name).observe(abs(event.first_clause - event.predicted))
        if event.usage:
            self._tokens.labels(name, "prompt").inc(event.usage.prompt_tokens)
            self._tokens.labels(name, "completion").inc(event.usage.completion_tokens)
            self._tokens.labels(name, "cached").inc(event.usage.cached_tokens)

    def reply_ended(self, event: ReplyEvent) -> None:
        self._replies.labels(_outcome(event)).inc()
        if event.first_word is not None:
            self._first_word.labels(event.connection).observe(event.first_word)
        if event.first_clause is not None:
            self._first_clause.labels(event.connection).observe(event.first_clause)
        self._resumes.inc(event.resumes)
        self._last_resorts.inc(event.last_resort)
        self._given.inc(event.characters)
        self._wasted.inc(event.wasted)

    def endpoints_sampled(self, states: Sequence[EndpointState]) -> None:
        for state in states:
            self._breaker.labels(state.connection).set(_BREAKER_VALUES[state.breaker])
            self._in_flight.labels(state.connection).set(state.in_flight)


def process_registry() -> CollectorRegistry:
    """Makes a registry with the series of this process: memory, CPU, files, Python."""
    registry = CollectorRegistry()
    for kind in (ProcessCollector, PlatformCollector, GCCollector):
        kind(registry=registry)
    return registry


class SelectedSeries(Collector):
    """The series of `registry` without those of connections that are not in `names`; None: all."""

    def __init__(self, registry: CollectorRegistry, names: Collection[str] | None) -> None:
        self._registry = registry
        self._shown = None if names is None else {None, *names}

    def collect(self) -> Iterable[Metric]:
        for family in self._registry.collect():
            if self._shown is not None:
                family.samples = [
                    sample
                    for sample in family.samples
                    if sample.labels.get("connection") in self._shown
                ]
            yield family


def _outcome(event: ReplyEvent) -> str:
    if event.cancelled:
        return "cancelled"
    if event.last_resort:
        return "failed" if event.failed else "last resort"
    return "answered"
