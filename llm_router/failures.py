"""Failure classes: how each is recognised in a server's error, and what follows from it."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from llm_router.errors import BrokenStreamError, StatusError, UnreachableError
from llm_router.types import Chunk


class FailureClass(StrEnum):
    """The closed set of ways in which an attempt can fail."""

    UNREACHABLE = "unreachable"
    OVERLOADED = "overloaded"
    RATE_LIMITED = "rate limited"
    OUT_OF_CREDIT = "out of credit"
    REJECTED_KEY = "rejected key"
    MODEL_MISSING = "model missing"
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
Breaking = Literal["counts", "rests", "opens long", "opens until changed", "never"]


@dataclass(frozen=True, slots=True)
class Consequence:
    """The consequence of a failure: which endpoints may be asked next (`next`), what the breaker of
    the failed endpoint does, and whether an operator has to act.
    """

    next: Next
    breaker: Breaking
    tell_operator: bool = False


CONSEQUENCES: dict[FailureClass, Consequence] = {
    FailureClass.UNREACHABLE: Consequence("any", "counts"),
    FailureClass.OVERLOADED: Consequence("any", "counts"),
    FailureClass.RATE_LIMITED: Consequence("any", "rests"),
    FailureClass.OUT_OF_CREDIT: Consequence("any", "opens long", tell_operator=True),
    FailureClass.REJECTED_KEY: Consequence("any", "opens until changed", tell_operator=True),
    FailureClass.MODEL_MISSING: Consequence("any", "opens until changed", tell_operator=True),
    FailureClass.TOO_LONG: Consequence("longer context", "never"),
    FailureClass.BAD_REQUEST: Consequence("another kind", "never"),
    FailureClass.REFUSED_CONTENT: Consequence("by setting", "never"),
    FailureClass.SILENT: Consequence("any", "counts"),
    FailureClass.LOADING: Consequence("any", "never"),
    FailureClass.STALLED: Consequence("any", "counts"),
    FailureClass.DRIPPING: Consequence("any", "counts"),
    FailureClass.BROKEN_STREAM: Consequence("any", "counts"),
    FailureClass.EMPTY: Consequence("any", "counts"),
    FailureClass.CANCELLED: Consequence("none", "never"),
    FailureClass.BUG: Consequence("any", "counts", tell_operator=True),
}

ADVICE: dict[FailureClass, str] = {
    FailureClass.UNREACHABLE: "is the server running, and is base_url right?",
    FailureClass.OUT_OF_CREDIT: "top up the account, or deactivate the connection",
    FailureClass.REJECTED_KEY: "check api_key",
    FailureClass.MODEL_MISSING: "check model_name against the models the server lists; an Ollama"
    " must have pulled it",
    FailureClass.TOO_LONG: "set context_length, so that it is not asked what it cannot hold",
    FailureClass.LOADING: "wait until the model is loaded, and have the server keep it",
    FailureClass.BUG: "this is a fault in the software: please report it with its traceback",
}
"""The remedy for each failure class that a person can do something about."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A classified failure, fit to be shown: `reason` holds no key and no caller's words."""

    kind: FailureClass
    reason: str
    retry_after: float | None = None

    @property
    def consequence(self) -> Consequence:
        return CONSEQUENCES[self.kind]

    @property
    def advice(self) -> str:
        """The remedy for a person; empty where there is none."""
        return ADVICE.get(self.kind, "")

    def __str__(self) -> str:
        return f"{self.kind} ({self.reason})" + (f": {self.advice}" if self.advice else "")


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_INSIDE_200 = 0
_BY_WORDS: tuple[tuple[FailureClass, frozenset[int], re.Pattern[str]], ...] = (
    # Servers disagree on the status for these classes, so their wording is matched first. The order
    # matters: a rate limit that mentions the billing page is still a rate limit.
    (
        FailureClass.OUT_OF_CREDIT,
        frozenset({_INSIDE_200, 400, 403, 429}),
        _words(r"insufficient.?(quota|balance|credit|funds)|billing.?(hard.?limit|not.?active)"),
    ),
    (
        FailureClass.RATE_LIMITED,
        frozenset({_INSIDE_200, 429}),
        _words(r"rate.?limit|too many requests|per minute|(retry|try again) in \d"),
    ),
    (
        FailureClass.OUT_OF_CREDIT,
        frozenset({_INSIDE_200, 400, 403, 429}),
        _words(r"credit balance|billing|payment|budget.{0,12}exceeded"),
    ),
    (
        FailureClass.TOO_LONG,
        frozenset({_INSIDE_200, 400, 413, 422, 500}),
        _words(
            r"context.?(length|window|size|limit)|maximum (context|model length|prompt length)|"
            r"\b(prompt|input|request|message)s?\b.{0,40}too (long|large)|"
            r"too many (input |prompt )?tokens|"
            r"exceed\w* .{0,40}(tokens|context|token limit)|token count .{0,20}exceed|n_ctx|"
            r"reduce the length|input length should be|"
            r"`inputs` (tokens \+ `max_new_tokens` must be|must have less than)"
        ),
    ),
    (
        FailureClass.REFUSED_CONTENT,
        frozenset({_INSIDE_200, 400, 403}),
        _words(
            r"content.?(filter|policy|management|exists.risk)|responsible.?ai|\bsafety\b|"
            r"usage polic|requires moderation|\bflagged\b|inappropriate content|"
            r"data_inspection_failed"
        ),
    ),
    (
        FailureClass.MODEL_MISSING,
        frozenset({_INSIDE_200, 400, 403}),
        _words(
            r"model.{0,60}(not.?found|not.?exist|decommissioned|no longer (supported|available))|"
            r"model_not_available|access to (the )?model|"
            r"(unknown|invalid|no such).?model|not a valid model"
        ),
    ),
    (
        FailureClass.REJECTED_KEY,
        frozenset({_INSIDE_200, 400}),
        _words(
            r"(invalid|incorrect|expired).{0,12}api.?key|"
            r"api.?key.{0,12}(not valid|invalid|expired|missing)|"
            r"\b(authentication.?error|unauthorized|unauthenticated)\b|"
            r"no.?connected.?db"  # LiteLLM's proxy without a database of keys
        ),
    ),
    (
        # By a 429 too: Mistral, Moonshot and TGI report their own load with it, not our limit.
        FailureClass.OVERLOADED,
        frozenset({_INSIDE_200, 429}),
        _words(r"overload|capacity|queue.{0,20}full|unavailable"),
    ),
)
_BY_STATUS = {
    _INSIDE_200: FailureClass.BROKEN_STREAM,
    401: FailureClass.REJECTED_KEY,
    402: FailureClass.OUT_OF_CREDIT,
    403: FailureClass.REJECTED_KEY,
    404: FailureClass.MODEL_MISSING,
    408: FailureClass.OVERLOADED,  # from a gateway whose own server was too slow
    413: FailureClass.TOO_LONG,
    429: FailureClass.RATE_LIMITED,
}
_BAD_REQUEST = 400
_SERVER_ERROR = 500
_NO_STATUS = 600


