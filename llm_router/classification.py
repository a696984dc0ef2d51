"""Recognises the class of a failure in the error that a provider raised."""

import re
from collections.abc import Sequence

from llm_router.errors import (
    BrokenStreamError,
    StatusError,
    UnreachableError,
    WrongAddressError,
)
from llm_router.failures import Failure, FailureClass
from llm_router.redaction import operator_text
from llm_router.types import Message


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_TOO_LONG = _words(
    r"context.?(length|window|size|limit)|maximum (context|model length|prompt length)|"
    r"\b(prompt|input|request|message|payload|entity)s?[\W_].{0,40}too.?(long|large)|"
    r"too many (input |prompt )?tokens|"
    r"exceed\w* .{0,40}(tokens|context|token limit)|token count .{0,20}exceed|n_ctx|"
    r"tokens? .{0,40}exceed|exceed\w*_context|token.?limit.?exceeded|max_prompt_tokens_exceeded|"
    r"(prompt|input|sequence|messages?).{0,20}(length|tokens?)\)?.{0,60}(exceed|longer than|"
    r"(should|must) (not )?be (less|smaller|at most|no more))|"
    r"(prompt|input|messages?) (length )?exceeds|length of (the )?(messages|input|prompt)|"
    r"longer than .{0,20}(context|model)|"
    r"reduce (the|your) (length|message|prompt|input)|input length should be|"
    r"maximum allowed input|max input tokens|max_(input|seq|model)_len|expected maxlength|"
    r"max_(completion_)?tokens must be at least 1, got -|"  # vLLM, when nothing is left of it
    r"`inputs` (tokens \+ `max_new_tokens` must be|must have less than)|"
    r"超长|超出.{0,10}(长度|上下文|最大)|超过.{0,20}(长度|上下文|限制)|长度.{0,6}(超|过长)|(输入|提示词)过长|"
    r"上下文.{0,4}(过长|超)|\b(1261|336007|336103)\b"  # codes of GLM and Baidu
)
"""A request that is longer than the model holds, in the words of all servers."""

_NO_ROUTE = _words(
    r"^\W*((40[45]|http|(resource |page |path |url |file )?(was )?not.?found(_error)?)\W*)+$|"
    r"page not found|method not allowed|cannot post\b|no (matching )?routes?\b|"
    r"no such (route|endpoint|path|url)|"
    r"(route|url|path|endpoint|resource).{0,60}(not found|not exist|not supported|unknown)|"
    r"(unknown|invalid|unexpected|unrecognized|unsupported).?(request )?(url|endpoint|route|path)|"
    r"default backend|requested url|err_ngrok|plain http request was sent to https|"
    r"http request to an https server"
)
"""There is no such route at this address, in the words of servers, frameworks and proxies."""

