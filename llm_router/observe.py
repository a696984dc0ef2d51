"""Observers are told frozen facts; they answer nothing and cannot reach in."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from llm_router.failures import Failure

_logger = logging.getLogger("llm_router")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEvent:
    """One try has ended. Times in seconds from its start; None: it never came so far.

    `outcome` is `won`, `lost` (another was first), `cancelled`, or a failure class.
    """

    connection: str
    role: str
    outcome: str
    failure: Failure | None
    first_word: float | None
    duration: float
    characters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyEvent:
    """One reply has ended. `connection` gave the last words; empty: the last resort spoke.

    `first_word` is in seconds from the call; `took_over_from` names, in order, the connections that
    were asked before the one that answered; `wasted` counts characters generated and not given out.
    """

    session_id: str
    connection: str
    model: str
    first_word: float | None
    took_over_from: Sequence[str]
    attempts: int
    resumes: int
    last_resort: bool
    cancelled: bool
    characters: int
    wasted: int
    failures: Sequence[tuple[str, Failure]]


class Observer(Protocol):
    """Called on the loop, so it must return at once; what it raises is logged and dropped."""

    def attempt_ended(self, event: AttemptEvent) -> None: ...

    def reply_ended(self, event: ReplyEvent) -> None: ...


class LogObserver:
    """One line a reply; a warning for each failure, with what to do about it."""

    def attempt_ended(self, event: AttemptEvent) -> None:
        if event.failure is None:
            return
        level = logging.ERROR if event.failure.consequence.tell_operator else logging.WARNING
        _logger.log(level, "connection %s: %s", event.connection, event.failure)

    def reply_ended(self, event: ReplyEvent) -> None:
        if event.last_resort:
            said = "; ".join(f"{name}: {failure.kind}" for name, failure in event.failures)
            _logger.error("no connection could answer (%s): the last resort spoke", said or "none")
            return
        first = "no word" if event.first_word is None else f"first word {event.first_word:.3f} s"
        over = f", took over from {', '.join(event.took_over_from)}" if event.took_over_from else ""
        how = " (cancelled)" if event.cancelled else ""
        _logger.info("%s answered, %s%s%s", event.connection or "nobody", first, over, how)


class Observers:
    """Many told as one; a fault in one neither reaches the reply nor the others."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    def attempt_ended(self, event: AttemptEvent) -> None:
        for observer in self._observers:
            try:
                observer.attempt_ended(event)
            except Exception:  # an observer's fault must not cost a word
                _logger.exception("observer %s failed", type(observer).__name__)

    def reply_ended(self, event: ReplyEvent) -> None:
        for observer in self._observers:
            try:
                observer.reply_ended(event)
            except Exception:  # an observer's fault must not cost a word
                _logger.exception("observer %s failed", type(observer).__name__)
