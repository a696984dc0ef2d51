"""Endpoint: a Connection made live. Attempt: one metered try on it, until its last byte."""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from typing import Literal
from urllib.parse import urlsplit

from llm_router.catalog.prices import price_of
from llm_router.clock import Clock, Timer
from llm_router.connections.record import Connection
from llm_router.failures import Failure, FailureClass, classify, failure_before_a_word
from llm_router.options import BreakerOptions
from llm_router.providers.base import Provider
from llm_router.routing.breaker import CircuitBreaker
from llm_router.routing.events import AttemptEvent, EndpointState
from llm_router.routing.latency import Latency, behind, under_load
from llm_router.routing.limits import Limits
from llm_router.types import ChatRequest, Chunk, Usage

_logger = logging.getLogger("llm_router")

SILENT = Failure(FailureClass.SILENT, "no word by the deadline")
LOADING = Failure(FailureClass.LOADING, "its model is not in memory yet")
_AGAIN_WITHIN = 1.0  # s

Role = Literal["first", "hedge", "failover", "resume", "trial"]
"""Why an attempt was started. `trial`: beside the first, to see if a rested endpoint is well."""


class Endpoint:
    """A connection with what this process knows of it: its times, its health, its load."""

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
        self._is_withdrawn = False
        self._in_flight = 0
        self.unanswered = ("", 0.0)
        """Whose question it was asked last that has no word yet, and from when one was overdue."""
        self.set_up_as(connection)
        self._told: Callable[[], None] = lambda: None

    def set_up_as(self, connection: Connection) -> None:
        """Go on under another record that asks the same provider in the same way."""
        self.connection = self.limits.connection = connection
        self.server = urlsplit(connection.base_url).netloc.rpartition("@")[2]
        self.price = price_of(connection)

    @property
    def name(self) -> str:
        return self.connection.name

    def may_start(self, now: float) -> bool:
        """Whether an attempt may start, were it the last one left to ask."""
        return not self._is_withdrawn and self.limits.reached(now) is None

    def withdraw(self, idle: Callable[[], None]) -> None:
        """Nothing starts from now on; `idle` is called once nothing is in flight."""
        self._is_withdrawn = True
        self._told = lambda: None if self._in_flight else idle()
        self._told()

    @property
    def in_flight(self) -> int:
        return self._in_flight

    @in_flight.setter
    def in_flight(self, replies: int) -> None:
        self._in_flight = replies
        self._told()

    def watch(self, told: Callable[[], None]) -> None:
        """`told` is called after each change of its times, its health, its load or its limits."""
        self._told = self.latency.told = self.breaker.told = self.limits.told = told

    def predicted(self, size: int) -> float | None:
        """Seconds to the first clause, given what is in flight and what waits at its server, where
        that is known; None: nothing measured, or not lately (see `Latency.fade`); infinite: most of
        what was tried never came to one.
        """
        median = self.latency.first_clause(size).quantile(0.5)
        if median is None:
            return None
        return behind(under_load(median, self._in_flight), self._waiting)

    _waiting = 0

    def queued(self, waiting: int) -> None:
        """Its server has told how many requests wait there, whoever's they are."""
        if waiting != self._waiting:
            self._waiting = waiting
            self._told()

    def state(self, now: float) -> EndpointState:
        return EndpointState(
            connection=self.name, breaker=self.breaker.state(now), in_flight=self.in_flight
        )

    def __repr__(self) -> str:
        times = self.latency.first_word(0)
        p50, p95 = times.quantile(0.5), times.quantile(0.95)
        known = "unmeasured" if p50 is None or p95 is None else f"p50 {p50:.3f} s p95 {p95:.3f} s"
        return f"Endpoint({self.name}, {known}, {self.in_flight} in flight, {self.breaker!r})"


Event = Chunk | Failure | None
"""What an attempt tells its reply: a chunk, a failure, or None at the end of its stream."""


