"""Attempt: one metered try on one endpoint, in flight until its last byte."""

import asyncio
import logging
import math
from collections.abc import Callable
from contextlib import aclosing
from typing import Literal

from llm_router.classification import classify
from llm_router.clock import Clock
from llm_router.errors import BrokenStreamError
from llm_router.failures import (
    Failure,
    FailureClass,
    failure_before_a_word,
    is_silent_answer,
)
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.events import AttemptEvent
from llm_router.routing.mailbox import Event, Mailbox
from llm_router.types import ChatRequest, Chunk, Usage

_logger = logging.getLogger("llm_router")

SILENT = Failure(FailureClass.SILENT, "no word by the deadline")
LOADING = Failure(FailureClass.LOADING, "its model is not in memory yet")
_MOST_SPACE = 100
"""Characters of white space before the first word that are given out with it."""
_REPEATED_WITHIN = 1.0
"""Seconds within which a request of the same session counts as the same question once more."""

Role = Literal["first", "hedge", "failover", "retry", "resume", "trial"]
"""Reason for which an attempt was started. `retry`: its endpoint was asked before, and no other is
well. `trial`: the probe of a half-open breaker, sent beside
the first attempt."""


class Attempt:
    """A try. Reports its findings to the endpoint's latency and breaker, each fact once.

    Runs as a task of its own from the moment it is made. Its maker must `cancel` it or let it
    end, and `wait` for it; `Draining` does that for attempts that no reply reads any more.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        request: ChatRequest,
        *,
        role: Role,
        size: int,
        hedge_after: float,
        silent_after: float,
        again_after: float = math.inf,
        most_hidden: float = math.inf,
        mailbox: "Mailbox[Attempt]",
        clock: Clock,
    ) -> None:
        self.endpoint = endpoint
        self.role = role
        self.size = size
        self.request = request
        self._mailbox = mailbox
        self._clock = clock
        self._generation = endpoint.breaker.generation
        self.started_at = clock.now()
        self.hedge_at = self.started_at + (0.0 if self._is_repeated_question() else hedge_after)
        self.usual_until = self.started_at + hedge_after
        """Time by which most of its endpoint's answers are here."""
        endpoint.unanswered = (request.session_id, self.hedge_at)
        self.silent_at = self.started_at + silent_after
        self.times_out_at = self.started_at + endpoint.connection.timeout
        self.again_at = self.started_at + again_after
        self.first_word_at: float | None = None
        self.has_answered = False
        """Whether it showed that its endpoint is well after its reply had stopped reading it."""
        self.useful_at = self.started_at
        """Time of the latest useful chunk."""
        self.first_clause_at: float | None = None
        self.predicted = endpoint.predicted(size)
        self.characters = 0
        """Generated so far."""
        self.given = 0
        """Characters that the reply gave out."""
        self.delivered = False
        """True if the reply gave out anything of it, if only a tool call."""
        self._hidden_left = most_hidden
        self._largest_gap = 0.0
        self._leading_space = ""
        self._finish_reason: str | None = None
        self._usage: Usage | None = None
        self.is_late = False
        self.is_loading = False
        self.called_at: float | None = None
        """Time of the latest piece of a tool call; None: none has begun."""
        self.failure: Failure | None = None
        self._is_detached = False
        endpoint.in_flight += 1
        self._task = asyncio.create_task(self._pump(), name=f"attempt {endpoint.name}")
        # Not a `finally` of the task: one that is cancelled before its first step runs none of it.
        self._task.add_done_callback(self._on_end)

    @property
    def name(self) -> str:
        return self.endpoint.name

    @property
    def progress_at(self) -> float:
        """Time of the latest useful chunk; for a reader of text, also of a piece of a tool call."""
        if self.called_at is None or self.request.speech:
            return self.useful_at
        return max(self.useful_at, self.called_at)

    def _is_repeated_question(self) -> bool:
        """Returns whether this session has just waited here in vain for nearly the same question.

        A voice turn that was not over yet is withdrawn and asked again. Its caller has waited for
        this endpoint once and must not wait as long a second time.
        """
        session, overdue_at = self.endpoint.unanswered
        since = self.started_at - overdue_at
        is_same = bool(session) and session == self.request.session_id
        return is_same and 0 <= since <= _REPEATED_WITHIN

    async def _pump(self) -> None:
        event: Event = None
        try:
            async with aclosing(self.endpoint.provider.stream(self.request)) as stream:
                async for chunk in stream:
                    metered = self._meter(chunk)
                    if self._is_detached:
                        if self._shows_health(chunk):
                            return
                    elif not self._mailbox.post(self, metered):
                        await self._mailbox.room()
        except Exception as error:  # the edge to a provider: any fault of it ends this try alone
            event = self.failure = classify(
                error, self.request.messages, self.endpoint.connection.secrets
            )
            if event.kind is FailureClass.BUG:
                _logger.exception("a bug at connection %s", self.name)
        self._mailbox.post(self, event)

    def _shows_health(self, chunk: Chunk) -> bool:
        """Returns whether a chunk shows that the endpoint is well, or that it is not."""
        silent = self.request.may_be_silent
        self.failure = failure_before_a_word(chunk, may_be_silent=silent)
        self.has_answered = chunk.useful or is_silent_answer(chunk, may_be_silent=silent)
        return self.has_answered or self.failure is not None

    def _meter(self, chunk: Chunk) -> Chunk:
        """Records a chunk's time, length and usage; returns it, white space before the first word
        joined to that word.
        """
        self.characters += len(chunk.text)
        if chunk.finish_reason:
            self._finish_reason = chunk.finish_reason
        if chunk.usage:
            self._usage = chunk.usage
        self.is_loading = self.is_loading or chunk.loading
        if chunk.calling:
            self.called_at = self._clock.now()
        useful = chunk.useful
        if chunk.reasoning or chunk.tool_calls or not useful:
            self._check_hidden(chunk, useful=useful)
        if not useful:
            if self.first_word_at is None:
                self._leading_space = (self._leading_space + chunk.text)[:_MOST_SPACE]
            return chunk
        now = self._clock.now()
        if self.first_word_at is None:
            self.first_word_at = now
            self.endpoint.unanswered = ("", 0.0)
            if not self.is_loading:  # a load says nothing about the next time
                self.endpoint.latency.record_first_word(self.size, now - self.started_at, now)
            if self._leading_space:
                chunk = chunk._replace(text=self._leading_space + chunk.text)
        else:
            self._largest_gap = max(self._largest_gap, now - self.progress_at)
        self.useful_at = now
        return chunk

    def _check_hidden(self, chunk: Chunk, *, useful: bool) -> None:
        """Raises BrokenStreamError for a server that sends more than a reply can be made of.

        An empty chunk counts as one character, so that a flood of them ends, too.
        """
        arguments = sum(len(call.arguments) for call in chunk.tool_calls)
        self._hidden_left -= len(chunk.reasoning) + arguments + (not useful) * (1 + len(chunk.text))
        if self._hidden_left < 0:
            raise BrokenStreamError("the answer holds more reasoning than is waited for")

    def _on_end(self, _: asyncio.Task[None]) -> None:
        self.endpoint.in_flight -= 1

    # ── What its reply makes of it ───────────────────────────────────────────────────────────────

    def clause_given(self) -> None:
        """Records that its first whole clause was given out now."""
        now = self._clock.now()
        self.first_clause_at = now
        if not self.is_loading:
            self.endpoint.latency.record_first_clause(self.size, now - self.started_at, now)

    def finished(self) -> None:
        """Records a success: the stream was whole.

        A first word alone does not count as one, because streams break after it too.
        """
        if self._largest_gap:
            self.endpoint.latency.record_pause(self._largest_gap, self._clock.now())
        self.endpoint.breaker.succeeded(self._generation)

    def late(self) -> None:
        """Records that no useful chunk came by `silent_at`, or that none will come soon.

        Counts against the endpoint unless it is loading its model. The attempt runs on.
        """
        self.is_late = True
        self.overtaken()

    def overtaken(self) -> None:
        """Records that an attempt that started later was first.

        The breaker counts it as a silence: once is chance, three times in a row opens it.
        """
        self._report_to_breaker(self.silence)

    @property
    def silence(self) -> Failure:
        """The failure that the lack of a word amounts to: LOADING or SILENT."""
        return LOADING if self.is_loading else SILENT

    def failed(self, failure: Failure) -> None:
        """Records that it ended badly, or was given up because of what it did."""
        now = self._clock.now()
        latency = self.endpoint.latency
        if failure.consequence.breaker != "never" and self.first_word_at is None:
            latency.record_failure(self.size, now)
        if failure.kind is FailureClass.DRIPPING:
            latency.record_no_clause(self.size, now - self.started_at, now)
        if failure.kind in {FailureClass.DRIPPING, FailureClass.STALLED}:
            latency.record_stall(now - self.progress_at, now)
        if not (self.is_late and failure.consequence.breaker == "counts"):  # counted already
            self._report_to_breaker(failure)

    def cut(self) -> None:
        """Records that the router ended it. A wait without a word is stored as "at least this
        long".
        """
        if self.first_word_at is None and not self.is_loading:
            now = self._clock.now()
            self.endpoint.latency.record_at_least(self.size, now - self.started_at, now)

    def _report_to_breaker(self, failure: Failure) -> None:
        self.endpoint.breaker.failed(failure, self._clock.now(), self._generation)

    def event(self, outcome: str, failure: Failure | None) -> AttemptEvent:
        return self.endpoint.attempt_event(
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
            delivered=self.delivered,
            finish_reason=self._finish_reason,
            usage=self._usage,
        )

    def _since_start(self, moment: float | None) -> float | None:
        return None if moment is None else moment - self.started_at

    # ── Its task ─────────────────────────────────────────────────────────────────────────────────

    def cancel(self) -> None:
        """Cancels it; the provider closes the HTTP stream, so that the server stops generating."""
        self._task.cancel()

    def detach(self) -> None:
        """Stops reporting to the mailbox. It ends at its first word, which shows that its endpoint
        is well, or at its first failure.
        """
        self._is_detached = True

    def when_done(self, callback: "Callable[[Attempt], None]") -> None:
        self._task.add_done_callback(lambda _: callback(self))

    async def wait(self) -> None:
        """Waits until its stream is closed. Raises nothing that the attempt raised."""
        await asyncio.wait([self._task])
