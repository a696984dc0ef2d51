"""Failure classes, and what follows from each."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from llm_router.types import Chunk


class FailureClass(StrEnum):
    """The closed set of ways in which an attempt can fail."""

    UNREACHABLE = "unreachable"
    OVERLOADED = "overloaded"
    RATE_LIMITED = "rate limited"
    OUT_OF_CREDIT = "out of credit"
    REJECTED_KEY = "rejected key"
    MODEL_MISSING = "model missing"
    WRONG_ADDRESS = "wrong address"
    TOO_LONG = "request too long"
    BAD_REQUEST = "bad request"
    REFUSED_CONTENT = "refused content"
    SILENT = "silent"
    LOADING = "loading"
    STALLED = "stalled"
    DRIPPING = "dripping"
    BROKEN_STREAM = "broken stream"
    EMPTY = "empty"
    CANCELLED = "cancelled"
    BUG = "bug"


Next = Literal["any", "longer context", "another kind", "by setting", "none"]
Lacking = Literal["", "tools", "images"]
"""A part of a request that a server's model cannot take."""
Again = Literal["at once", "at once, then paused", "after a pause", "when told", "never"]
Breaking = Literal["counts", "rests", "opens long", "opens until changed", "never"]


@dataclass(frozen=True, slots=True)
class Consequence:
    """The consequence of a failure: which endpoints may be asked next (`next`), what the breaker of
    the failed endpoint does, when that endpoint may be asked again for the same reply if no other
    is well (`again`), and whether an operator has to act.
    """

    next: Next
    breaker: Breaking
    again: Again = "never"
    tell_operator: bool = False


CONSEQUENCES: dict[FailureClass, Consequence] = {
    FailureClass.UNREACHABLE: Consequence("any", "counts", "after a pause"),
    FailureClass.OVERLOADED: Consequence("any", "counts", "after a pause"),
    FailureClass.RATE_LIMITED: Consequence("any", "rests", "when told"),
    FailureClass.OUT_OF_CREDIT: Consequence("any", "opens long", tell_operator=True),
    FailureClass.REJECTED_KEY: Consequence("any", "opens until changed", tell_operator=True),
    FailureClass.MODEL_MISSING: Consequence("any", "opens until changed", tell_operator=True),
    # Not until changed: a gateway also answers 404 while the server behind it is away.
    FailureClass.WRONG_ADDRESS: Consequence("any", "opens long", tell_operator=True),
    FailureClass.TOO_LONG: Consequence("longer context", "never"),
    FailureClass.BAD_REQUEST: Consequence("another kind", "never"),
    FailureClass.REFUSED_CONTENT: Consequence("by setting", "never"),
    FailureClass.SILENT: Consequence("any", "counts", "at once"),
    FailureClass.LOADING: Consequence("any", "never"),
    FailureClass.STALLED: Consequence("any", "counts", "at once, then paused"),
    FailureClass.DRIPPING: Consequence("any", "counts", "at once, then paused"),
    FailureClass.BROKEN_STREAM: Consequence("any", "counts", "at once, then paused"),
    FailureClass.EMPTY: Consequence("any", "counts", "at once"),
    FailureClass.CANCELLED: Consequence("none", "never"),
    FailureClass.BUG: Consequence("any", "counts", tell_operator=True),
}

_FIRST_PAUSE = 0.08
"""Seconds; each further pause is twice as long. Two failures cost a caller a quarter of a second,
and five last long enough for a server that restarts."""

