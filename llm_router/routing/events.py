"""Observers are told frozen facts; they answer nothing and cannot reach in."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar, runtime_checkable

from llm_router.catalog.prices import Price
from llm_router.failures import Failure
from llm_router.types import Usage

_logger = logging.getLogger("llm_router")

_Facts = TypeVar("_Facts")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEvent:
    """One try has ended. Times in seconds from its start; None: it never came so far.

    `outcome` is `won`, `lost` (another was first), `cancelled`, or a failure class.
    """

    connection: str
    connection_id: str = ""
    """Empty for one that no store keeps."""
    pool: str = ""
    """Of its connection."""
    model: str = ""
    provider: str = ""
    server: str = ""
    """`host:port` of its address, without a password that may stand in it."""
    role: str
    outcome: str
    failure: Failure | None
    started_at: float = 0.0
    """On the router's clock."""
    first_word: float | None
    first_clause: float | None = None
    predicted: float | None = None
    """What was expected for `first_clause` when it started; None: nothing had been measured, or
    most of what was had failed."""
    largest_gap: float = 0.0
    """The longest wait between two useful chunks."""
    duration: float
    characters: int
    """Generated. What was not given out was paid for in vain."""
    given: int = 0
    """Characters given out."""
    heard: bool = False
    """Whether anything of it was given out, if only a tool call."""
    finish_reason: str | None = None
    usage: Usage | None = None
    """Tokens, as the server counted them; None: it did not say, or was cut off before it did."""
    price: Price | None = None
    """None: not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyEvent:
    """One reply has ended. `connection` gave the last words; empty: the last resort spoke.

    `first_word`, `first_clause` and `duration` are in seconds from the call; `took_over_from`
    names, in order, the connections that were asked before the one that answered; `wasted` counts
    characters generated and not given out; `tries` are the attempts that have ended, in the order
    in which they did.
    """

    session_id: str
    integration: str = ""
    """Empty: the request did not say for whom it was."""
    prompt_characters: int = 0
    deadline: float = 0.0
    """Seconds from the call by which something was to be said, whatever happened."""
    connection: str
    model: str
    started_at: float = 0.0
    """On the router's clock."""
    first_word: float | None
    first_clause: float | None = None
    duration: float = 0.0
    took_over_from: Sequence[str]
    attempts: int
    resumes: int
    last_resort: bool
    cancelled: bool
    words: int = 0
    """Parted by spaces."""
    characters: int
    wasted: int
    failures: Sequence[tuple[str, Failure]]
    unasked: Sequence[tuple[str, str]] = ()
    """Where nobody answered: the connections that were not asked, and why."""
    tries: Sequence[AttemptEvent] = ()

    @property
    def failed(self) -> bool:
        """Whether nothing was said at all: a reader of text got ReplyFailedError, which says why
        nobody answered, where a caller would have heard a phrase.
        """
        return self.last_resort and not (self.connection or self.characters)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointState:
    """How one connection is at the moment, for those who draw it over time."""

    connection: str
    breaker: Literal["closed", "open", "half-open"]
    in_flight: int


class Observer(Protocol):
    """Called on the loop, so it must return at once; what it raises is logged and dropped.

    `reply_ended` is called with the context variables of whoever asked, so that what it writes
    down stands under their trace.
    """

    def attempt_ended(self, event: AttemptEvent) -> None: ...

    def reply_ended(self, event: ReplyEvent) -> None: ...


@runtime_checkable
class Watcher(Protocol):
    """An observer that also draws the endpoints over time. The same rules hold for it."""

    def endpoints_are(self, states: Sequence[EndpointState]) -> None:
        """Told once a second, and at the end with nothing in flight."""


class LogObserver:
    """One line a reply; a warning for each failure, with what to do about it."""

    def attempt_ended(self, event: AttemptEvent) -> None:
        if event.failure is None:
            return
        level = logging.ERROR if event.failure.consequence.tell_operator else logging.WARNING
        _logger.log(level, "connection %s: %s", event.connection, event.failure)

    def reply_ended(self, event: ReplyEvent) -> None:
        if event.last_resort:
            reasons = [(name, str(failure.kind)) for name, failure in event.failures]
            said = "; ".join(f"{name}: {why}" for name, why in [*reasons, *event.unasked])
            end = "whoever asked was told so" if event.failed else "the last resort spoke"
            _logger.error("no connection could answer (%s): %s", said or "none", end)
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
            _tell(observer.attempt_ended, event)

    def reply_ended(self, event: ReplyEvent) -> None:
        for observer in self._observers:
            _tell(observer.reply_ended, event)

    def endpoints_are(self, states: Sequence[EndpointState]) -> None:
        for observer in self._observers:
            if isinstance(observer, Watcher):
                _tell(observer.endpoints_are, states)


def _tell(tell: Callable[[_Facts], None], facts: _Facts) -> None:
    try:
        tell(facts)
    except Exception:  # an observer's fault must not cost a word
        observer = getattr(tell, "__self__", tell)
        _logger.exception("observer %s failed", type(observer).__name__)
