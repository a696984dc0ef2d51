"""Events: frozen facts that observers receive. Observers return nothing and cannot interfere."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar, runtime_checkable
from uuid import uuid4

from llm_router.catalog.prices import Price, billable_usage
from llm_router.failures import Failure
from llm_router.types import Usage

_logger = logging.getLogger("llm_router")

_Facts = TypeVar("_Facts")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEvent:
    """The end of an attempt. Times in seconds from its start; None: it did not come that far.

    `outcome` is `won`, `lost` (another was first), `cancelled`, or a failure class.
    """

    connection: str
    connection_id: str = ""
    """Empty for a connection that is not stored."""
    pool: str = ""
    """Pool of its connection."""
    model: str = ""
    provider: str = ""
    server: str = ""
    """`host:port` of its address, without any password in it."""
    role: str
    outcome: str
    failure: Failure | None
    started_at: float = 0.0
    """On the router's clock."""
    first_word: float | None
    first_clause: float | None = None
    predicted: float | None = None
    """The expected `first_clause` when it started; None: nothing had been measured, or most of the
    measured attempts had failed."""
    largest_gap: float = 0.0
    """The longest wait between two useful chunks."""
    duration: float
    characters: int
    """Generated. Characters not given out were paid for in vain."""
    given: int = 0
    """Characters given out."""
    delivered: bool = False
    """True if its reply gave out anything of it, if only a tool call: it won the race for the first
    word, though its outcome may be a failure that came later."""
    finish_reason: str | None = None
    usage: Usage | None = None
    """Tokens, as the server counted them; None: it sent no count, or was cut off before it did."""
    price: Price | None = None
    """None: unknown."""

    def charged(self, prompt_characters: int) -> tuple[Usage, float | None]:
        """Returns the tokens to charge for it, and their cost; None: no price is known.

        `prompt_characters`: those of the request, for a server that has not counted.
        """
        tokens = billable_usage(self.usage, self.failure, prompt_characters, self.characters)
        return tokens, self.price.cost(tokens) if self.price else None


def total_cost(costs: Iterable[float | None]) -> float | None:
    """Returns the sum of the costs that are known; None: none is."""
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyEvent:
    """The end of a reply. `connection` gave the last words; empty: the router's own phrase did.

    `first_word`, `first_clause` and `duration` are in seconds from the call. `took_over_from`
    names, in order, the connections that were asked before the one that answered. `wasted` counts
    characters generated and not given out. `tries` are the attempts that have ended, in order of
    their end.
    """

    reply_id: str = field(default_factory=lambda: uuid4().hex)
    """Its name in the usage log, and in what its client gets."""
    session_id: str
    integration: str = ""
    """Empty: the request named none."""
    api_key_id: str = ""
    """API key that it is counted for; empty: none."""
    assistant: str = ""
    """Assistant that has asked; empty: none."""
    prompt_characters: int = 0
    deadline: float = 0.0
    """Seconds from the call within which a first word, or an apology, was due."""
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
    """Separated by spaces."""
    characters: int
    wasted: int
    failures: Sequence[tuple[str, Failure]]
    unasked: Sequence[tuple[str, str]] = ()
    """The connections that were not asked, and why; filled in if every connection failed."""
    tries: Sequence[AttemptEvent] = ()

    @property
    def failed(self) -> bool:
        """True if nothing was given out: a reader of text got ReplyFailedError, which names the
        reasons, where a voice would have spoken a phrase.
        """
        return self.last_resort and not (self.connection or self.characters)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointState:
    """The present state of one connection, for observers that chart it over time."""

    connection: str
    breaker: Literal["closed", "open", "half-open"]
    in_flight: int


class Observer(Protocol):
    """Receives events. Called on the event loop, so it must return at once; an exception that it
    raises is logged and dropped.

    `reply_ended` runs with the context variables of the caller of `Router.stream`, so that what it
    records belongs to that caller's trace.
    """

    def attempt_ended(self, event: AttemptEvent) -> None: ...

    def reply_ended(self, event: ReplyEvent) -> None: ...


@runtime_checkable
class EndpointObserver(Protocol):
    """An observer that also charts the endpoints over time. The same rules hold for it."""

    def endpoints_sampled(self, states: Sequence[EndpointState]) -> None:
        """Receives the state of every endpoint once a second, and once more when the router closes,
        with nothing in flight.
        """


class LogObserver:
    """Logs one line for each reply, and a warning for each failure with what to do about it."""

    def attempt_ended(self, event: AttemptEvent) -> None:
        if event.failure is None:
            return
        level = logging.ERROR if event.failure.consequence.tell_operator else logging.WARNING
        _logger.log(level, "connection %s: %s", event.connection, event.failure)

    def reply_ended(self, event: ReplyEvent) -> None:
        if event.last_resort:
            reasons = [(name, str(failure.kind)) for name, failure in event.failures]
            said = "; ".join(f"{name}: {why}" for name, why in [*reasons, *event.unasked])
            end = "its reader got an error" if event.failed else "the last resort spoke"
            _logger.error("no connection could answer (%s): %s", said or "none", end)
            return
        first = "no word" if event.first_word is None else f"first word {event.first_word:.3f} s"
        over = f", took over from {', '.join(event.took_over_from)}" if event.took_over_from else ""
        how = " (cancelled)" if event.cancelled else ""
        _logger.info("%s answered, %s%s%s", event.connection or "no connection", first, over, how)


class Observers:
    """Passes each event to many observers; a fault in one harms neither the reply nor the rest."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    def attempt_ended(self, event: AttemptEvent) -> None:
        for observer in self._observers:
            _notify(observer.attempt_ended, event)

    def reply_ended(self, event: ReplyEvent) -> None:
        for observer in self._observers:
            _notify(observer.reply_ended, event)

    def endpoints_sampled(self, states: Sequence[EndpointState]) -> None:
        for observer in self._observers:
            if isinstance(observer, EndpointObserver):
                _notify(observer.endpoints_sampled, states)


def _notify(method: Callable[[_Facts], None], facts: _Facts) -> None:
    try:
        method(facts)
    except Exception:  # an observer's fault must not cost a word
        observer = getattr(method, "__self__", method)
        _logger.exception("observer %s failed", type(observer).__name__)