ADVICE: dict[FailureClass, str] = {
    FailureClass.UNREACHABLE: "is the server running, and is base_url right?",
    FailureClass.OUT_OF_CREDIT: "top up the account, or deactivate the connection",
    FailureClass.REJECTED_KEY: "check api_key",
    FailureClass.MODEL_MISSING: "check model_name against the models the server lists; an Ollama"
    " must have pulled it",
    FailureClass.WRONG_ADDRESS: "base_url leads to no API that serves this; set it to the address"
    " of the server's API, such as http://HOST:PORT/v1",
    FailureClass.TOO_LONG: "set context_length, so that it is not asked what it cannot hold",
    FailureClass.LOADING: "wait until the model is loaded, and have the server keep it",
    FailureClass.BUG: "this is a fault in the software: please report it with its traceback",
}
"""The remedy for each failure class that a person can do something about."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A classified failure, fit to be shown: it holds no key and no caller's words.

    `said`: the server's own sentence, for operators. `cure`: the remedy, where more is known of it
    than the class says. `is_of_the_model`: the server objected to what depends on its model and its
    set-up, such as a parameter, so another model may accept the request, even at the same server.
    """

    kind: FailureClass
    reason: str
    retry_after: float | None = None
    said: str = ""
    cure: str = ""
    is_of_the_model: bool = False
    lacks: Lacking = ""
    """A part of requests that the server cannot take."""
    refuses: Lacking = ""
    """A part of this request that the server does not take, whatever it takes in others."""
    context: int | None = None
    """Tokens that the server takes, where a refusal says so."""
    is_final: bool = False
    """Whether the same request would fail at this endpoint again, whatever its class says."""

    @property
    def may_repeat(self) -> bool:
        """Whether the same endpoint may be asked again for the same reply."""
        return self.consequence.again != "never" and not self.is_final

    @property
    def asks_for_less(self) -> bool:
        """Whether the same endpoint may answer a request that is reduced."""
        return bool(self.lacks or self.refuses) or self.kind is FailureClass.TOO_LONG

    @property
    def consequence(self) -> Consequence:
        return CONSEQUENCES[self.kind]

    @property
    def advice(self) -> str:
        """The remedy for a person; empty where there is none."""
        return self.cure or ADVICE.get(self.kind, "")

    def __str__(self) -> str:
        parts = (f"{self.kind} ({self.explanation})", self.advice)
        return ": ".join(part for part in parts if part)

    @property
    def explanation(self) -> str:
        """The reason, with the server's own sentence."""
        return f"{self.reason}: {self.said}" if self.said else self.reason


SAID_NOTHING = Failure(FailureClass.EMPTY, "ended without a word")
"""The failure of a stream that ended in good order with no chunk at all.

Only an LLM object of a program's own does that: servers send at least the end of their reply.
"""
_WHOLE = frozenset({"stop", "end_turn", "eos", "eos_token", "stop_sequence"})
"""Finish reasons with which a model ended its reply by itself."""


def is_silent_answer(event: Chunk | Failure | None, *, may_be_silent: bool) -> bool:
    """Returns whether an event ends a reply that is empty on purpose; see `may_be_silent`.

    A reply that was cut off, filtered or lost its tool call is empty by accident.
    """
    has_ended = event.finish_reason in _WHOLE if isinstance(event, Chunk) else event is None
    return may_be_silent and has_ended


def pause_before_again(
    failure: Failure, failed_before: int, *, spoke: bool, time_left: float
) -> float | None:
    """Returns the seconds after which the same endpoint may be asked again for the same reply.

    None: it may not. `failed_before`: its failures in a row without a word, before this one.
    `spoke`: this one came after some words. A server that names a time (Retry-After) within
    `time_left` is not asked before.
    """
    named = failure.retry_after
    if named is not None and named >= time_left:
        named = None
    if not failure.may_repeat:
        return None
    pause: float = _FIRST_PAUSE * 2**failed_before
    match failure.consequence.again:
        case "when told":
            return None if named is None else max(named, pause)
        case "at once":
            pause = 0.0
        case "at once, then paused":
            pause = pause / 2 if failed_before else 0.0
        case "after a pause":
            pause = 0.0 if spoke else pause
    return max(named or 0.0, pause)


def failure_before_a_word(
    event: Chunk | Failure | None, *, may_be_silent: bool = False
) -> Failure | None:
    """Returns the failure that an event without a useful chunk amounts to; None: no failure.

    `may_be_silent`: an empty reply is an answer to this request (`ChatRequest.may_be_silent`).
    """
    if is_silent_answer(event, may_be_silent=may_be_silent):
        return None
    match event:
        case Failure():
            return event
        case None:
            return SAID_NOTHING
        case Chunk(finish_reason=None):
            return None
        case Chunk(finish_reason="content_filter"):
            return Failure(FailureClass.REFUSED_CONTENT, "the server's filter")
    return Failure(FailureClass.EMPTY, f"finished ({event.finish_reason}) without a word")
