"""Endpoint: a stored Connection made live, with its provider, latency, breaker and limits."""

from collections.abc import Callable
from functools import partial
from urllib.parse import urlsplit

from llm_router.catalog.prices import price_of
from llm_router.connections.record import Connection
from llm_router.failures import Failure, FailureClass
from llm_router.options import BreakerOptions
from llm_router.providers.base import Provider
from llm_router.routing.breaker import CircuitBreaker
from llm_router.routing.events import AttemptEvent, EndpointState
from llm_router.routing.latency import Latency, behind, under_load
from llm_router.routing.limits import Limits

_MOST_REFUSED = 100


class Endpoint:
    """A connection with what this process knows about it: its latency, its health, its load."""

    def __init__(
        self,
        connection: Connection,
        provider: Provider,
        breaker: BreakerOptions | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.provider = provider
        self.breaker = CircuitBreaker(breaker)
        self.latency = Latency()
        self.limits = limits or Limits(connection)
        # That of a `Limited` one; to ask for the protocol takes longer than all the rest.
        self.lacks: frozenset[str] = getattr(provider, "lacks", frozenset())
        """Parts of a request that its provider cannot send, or its server has refused."""
        self.refused: tuple[int, ...] = ()
        """Marks of pictures, and of uses of tools, that its server refused; it may take others."""
        self._learnt_context: int | None = None
        self.has_learnt = False
        """Whether that has changed and its pool has not taken note yet."""
        self._is_withdrawn = False
        self._in_flight = 0
        self._queue_length = 0
        self.unanswered = ("", 0.0)
        """Session of the latest request that has no word yet, and the time (s, router's clock) at
        which its first word became overdue."""
        self.reconfigure(connection)
        self._on_change: Callable[[], None] = lambda: None

    def reconfigure(self, connection: Connection) -> None:
        """Replaces the connection record, where the provider and its requests stay the same."""
        self.connection = connection
        self.limits.connection = connection
        self.server = urlsplit(connection.base_url).netloc.rpartition("@")[2]
        self.price = price_of(connection)

    @property
    def name(self) -> str:
        return self.connection.name

    @property
    def attempt_event(self) -> "partial[AttemptEvent]":
        """Makes the event of an attempt here: what names this endpoint is filled in."""
        return partial(
            AttemptEvent,
            connection=self.connection.name,
            connection_id=self.connection.id,
            pool=self.connection.pool,
            model=self.connection.model_name,
            provider=self.connection.provider,
            server=self.server,
            price=self.price,
        )

    def may_start(self, now: float) -> bool:
        """Returns whether an attempt may start now: not withdrawn, and below its own limits.

        The breaker has no say here: an open one is overruled when no other endpoint is left.
        """
        return not self._is_withdrawn and self.limits.reached(now) is None

    def withdraw(self, on_idle: Callable[[], None]) -> None:
        """Refuses new attempts from now on; calls `on_idle` once no attempt is in flight."""
        self._is_withdrawn = True
        self._on_change = lambda: None if self._in_flight else on_idle()
        self._on_change()

    @property
    def in_flight(self) -> int:
        """Attempts whose stream has not ended."""
        return self._in_flight

    @in_flight.setter
    def in_flight(self, attempts: int) -> None:
        self._in_flight = attempts
        self._on_change()

    def watch(self, on_change: Callable[[], None]) -> None:
        """Calls `on_change` after each change of its latency, health, load or limits."""
        self._on_change = on_change
        self.latency.on_change = on_change
        self.breaker.on_change = on_change
        self.limits.on_change = on_change

    @property
    def context_length(self) -> int | None:
        """Tokens that its model takes, as configured or learnt; None: unknown."""
        known = [n for n in (self.connection.context_length, self._learnt_context) if n]
        return min(known, default=None)

    def learn(self, failure: Failure, tokens: int, refused: frozenset[int]) -> None:
        """Remembers what a refusal says of its server, until the connection is changed.

        `tokens`: those of the whole request that was refused, of which `refused` marks the part
        that the server refuses. A picture that was refused may be all that was too long.
        """
        before = self._learnt_context, self.lacks, self.refused
        sizes = [size for size in (failure.context, 0 if refused else tokens) if size]
        if failure.kind is FailureClass.TOO_LONG and sizes:
            self._learnt_context = min(sizes) * 3 // 4
        if failure.lacks:
            self.lacks |= {failure.lacks}
        self.refused = (*self.refused, *refused.difference(self.refused))[-_MOST_REFUSED:]
        if (self._learnt_context, self.lacks, self.refused) == before:
            return
        self.has_learnt = True
        self._on_change()

    def predicted(self, size: int) -> float | None:
        """Returns the expected seconds to the first clause, at the present load and queue.

        None: nothing was measured, or not lately (see `Latency.fade`). Infinity: most of the
        attempts never came to a clause.
        """
        median = self.latency.first_clause(size).expected()
        if median is None:
            return None
        return behind(under_load(median, self._in_flight), self._queue_length)

    def set_queue_length(self, waiting: int) -> None:
        """Records how many requests, of any client, wait at its server."""
        if waiting != self._queue_length:
            self._queue_length = waiting
            self._on_change()

    def state(self, now: float) -> EndpointState:
        return EndpointState(
            connection=self.name, breaker=self.breaker.state(now), in_flight=self.in_flight
        )

    def __repr__(self) -> str:
        times = self.latency.first_word(0)
        p50 = times.quantile(0.5)
        p95 = times.quantile(0.95)
        known = "unmeasured" if p50 is None or p95 is None else f"p50 {p50:.3f} s p95 {p95:.3f} s"
        return f"Endpoint({self.name}, {known}, {self.in_flight} in flight, {self.breaker!r})"
