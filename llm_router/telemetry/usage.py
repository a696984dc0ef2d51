"""Writes down every attempt in the usage log, beside the calls."""

import asyncio
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol
from uuid import uuid4

from llm_router.catalog.prices import NO_USAGE, billable_usage
from llm_router.clock import Clock, SystemClock
from llm_router.errors import StoreError
from llm_router.routing.events import AttemptEvent, ReplyEvent
from llm_router.store.usage import UsageRecord

_logger = logging.getLogger("llm_router")

WINDOW = 1.0
"""Seconds for which attempts are gathered, at most: what a process that is killed may lose."""
_BATCH = 500
"""Attempts that are written at once, and sooner than the window ends."""
_BOUND = 20_000
"""Attempts that wait while the database is away."""
_TRIED_AGAIN_AFTER = 1.0
_STOP_WITHIN = 5.0


class Log(Protocol):
    async def append(self, attempts: Sequence[UsageRecord], *, again: bool = False) -> None:
        """As `store.usage.UsageLog` does it."""


class UsageObserver:
    """An Observer; one for each process. Begin with `start`, and end with `aclose`.

    The attempts of a reply are noted when it has ended, and written within `WINDOW` seconds; so
    much is lost if the process is killed, and nothing if it is closed. While the log cannot be
    written, the last `bound` attempts wait, older ones are dropped, and both are logged.

    What no server counted, as of a hedge that was cut off, is estimated from the characters of the
    prompt and of the answer, and marked so.
    """

    def __init__(self, log: Log, clock: Clock | None = None, *, bound: int = _BOUND) -> None:
        self._log, self._clock = log, clock or SystemClock()
        self._waiting: deque[UsageRecord] = deque(maxlen=bound)
        self._batch: list[UsageRecord] = []
        self._again = self._is_away = False
        self._something, self._enough = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0
        """Attempts, since the start."""

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="usage log")

    async def aclose(self) -> None:
        """Write what is left, if the log takes it within a few seconds."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_WITHIN):
                while self._waiting or self._batch:
                    if not await self._write():
                        await self._clock.sleep(_TRIED_AGAIN_AFTER)
        if left := len(self._waiting) + len(self._batch):
            _logger.error("usage of %d attempts is lost: the log could not be written", left)

    def attempt_ended(self, event: AttemptEvent) -> None:
        """Nothing: its reply brings it along."""

    def reply_ended(self, event: ReplyEvent) -> None:
        # What the wall clock showed at the zero of the router's.
        zero = self._clock.wall() - event.started_at - event.duration
        for used in _attempts(event, zero):
            if len(self._waiting) == self._waiting.maxlen:
                self._drop()
            self._waiting.append(used)
        self._tell()

    def _tell(self) -> None:
        if self._waiting:
            self._something.set()
        if len(self._waiting) >= _BATCH:
            self._enough.set()

    def _drop(self) -> None:
        """The oldest leaves as the next one comes."""
        if not self.dropped:
            _logger.error("the usage log is too far behind: the oldest attempts are dropped")
        self.dropped += 1

    async def _run(self) -> None:
        while True:
            await self._something.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(WINDOW):
                    await self._enough.wait()
            while not await self._write():
                await self._clock.sleep(_TRIED_AGAIN_AFTER)
            self._something.clear()
            self._enough.clear()
            self._tell()

    async def _write(self) -> bool:
        """A batch that failed is tried again as it was: it may have been kept after all."""
        if not self._batch:
            some = range(min(_BATCH, len(self._waiting)))
            self._batch = [self._waiting.popleft() for _ in some]
        again, self._again = self._again, True
        try:
            await self._log.append(self._batch, again=again)
        except StoreError as error:
            if not self._is_away:
                _logger.warning("usage waits in memory until the log is back: %s", error)
            self._is_away = True
            return False
        self._batch, self._again = [], False
        if self._is_away:
            _logger.info("the usage log is back; %d attempts were dropped so far", self.dropped)
        self._is_away = False
        return True


def _attempts(event: ReplyEvent, zero: float) -> Iterator[UsageRecord]:
    reply_id = uuid4().hex
    for attempt in event.tries:
        tokens = billable_usage(
            attempt.usage, attempt.failure, event.prompt_characters, attempt.characters
        )
        yield UsageRecord(
            at=datetime.fromtimestamp(zero + attempt.started_at, UTC),
            connection_id=attempt.connection_id,
            connection_name=attempt.connection,
            model=attempt.model,
            pool=attempt.pool,
            integration=event.integration,
            session_id=event.session_id,
            reply_id=reply_id,
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
            cost=attempt.price.cost(tokens) if attempt.price else None,
        )


def silence_avoided(attempt: AttemptEvent, reply: ReplyEvent) -> float | None:
    """Seconds from the words of one that spoke in place of one that failed until the deadline, by
    when something would have been said in any case; None: it replaced nobody.

    A careful figure: where the other was but slower, nobody knows for how long it would have kept
    silent, and nothing is counted.
    """
    failed = [e for e in reply.tries if e.failure and e.started_at <= attempt.started_at]
    if not attempt.delivered or attempt.first_word is None or attempt.role == "first" or not failed:
        return None
    asked_at = attempt.started_at if attempt.role == "resume" else reply.started_at
    waited = attempt.started_at + attempt.first_word - asked_at
    return max(0.0, reply.deadline - waited)
