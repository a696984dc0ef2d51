"""Writes every attempt to the usage log, beside the calls."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Protocol

from llm_router.catalog.prices import NO_USAGE
from llm_router.clock import Clock, SystemClock
from llm_router.periodic import OutageLog, PeriodicTask
from llm_router.routing.events import AttemptEvent, ReplyEvent
from llm_router.store.database import Database
from llm_router.store.usage import UsageLog, UsageRecord

_logger = logging.getLogger("llm_router")

WINDOW = 1.0
"""Seconds for which attempts are gathered at most, and so what a killed process may lose. A write
that failed is repeated after the same time."""
_BATCH = 500
"""Attempts in one write. As many are written before the window ends."""
_BOUND = 20_000
"""Attempts that wait at most while the log cannot be written."""
_STOP_WITHIN = 5.0


class UsageSink(Protocol):
    """The part of `store.usage.UsageLog` that an observer needs."""

    async def append(self, attempts: Sequence[UsageRecord], *, again: bool = False) -> None:
        """Adds the attempts, all or none. `again`: they may have been added already.

        Raises StoreError.
        """


class UsageObserver:
    """An observer that records usage, from `start` to `aclose`; one for each router.

    The attempts of a reply are written within `WINDOW` seconds of its end. A process that is killed
    loses as much, and one that is closed loses nothing. While the log cannot be written, the last
    `bound` attempts wait in memory and older ones are dropped; both are logged.

    Tokens that no server has counted, such as those of a hedge that was cut off, are estimated from
    the characters of the prompt and of the answer, and marked as estimates.
    """

    def __init__(self, log: UsageSink, clock: Clock | None = None, *, bound: int = _BOUND) -> None:
        self._log = log
        self._clock = clock or SystemClock()
        self._waiting: deque[UsageRecord] = deque(maxlen=bound)
        self._batch: list[UsageRecord] = []
        self._again = False
        self._outage = OutageLog(
            "usage waits in memory until the usage log can be written again",
            "the usage log is written again",
        )
        self._task = PeriodicTask(
            self._write, self._clock, WINDOW, name="usage log", outage=self._outage
        )
        self.dropped = 0
        """Attempts dropped since the start."""

    def start(self) -> None:
        self._task.start(delay=WINDOW)

    async def aclose(self) -> None:
        """Ends the task and writes the rest, trying for at most 5 s. Logs what is lost."""
        await self._task.aclose()
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_WITHIN):
                while self._unwritten():
                    await self._task.step_once()
                    if self._outage.is_out:
                        await self._clock.sleep(WINDOW)
        if unwritten := self._unwritten():
            _logger.error("usage of %d attempts is lost: the log could not be written", unwritten)

    def attempt_ended(self, event: AttemptEvent) -> None:
        """Does nothing: the event of its reply contains the attempt."""

    def reply_ended(self, event: ReplyEvent) -> None:
        # The wall time at the zero of the router's clock.
        zero = self._clock.wall() - event.started_at - event.duration
        for record in _records(event, zero):
            if len(self._waiting) == self._waiting.maxlen:
                self._count_dropped()
            self._waiting.append(record)
        self._wake_for_batch()

    def _wake_for_batch(self) -> None:
        if len(self._waiting) >= _BATCH and not self._outage.is_out:
            self._task.wake()

    def _count_dropped(self) -> None:
        if not self.dropped:
            _logger.error("the usage log is too far behind: the oldest attempts are dropped")
        self.dropped += 1

    def _unwritten(self) -> int:
        return len(self._waiting) + len(self._batch)

    async def _write(self) -> None:
        """Writes one batch, if anything waits. Raises StoreError.

        A batch that failed is repeated as it was: it may have been written after all.
        """
        if not self._batch:
            size = min(_BATCH, len(self._waiting))
            self._batch = [self._waiting.popleft() for _ in range(size)]
        if not self._batch:
            return
        again = self._again
        self._again = True
        await self._log.append(self._batch, again=again)
        self._batch = []
        self._again = False
        if self._outage.is_out and self.dropped:
            _logger.warning("usage of %d attempts was dropped so far", self.dropped)
        self._outage.succeeded()
        self._wake_for_batch()


@asynccontextmanager
async def usage_logged(
    database: Database, clock: Clock | None = None
) -> AsyncIterator[UsageObserver]:
    """Yields an observer whose replies are in the usage log at the end of the block."""
    usage = UsageObserver(UsageLog(database), clock)
    usage.start()
    try:
        yield usage
    finally:
        await usage.aclose()


def _records(event: ReplyEvent, zero: float) -> Iterator[UsageRecord]:
    for attempt in event.tries:
        tokens, cost = attempt.charged(event.prompt_characters)
        yield UsageRecord(
            at=datetime.fromtimestamp(zero + attempt.started_at, UTC),
            connection_id=attempt.connection_id,
            connection_name=attempt.connection,
            model=attempt.model,
            pool=attempt.pool,
            integration=event.integration,
            api_key_id=event.api_key_id,
            assistant=event.assistant,
            session_id=event.session_id,
            reply_id=event.reply_id,
            role=attempt.role,
            outcome=attempt.outcome,
            delivered=attempt.delivered,
            ttft=attempt.first_word,
            ttfc=attempt.first_clause,
            duration=attempt.duration,
            silence_avoided=silence_avoided(attempt, event),
            tokens_in=tokens.prompt_tokens,
            tokens_out=tokens.completion_tokens,
            tokens_cached=tokens.cached_tokens,
            is_estimated=not (attempt.usage or tokens is NO_USAGE),
            cost=cost,
        )


def silence_avoided(attempt: AttemptEvent, reply: ReplyEvent) -> float | None:
    """Returns the seconds of silence that a failover, hedge or resume spared the caller.

    They run from its first word to the deadline, at which something would have been said in any
    case. None: the attempt replaced no failed one. An attempt that replaced a slow one counts
    nothing, since it is unknown for how long that one would have been silent.
    """
    failed = [e for e in reply.tries if e.failure and e.started_at <= attempt.started_at]
    if not attempt.delivered or attempt.first_word is None or attempt.role == "first" or not failed:
        return None
    asked_at = attempt.started_at if attempt.role == "resume" else reply.started_at
    waited = attempt.started_at + attempt.first_word - asked_at
    return max(0.0, reply.deadline - waited)
