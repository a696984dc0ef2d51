"""Recognises the class of a failure in the error that a provider raised."""

import re
from collections.abc import Sequence

from llm_router.classification.lacking import lacking, refused
from llm_router.classification.redaction import operator_text
from llm_router.classification.words import ABILITIES, BY_WORDS, INSIDE_200, WAITS
from llm_router.errors import (
    AddressRefusedError,
    BrokenStreamError,
    StatusError,
    UnreachableError,
    WrongAddressError,
)
from llm_router.failures import Failure, FailureClass, Lacking
from llm_router.types import Message

_BY_STATUS = {
    INSIDE_200: FailureClass.BROKEN_STREAM,
    401: FailureClass.REJECTED_KEY,
    402: FailureClass.OUT_OF_CREDIT,
    403: FailureClass.REJECTED_KEY,
    404: FailureClass.MODEL_MISSING,
    405: FailureClass.WRONG_ADDRESS,
    408: FailureClass.OVERLOADED,  # from a gateway whose own server was too slow
    409: FailureClass.OVERLOADED,
    410: FailureClass.MODEL_MISSING,
    413: FailureClass.TOO_LONG,
    424: FailureClass.OVERLOADED,  # Bedrock, TGI: the model behind is not ready, or failed
    425: FailureClass.OVERLOADED,
    429: FailureClass.RATE_LIMITED,
    498: FailureClass.OVERLOADED,  # Groq: no capacity at this tier
    499: FailureClass.OVERLOADED,
}
_MAY_LACK = frozenset({FailureClass.BAD_REQUEST, FailureClass.OVERLOADED})
_NUMBER = re.compile(r"(?<![\d.])\d{1,3}(?:,\d{3})+(?![\d])|\d{3,8}")
_SMALLEST_CONTEXT = 512  # tokens
_BAD_REQUEST = 400
_TOO_MANY = 429
_NOT_FOUND = 404
_NO_SUCH_ROUTE = frozenset({404, 405})
_REDIRECTS = range(300, 400)
_SERVER_ERROR = 500
_NO_STATUS = 600


def classify(
    error: BaseException,
    messages: Sequence[Message] | None = None,
    secrets: Sequence[str] = (),
) -> Failure:
    """Classifies an exception that a provider raised. Any unknown exception is a bug of ours.

    With the request's `messages` the failure holds the server's own sentence, without what may be
    a caller's words and without the `secrets`; no messages, for a request that held no one's words.
    """
    match error:
        case WrongAddressError():
            return Failure(FailureClass.WRONG_ADDRESS, str(error), cure=error.cure)
        case StatusError():
            said = operator_text(error.detail, messages, (error.param,), secrets)
            kind = _classify_status(error)
            return Failure(
                kind, str(error), error.retry_after, said,
                is_of_the_model=kind is FailureClass.BAD_REQUEST and _names_an_ability(error),
                lacks=lacking(error) if kind in _MAY_LACK else "",
                refuses=_refused(error, kind),
                context=_context(error) if kind is FailureClass.TOO_LONG else None,
            )  # fmt: skip
        case UnreachableError():
            refused = isinstance(error, AddressRefusedError)
            return Failure(FailureClass.UNREACHABLE, str(error), cure=error.cure, is_final=refused)
        case BrokenStreamError():
            return Failure(FailureClass.BROKEN_STREAM, str(error))
    return Failure(FailureClass.BUG, type(error).__name__)


def is_no_route(error: StatusError) -> bool:
    """Returns whether a server says that it has no such route, rather than no such model."""
    if error.status == _NOT_FOUND and not (error.detail or error.code or error.kind):
        return True
    return error.status in _NO_SUCH_ROUTE and (
        _classify_status(error) is FailureClass.WRONG_ADDRESS
    )


def _context(error: StatusError) -> int | None:
    """Returns the tokens that the model takes: the smallest of the larger numbers in a sentence."""
    numbers = (int(number.replace(",", "")) for number in _NUMBER.findall(error.detail))
    return min((number for number in numbers if number >= _SMALLEST_CONTEXT), default=None)


def _refused(error: StatusError, kind: FailureClass) -> Lacking:
    """Returns the part to which a refusal objects; of a request that is too long, its pictures."""
    if kind is FailureClass.TOO_LONG:
        return "images"
    return refused(error) if kind in _MAY_LACK else ""


def _names_an_ability(error: StatusError) -> bool:
    return bool(error.param or ABILITIES.search(f"{error.code} {error.kind} {error.detail}"))


def _classify_status(error: StatusError) -> FailureClass:
    status = error.status or _status_inside_a_200(error.code)
    said = f"{error.code} {error.kind} {error.detail}"
    if status == _TOO_MANY and error.retry_after is not None:
        said += WAITS
    for kind, statuses, words in BY_WORDS:
        if statuses & {error.status, status} and words.search(said):
            return kind
    asked_wrongly = _BAD_REQUEST <= status < _SERVER_ERROR
    if status in _REDIRECTS:
        return FailureClass.WRONG_ADDRESS
    otherwise = FailureClass.BAD_REQUEST if asked_wrongly else FailureClass.OVERLOADED
    return _BY_STATUS.get(status, otherwise)


def _status_inside_a_200(code: str) -> int:
    """Returns the status that an error event gives as its code, as vLLM, OpenRouter and Gemini do;
    0 if the code is no status.
    """
    status = int(code) if code.isascii() and code.isdigit() else INSIDE_200
    return status if _BAD_REQUEST <= status < _NO_STATUS else INSIDE_200