_WAITS = " ; come back later"
"""Stands for a given wait: an account without credit is not asked to come back."""
_INSIDE_200 = 0
_BY_WORDS: tuple[tuple[FailureClass, frozenset[int], re.Pattern[str]], ...] = (
    # Servers disagree on the status for these classes, so their wording is matched first. The order
    # matters: a rate limit that mentions the billing page is still a rate limit.
    (
        FailureClass.OUT_OF_CREDIT,
        frozenset({_INSIDE_200, 400, 402, 403, 429}),
        _words(
            r"insufficient.{0,3}(quota|balance|credit|funds|account)|"
            r"billing.?(hard.?limit|not.?active)|"
            r"(credits?|balance) .{0,20}(exhausted|used up|run out|depleted)|out of .{0,20}quota|"
            r"used all .{0,12}credits|(spend|spending|monthly usage).{0,3}(limit|cap)|"
            r"arrearage|overdue|account is in good standing|"
            r"余额不足|欠费|额度已用|额度不足"
        ),
    ),
    (
        FailureClass.RATE_LIMITED,
        frozenset({_INSIDE_200, 400, 403, 429}),
        _words(r"rate.{0,3}limit|too.?many.?requests|throttl|请求过于频繁|速率限制|频率限制|限流"),
    ),
    (
        FailureClass.RATE_LIMITED,
        frozenset({_INSIDE_200, 429}),
        _words(
            r"per.?(second|min(ute)?|hour|day)\b|\b[rt]p[mds]\b|(retry|try again) (in|after) \d"
        ),
    ),
    (
        FailureClass.OUT_OF_CREDIT,
        frozenset({_INSIDE_200, 400, 403, 429}),
        _words(
            rf"(?s)^(?!.*{_WAITS}$).*(credit balance|billing|payment|budget.{{0,12}}exceeded)",
        ),
    ),
    (
        # By a 403 too: Google and Azure report a quota of requests with it.
        FailureClass.RATE_LIMITED,
        frozenset({_INSIDE_200, 403}),
        _words(r"quota.{0,20}exceed|exceed.{0,30}quota|quota_?exceeded|resource.?exhausted"),
    ),
    (
        # Not the request is too long, but the reply that it asks for.
        FailureClass.BAD_REQUEST,
        frozenset({400, 422}),
        _words(r"\bmax_\w*tokens\b(?!.*context).*\b(completion|output)\b"),
    ),
    (FailureClass.TOO_LONG, frozenset({_INSIDE_200, 400, 413, 422, 500}), _TOO_LONG),
    (
        FailureClass.REFUSED_CONTENT,
        frozenset({_INSIDE_200, 400, 403}),
        _words(
            r"content.?(filter|policy|management|exists.risk)|responsible.?ai|\bsafety\b|"
            r"usage polic|requires moderation|\bflagged\b|inappropriate content|"
            r"data_inspection_failed|new_sensitive|sensitive (content|information)|敏感|不安全"
        ),
    ),
    (
        # A router of models that has none with what the request needs, such as OpenRouter.
        FailureClass.BAD_REQUEST,
        frozenset({404}),
        _words(r"no (allowed|available)? ?(endpoints?|providers?) .{0,20}support"),
    ),
    (
        FailureClass.MODEL_MISSING,
        frozenset({404}),
        _words(r"\b(model|deployment|engine|adapter|lora)(s|id)?(\b|_)|DeploymentNotFound"),
    ),
    (FailureClass.WRONG_ADDRESS, frozenset({400, 404, 405}), _NO_ROUTE),
    (
        FailureClass.MODEL_MISSING,
        frozenset({_INSIDE_200, 400, 403}),
        _words(
            r"model.{0,60}(not.?found|not.?exist|decommissioned|no longer (supported|available))|"
            r"model_not_available|access to (the )?model|"
            r"(unknown|invalid|no such).?model|not a valid model|模型不存在"
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
    405: FailureClass.WRONG_ADDRESS,
    408: FailureClass.OVERLOADED,  # from a gateway whose own server was too slow
    413: FailureClass.TOO_LONG,
    429: FailureClass.RATE_LIMITED,
}
_BAD_REQUEST = 400
_TOO_MANY = 429
_NOT_FOUND = 404
_NO_SUCH_ROUTE = frozenset({404, 405})
_REDIRECTS = range(300, 400)
_SERVER_ERROR = 500
_NO_STATUS = 600


def classify(error: BaseException, messages: Sequence[Message] | None = None) -> Failure:
    """Classifies an exception that a provider raised. Any unknown exception is a bug of ours.

    With the request's `messages` the failure holds the server's own sentence, without what may be
    a caller's words; none, for a request that held no one's words.
    """
    match error:
        case WrongAddressError():
            return Failure(FailureClass.WRONG_ADDRESS, str(error), cure=error.cure)
        case StatusError():
            said = operator_text(error.detail, messages, (error.param,))
            return Failure(_classify_status(error), str(error), error.retry_after, said)
        case UnreachableError():
            return Failure(FailureClass.UNREACHABLE, str(error), cure=error.cure)
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


def _classify_status(error: StatusError) -> FailureClass:
    status = error.status or _status_inside_a_200(error.code)
    said = f"{error.code} {error.kind} {error.detail}"
    if status == _TOO_MANY and error.retry_after is not None:
        said += _WAITS
    for kind, statuses, words in _BY_WORDS:
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
    status = int(code) if code.isascii() and code.isdigit() else _INSIDE_200
    return status if _BAD_REQUEST <= status < _NO_STATUS else _INSIDE_200
