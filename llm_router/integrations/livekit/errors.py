"""Translates the router's failures into LiveKit's errors."""

from collections.abc import Sequence

from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError, llm

from llm_router.failures import Failure, FailureClass

_STATUS: dict[FailureClass, int] = {
    FailureClass.OVERLOADED: 503,
    FailureClass.RATE_LIMITED: 429,
    FailureClass.OUT_OF_CREDIT: 402,
    FailureClass.REJECTED_KEY: 401,
    FailureClass.MODEL_MISSING: 404,
    FailureClass.TOO_LONG: 413,
    FailureClass.BAD_REQUEST: 400,
    FailureClass.REFUSED_CONTENT: 403,
}
"""The status that stands for a class; LiveKit retries none of the 4xx but 429."""
_TIMEOUTS = frozenset({FailureClass.SILENT, FailureClass.LOADING})


class ReplyError(llm.LLMError):
    """The event of a reply that no connection could give.

    `last_resort`: the last resort or a phrase spoke instead, or the program got the error. The
    events of single attempts lack it, and are recoverable.
    """

    last_resort: bool = True


def api_error(message: str, failures: Sequence[Failure]) -> APIError:
    """Returns the error of LiveKit's for a reply that failed in these ways.

    A failure that may be gone the next time is worth more than one that will not: an error is
    retryable if any of them is.
    """
    errors = [_single(message, failure) for failure in failures]
    if not errors:
        return APIConnectionError(message)
    return next((error for error in reversed(errors) if error.retryable), errors[-1])


def _single(message: str, failure: Failure) -> APIError:
    kind = failure.kind
    if status := _STATUS.get(kind):
        return APIStatusError(message, status_code=status)
    if kind in _TIMEOUTS:
        return APITimeoutError(message)
    return APIConnectionError(message, retryable=kind is not FailureClass.BUG)