class Mailbox:
    """What the attempts of one reply tell it, in order of arrival. Bounded: a reader that is slow
    slows the attempts down.
    """

    def __init__(self, clock: Clock, limit: int = 256) -> None:
        self._clock, self._limit = clock, limit
        self._items: deque[tuple[Attempt, Event]] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._timer: Timer | None = None
        self._timer_at = 0.0
        self._room = asyncio.Event()

    def post(self, attempt: "Attempt", event: Event) -> bool:
        """False: it is full, and `room` is to be awaited before the next."""
        self._items.append((attempt, event))
        self._wake()
        if len(self._items) < self._limit:
            return True
        self._room.clear()
        return False

    async def room(self) -> None:
        await self._room.wait()

    async def get(self, until: float) -> "tuple[Attempt, Event] | None":
        """The next event; None once the clock has reached `until` without one."""
        while not self._items:
            if not self._wake_by(until):
                return None
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        event = self._items.popleft()
        if len(self._items) == self._limit // 2:
            self._room.set()
        return event

    def close(self) -> None:
        """Nobody reads any more."""
        if self._timer:
            self._timer.cancel()

    def _wake_by(self, until: float) -> bool:
        """One timer for many waits, since their ends move on with each chunk; early, it looks.

        False: it is too late to wait.
        """
        if self._timer and self._timer_at <= until:
            return True
        if until <= self._clock.now():
            return False
        if self._timer:
            self._timer.cancel()
        self._timer, self._timer_at = self._clock.call_at(until, self._on_timer), until
        return True

    def _on_timer(self) -> None:
        self._timer = None
        self._wake()

    def _wake(self) -> None:
        if self._reader and not self._reader.done():
            self._reader.set_result(None)