def classify(error: BaseException) -> Failure:
    """Classifies an exception that a provider raised. Any unknown exception is a bug of ours."""
    match error:
        case StatusError():
            return Failure(_classify_status(error), str(error), error.retry_after)
        case UnreachableError():
            return Failure(FailureClass.UNREACHABLE, str(error))
        case BrokenStreamError():
            return Failure(FailureClass.BROKEN_STREAM, str(error))
    return Failure(FailureClass.BUG, type(error).__name__)


def _classify_status(error: StatusError) -> FailureClass:
    status = error.status or _status_inside_a_200(error.code)
    said = f"{error.code} {error.kind} {error.detail}"
    for kind, statuses, words in _BY_WORDS:
        if statuses & {error.status, status} and words.search(said):
            return kind
    asked_wrongly = _BAD_REQUEST <= status < _SERVER_ERROR
    otherwise = FailureClass.BAD_REQUEST if asked_wrongly else FailureClass.OVERLOADED
    return _BY_STATUS.get(status, otherwise)


def _status_inside_a_200(code: str) -> int:
    """Returns the status that an error event gives as its code, as vLLM, OpenRouter and Gemini do;
    0 if the code is no status.
    """
    status = int(code) if code.isascii() and code.isdigit() else _INSIDE_200
    return status if _BAD_REQUEST <= status < _NO_STATUS else _INSIDE_200


def failure_before_a_word(event: Chunk | Failure | None) -> Failure | None:
    """Returns the failure that an event without a useful chunk amounts to; None: no failure yet."""
    match event:
        case Failure():
            return event
        case None:
            return Failure(FailureClass.EMPTY, "ended without a word")
        case Chunk(finish_reason=None):
            return None
        case Chunk(finish_reason="content_filter"):
            return Failure(FailureClass.REFUSED_CONTENT, "the server's filter")
    return Failure(FailureClass.EMPTY, f"finished ({event.finish_reason}) without a word")
