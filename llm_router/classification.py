"""Recognises the class of a failure in the error that a provider raised."""

import re

from llm_router.errors import BrokenStreamError, StatusError, UnreachableError
from llm_router.failures import Failure, FailureClass


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
