"""Says what is wrong with a request for a chat completion, and why one failed."""

from collections.abc import Sequence

from llm_router.failures import Failure, FailureClass
from llm_router.gateway.errors import Problem
from llm_router.routing.events import ReplyEvent

_MOST_NAMES = 20
"""Models that the error for an unknown one lists."""
_LONGEST_NAME = 100
_NO_ANSWER = frozenset({FailureClass.SILENT, FailureClass.STALLED, FailureClass.LOADING})
_OF_THE_REQUEST = frozenset(
    {FailureClass.TOO_LONG, FailureClass.BAD_REQUEST, FailureClass.REFUSED_CONTENT}
)
_NONE = (
    "there is none: connections must be active, flagged for the key's integration (usually"
    " use_in_automation), of the key's pools, and its owner's, its team's or visible to everyone"
)
_RETRY_AFTER = 1
"""Seconds after which a reply that no connection could give is worth another try."""


class ChatProblem(Problem):
    """An error of a route below /v1: its `code` is a word that OpenAI's clients know, where there
    is one, and `param` names the field of the request; docs/gateway.md lists the codes.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        may_retry: bool = True,
    ) -> None:
        headers = {} if retry_after is None else {"Retry-After": f"{max(1.0, retry_after):.0f}"}
        if not may_retry:
            headers["x-should-retry"] = "false"
        super().__init__(status, code, message, headers, param=param)


def invalid(param: str, rule: str, code: str = "invalid_value") -> ChatProblem:
    """Returns the 400 for a field that breaks a rule; the value itself is not repeated."""
    return ChatProblem(400, code, f"{param}: {rule}", param=param)


def unknown_model(model: str, known: Sequence[str]) -> ChatProblem:
    """Returns the 404 that lists the models there are for this API key."""
    return _unknown("model", model, known)


def unknown_provider(provider: str, known: Sequence[str]) -> ChatProblem:
    """Returns the 404 that lists the connections there are for this API key."""
    return _unknown("provider", provider, known)


def _unknown(field: str, value: str, known: Sequence[str]) -> ChatProblem:
    more = len(known) - _MOST_NAMES
    listed = ", ".join(known[:_MOST_NAMES]) + (f" and {more:,} more" if more > 0 else "")
    there = f"there is: {listed}" if known else _NONE
    shown = value if len(value) <= _LONGEST_NAME else f"{value[:_LONGEST_NAME]}…"
    return ChatProblem(
        404, f"{field}_not_found", f"no {field} {shown!r} for this API key; {there}", param=field
    )


def failed(event: ReplyEvent) -> ChatProblem:
    """Returns the error for a reply of which no connection gave a word.

    A fault of the request itself is a 400: asking again would not help. Where servers failed, the
    router has asked again already, so clients that retry by themselves are asked not to.
    """
    failures = [failure for _, failure in event.failures]
    kinds = {failure.kind for failure in failures}
    reasons = [(name, str(failure)) for name, failure in event.failures]
    said = "; ".join(f"{name}: {reason}" for name, reason in [*reasons, *event.unasked])
    message = f"no connection could answer ({said or 'no connection is left'})"
    if kinds and kinds <= _OF_THE_REQUEST:
        return ChatProblem(400, _code_of_request(kinds), message, may_retry=False)
    if kinds == {FailureClass.RATE_LIMITED}:
        return ChatProblem(
            429, "rate_limit_exceeded", message, retry_after=_soonest(failures) or _RETRY_AFTER
        )
    if not kinds:
        return ChatProblem(503, "no_connection_free", message, retry_after=_RETRY_AFTER)
    if kinds <= _NO_ANSWER:
        return ChatProblem(504, "no_answer_in_time", message, may_retry=False)
    return ChatProblem(502, "no_connection_answered", message, may_retry=False)


def broken_off(event: ReplyEvent) -> ChatProblem:
    """Returns the error for a reply that began, and that no connection could finish."""
    said = "; ".join(f"{name}: {failure.kind}" for name, failure in event.failures)
    return ChatProblem(
        502,
        "reply_broken_off",
        f"the reply broke off after {event.duration:.1f} s, and no connection could finish it"
        f" ({said or 'its time ran out'}). Send the request again; if it happens often, test these"
        " connections",
        may_retry=False,
    )


def _code_of_request(kinds: set[FailureClass]) -> str:
    if kinds == {FailureClass.TOO_LONG}:
        return "context_length_exceeded"
    return "content_filter" if kinds == {FailureClass.REFUSED_CONTENT} else "request_refused"


def _soonest(failures: Sequence[Failure]) -> float | None:
    return min((f.retry_after for f in failures if f.retry_after is not None), default=None)
