"""Mailbox: the queue between the attempts of one reply and its single reader."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

from llm_router.clock import Clock, Timer
from llm_router.failures import Failure
from llm_router.types import Chunk

Event = Chunk | Failure | None
"""A report of an attempt: a chunk, a failure, or None at the end of its stream."""

Sender = TypeVar("Sender")
MORE_OF_A_CALL = Chunk(calling=True)
"""A chunk that says that more of a tool call has come, and is given to no reader."""
_MOST_CHARACTERS = 1 << 17
_LATE = 0.05
"""Seconds after which a timer counts as late: the event loop stood still, or had no processor."""
_CATCH_UP = 0.1
"""Seconds in which senders then read what has come meanwhile."""


class Mailbox(Generic[Sender]):
    """Holds events in order of arrival. Bounded: a slow reader slows the senders down.

    `limit` is the number of events at which senders pause, until half of them have been read; they
    also pause at `_MOST_CHARACTERS` of text.
    """

    def __init__(self, clock: Clock, limit: int = 256) -> None:
        self._clock = clock
        self._limit = limit
        self._items: deque[tuple[Sender, Event]] = deque()
        self._characters = 0
        self._reader: asyncio.Future[None] | None = None
        self._timer: Timer | None = None
        self._timer_at = 0.0
        self._room = asyncio.Event()

    def post(self, sender: Sender, event: Event) -> bool:
        """Adds an event. False: the mailbox is full, so await `room` before the next one."""
        self._items.append((sender, event))
        self._characters += _size(event)
        self._wake()
        if len(self._items) < self._limit and self._characters < _MOST_CHARACTERS:
            return True
        self._room.clear()
        return False

    async def room(self) -> None:
        """Waits until a full mailbox has been read down to half of its limit."""
        await self._room.wait()

    async def get(self, until: float) -> tuple[Sender, Event] | None:
        """Returns the next event, or None once the clock has reached `until` without one.

        An event that is already here is returned even if `until` has passed. Where the event loop
        stood still until after that time, senders have a moment more: their events may wait in it.
        """
        while not self._items:
            if not self._wake_by(until):
                return None
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        item = self._items.popleft()
        self._characters -= _size(item[1])
        is_half = len(self._items) <= self._limit // 2
        if is_half and self._characters <= _MOST_CHARACTERS // 2 and not self._room.is_set():
            self._room.set()
        return item

    def has_chunk_of(self, sender: Sender | None) -> bool:
        """Returns whether the next event is here already, and is a chunk of that sender."""
        return (
            bool(self._items)
            and self._items[0][0] is sender
            and isinstance(self._items[0][1], Chunk)
            and self._items[0][1] != MORE_OF_A_CALL
        )

    def close(self) -> None:
        """Cancels the timer; nothing is read after this."""
        if self._timer:
            self._timer.cancel()

    def _wake_by(self, until: float) -> bool:
        """Makes sure that a timer wakes the reader by `until`. False: that time has passed.

        One timer serves many waits, because each chunk moves their end further away. When it fires
        early, the reader checks the time and sets it again.
        """
        if self._timer and self._timer_at <= until:
            return True
        if until <= self._clock.now():
            return False
        if self._timer:
            self._timer.cancel()
        self._timer = self._clock.call_at(until, self._on_timer)
        self._timer_at = until
        return True

    def _on_timer(self) -> None:
        now = self._clock.now()
        if now - self._timer_at > _LATE:
            self._timer_at = now + _CATCH_UP
            self._timer = self._clock.call_at(self._timer_at, self._end_wait)
        else:
            self._end_wait()

    def _end_wait(self) -> None:
        self._timer = None
        self._wake()

    def _wake(self) -> None:
        if self._reader and not self._reader.done():
            self._reader.set_result(None)


def _size(event: Event) -> int:
    return len(event.text) + len(event.reasoning) if isinstance(event, Chunk) else 0