class Attempt:
    """One try. Reports what it learns to its endpoint's latency and breaker, each fact once."""

    def __init__(
        self,
        endpoint: Endpoint,
        request: ChatRequest,
        *,
        role: Role,
        size: int,
        hedge_after: float,
        silent_after: float,
        mailbox: Mailbox,
        clock: Clock,
    ) -> None:
        self.endpoint, self.role, self.size = endpoint, role, size
        self._request, self._mailbox, self._clock = request, mailbox, clock
        self._generation = endpoint.breaker.generation
        self.started_at = clock.now()
        self.hedge_at = self.started_at + (0.0 if self._is_asked_again() else hedge_after)
        endpoint.unanswered = (request.session_id, self.hedge_at)
        self.silent_at = self.started_at + silent_after
        self.first_word_at: float | None = None
        self.useful_at = self.started_at
        """When the latest useful chunk came."""
        self.first_clause_at: float | None = None
        self.predicted = endpoint.predicted(size)
        self.characters = self.given = 0
        self.heard = False
        self._largest_gap = 0.0
        self._blank = ""
        self._finish_reason: str | None = None
        self._usage: Usage | None = None
        self.is_late = self.is_loading = False
        self.failure: Failure | None = None
        self._detached = False
        endpoint.in_flight += 1
        self._task = asyncio.create_task(self._pump(), name=f"attempt {endpoint.name}")
        # Not a `finally` of the task: one that is cancelled before its first step runs none of it.
        self._task.add_done_callback(self._ended)

    @property
    def name(self) -> str:
        return self.endpoint.name

    def _is_asked_again(self) -> bool:
        """Whether the same caller has waited for this endpoint long enough just now, for a question
        that is taken back because their turn was not over: they are not to wait once more.
        """
        session, overdue_at = self.endpoint.unanswered
        since = self.started_at - overdue_at
        return bool(session) and session == self._request.session_id and 0 <= since <= _AGAIN_WITHIN

    async def _pump(self) -> None:
        event: Event = None
        try:
            async with aclosing(self.endpoint.provider.stream(self._request)) as stream:
                async for chunk in stream:
                    told = self._metered(chunk)
                    if self._detached:
                        self.failure = failure_before_a_word(chunk)
                        if chunk.useful or self.failure:
                            return
                    elif not self._mailbox.post(self, told):
                        await self._mailbox.room()
        except Exception as error:
            event = self.failure = classify(error)
            if event.kind is FailureClass.BUG:
                _logger.exception("a bug at connection %s", self.name)
        self._mailbox.post(self, event)

    def _metered(self, chunk: Chunk) -> Chunk:
        """The chunk, noted. The space before the first word belongs to the word."""
        self.characters += len(chunk.text)
        if chunk.finish_reason:
            self._finish_reason = chunk.finish_reason
        if chunk.usage:
            self._usage = chunk.usage
        self.is_loading = self.is_loading or chunk.loading
        if not chunk.useful:
            if self.first_word_at is None:
                self._blank += chunk.text
            return chunk
        now = self._clock.now()
        if self.first_word_at is None:
            self.first_word_at, self.endpoint.unanswered = now, ("", 0.0)
            if not self.is_loading:  # else it says nothing of the next time
                self.endpoint.latency.record_first_word(self.size, now - self.started_at, now)
            if self._blank:
                chunk = chunk._replace(text=self._blank + chunk.text)
        else:
            self._largest_gap = max(self._largest_gap, now - self.useful_at)
        self.useful_at = now
        return chunk

    def _ended(self, _: asyncio.Task[None]) -> None:
        self.endpoint.in_flight -= 1

    def clause_given(self) -> None:
        """The first whole clause has come."""
        now = self.first_clause_at = self._clock.now()
        if not self.is_loading:
            self.endpoint.latency.record_first_clause(self.size, now - self.started_at, now)

    def finished(self) -> None:
        """It did what was asked. A first word alone is no such sign: streams break after it too."""
        if self._largest_gap:
            self.endpoint.latency.record_pause(self._largest_gap, self._clock.now())
        self.endpoint.breaker.succeeded(self._generation)

    def late(self) -> None:
        """No useful chunk by `silent_at`, or none to come soon. Counts against the endpoint unless
        it is loading its model; the attempt runs on.
        """
        self.is_late = True
        self.overtaken()

    def overtaken(self) -> None:
        """One that started later was first: once is chance, three times in a row is a silence."""
        self._tell_breaker(self.silence)

    @property
    def silence(self) -> Failure:
        """What it means that no word has come."""
        return LOADING if self.is_loading else SILENT

    def failed(self, failure: Failure) -> None:
        """It ended badly, or was given up on for what it did."""
        now, latency = self._clock.now(), self.endpoint.latency
        if failure.consequence.breaker != "never" and self.first_word_at is None:
            latency.record_failure(self.size, now)
        if failure.kind is FailureClass.DRIPPING:
            latency.record_no_clause(self.size, now - self.started_at, now)
        if failure.kind in {FailureClass.DRIPPING, FailureClass.STALLED}:
            latency.record_stall(now - self.useful_at, now)
        if not (self.is_late and failure.consequence.breaker == "counts"):  # counted already
            self._tell_breaker(failure)

    def cut(self) -> None:
        """Ended by us. A wait without a word is kept as "at least this long"."""
        if self.first_word_at is None and not self.is_loading:
            now = self._clock.now()
            self.endpoint.latency.record_at_least(self.size, now - self.started_at, now)

    def event(self, outcome: str, failure: Failure | None) -> AttemptEvent:
        connection = self.endpoint.connection
        return AttemptEvent(
            connection=connection.name,
            connection_id=connection.id,
            pool=connection.pool,
            model=connection.model_name,
            provider=connection.provider,
            server=self.endpoint.server,
            role=self.role,
            outcome=outcome,
            failure=failure,
            started_at=self.started_at,
            first_word=self._since_start(self.first_word_at),
            first_clause=self._since_start(self.first_clause_at),
            predicted=None if self.predicted == math.inf else self.predicted,
            largest_gap=self._largest_gap,
            duration=self._clock.now() - self.started_at,
            characters=self.characters,
            given=self.given,
            heard=self.heard,
            finish_reason=self._finish_reason,
            usage=self._usage,
            price=self.endpoint.price,
        )

    def _since_start(self, moment: float | None) -> float | None:
        return None if moment is None else moment - self.started_at

    def cancel(self) -> None:
        """Stop it; the provider closes the connection, so that the server stops generating."""
        self._task.cancel()

    def detach(self) -> None:
        """Nobody waits for its words any more; its first shows whether its endpoint is well."""
        self._detached = True

    def when_done(self, callback: "Callable[[Attempt], None]") -> None:
        self._task.add_done_callback(lambda _: callback(self))

    async def wait(self) -> None:
        """Until its last byte, and its stream is closed. Raises nothing of the attempt's."""
        await asyncio.wait([self._task])

    def _tell_breaker(self, failure: Failure) -> None:
        self.endpoint.breaker.failed(failure, self._clock.now(), self._generation)
