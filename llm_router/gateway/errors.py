"""Answers every error with what went wrong and what to do next.

The management API answers application/problem+json (RFC 9457): `title` is the standard phrase of
the HTTP status, `type` a URI that names the exact problem; docs/api.md lists them all. The routes
below /v1 answer OpenAI's error object, those of messages Anthropic's: their clients expect these.
"""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from llm_router.classification import classify
from llm_router.errors import (
    AddressRefusedError,
    BusyError,
    ConfigurationError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    QuotaError,
    ReplyFailedError,
    RouterError,
    SealError,
    StaleError,
    StoreError,
    TakenError,
    UpstreamError,
)

log = logging.getLogger(__name__)

PROBLEM_JSON = "application/problem+json"
NO_TYPE = "about:blank"
"""The type of a problem that its status says all about (RFC 9457, section 4.2.1)."""
OPENAI_PATHS = "/v1/"
"""The beginning of every path whose errors have OpenAI's form."""
_OPENAI_TYPES = {"insufficient_quota": "insufficient_quota"}
"""Types of errors that do not follow from the status, by code."""
_USUAL_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}
ANTHROPIC_PATH = "/v1/messages"
"""The beginning of every path whose errors have Anthropic's form."""
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_OPENAI_CODES = {
    "unauthenticated": "invalid_api_key",
    "rate-limited": "rate_limit_exceeded",
    "budget-reached": "insufficient_quota",
}
"""Codes that OpenAI's clients know, by our kind of problem."""
_NO_ROUTE = frozenset({404, 405})
_BELOW_V1 = (
    "/chat/completions", "/completions", "/embeddings", "/messages", "/models", "/responses",
    "/audio/",
)  # fmt: skip
"""Where clients ask whose base URL lacks /v1."""
_OF_BATCHES = ("/v1/batches", "/v1/files")
_SERVER_ERRORS = 500
_CLIENT_LEFT = 499
"""The status, as nginx has it, of an answer that no client receives any more."""
_DATABASE_RETRY_AFTER = 2
"""Seconds after which a database that did not answer is worth another try."""
_MAX_FAULTS = 20
"""Faults of a request that are answered; a client that mends these sees the next."""
_MAX_PLACE = 200
"""Characters of the name of a field: an unknown one is as long as its sender likes."""
_PHRASES = {413: "Content Too Large", 422: "Unprocessable Content"}
"""The phrases of RFC 9110; older versions of Python have the phrases of older standards."""
PLAIN_PROBLEMS: Mapping[type[RouterError], tuple[int, str]] = {
    NotFoundError: (404, "not-found"),
    ForbiddenError: (403, "forbidden"),
    AddressRefusedError: (403, "address-refused"),
    QuotaError: (409, "quota-reached"),
    ConflictError: (409, "conflict"),
    ConfigurationError: (422, "invalid-configuration"),
    SealError: (500, "secret-unreadable"),
}


def type_uri(kind: str) -> str:
    return f"/problems/{kind.replace('_', '-')}"


class Problem(HTTPException):
    """An error as the HTTP API answers it.

    `kind` names the exact problem and makes its `type` URI; empty: the status says it all. `detail`
    says what went wrong and what to do next, and holds no key and no word of a caller. `members`
    are further members of the document, such as `errors` or `current_version`.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.kind = kind
        self.members = members

    def __str__(self) -> str:
        return f"{self.status} {self.title}: {self.detail}"

    @property
    def status(self) -> int:
        return self.status_code

    @property
    def title(self) -> str:
        return _PHRASES.get(self.status) or HTTPStatus(self.status).phrase

    @property
    def error_object(self) -> dict[str, Any]:
        """The same error as OpenAI's object: message, type, param and code."""
        code = _OPENAI_CODES.get(self.kind) or self.kind.replace("-", "_") or None
        return {
            "message": self.detail,
            "type": _OPENAI_TYPES.get(code or "") or _usual_type(self.status),
            "param": self.members.get("param"),
            "code": code,
        }

    @property
    def anthropic_error(self) -> dict[str, Any]:
        """The same error as Anthropic's object."""
        kind = _ANTHROPIC_TYPES.get(self.status, "invalid_request_error")
        return {
            "type": "error",
            "error": {"type": kind, "message": self.detail},
            "request_id": (self.headers or {}).get("x-request-id"),
        }

    def response(self, path: str) -> JSONResponse:
        """Returns the answer to a request for `path`, in the form of the API that is there."""
        if path.startswith(ANTHROPIC_PATH):
            body = self.anthropic_error
            named = {"request-id": body["request_id"]} if body["request_id"] else {}
            return JSONResponse(body, self.status, {**(self.headers or {}), **named})
        if path.startswith(OPENAI_PATHS):
            return JSONResponse({"error": self.error_object}, self.status, self.headers)
        document = {
            "type": type_uri(self.kind) if self.kind else NO_TYPE,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        return JSONResponse(
            document | self.members, self.status, self.headers, media_type=PROBLEM_JSON
        )


def _usual_type(status: int) -> str:
    otherwise = "server_error" if status >= _SERVER_ERRORS else "invalid_request_error"
    return _USUAL_TYPES.get(status, otherwise)


def internal_error() -> Problem:
    """Returns the 500 for a bug, whose traceback is in the log alone."""
    return Problem(
        500, "internal-error", "Something broke here; the log of the HTTP process says what."
    )


def answer_with_problems(app: FastAPI) -> None:
    """Installs handlers that turn every exception into the error of the API that was asked."""

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        if not isinstance(error, Problem):
            detail = error.detail or f"HTTP {error.status_code}"
            if error.status_code in _NO_ROUTE:
                detail += path_hint(request.scope["path"])
            error = Problem(error.status_code, "", detail, error.headers)
        return error.response(request.scope["path"])

    @app.exception_handler(RouterError)
    async def router_error(request: Request, error: RouterError) -> JSONResponse:
        return problem_of(error).response(request.scope["path"])

    @app.exception_handler(RequestValidationError)
    async def validation_error(request: Request, error: RequestValidationError) -> JSONResponse:
        return invalid_request(error.errors()).response(request.scope["path"])

    @app.exception_handler(ClientDisconnect)
    async def client_left(_: Request, __: Exception) -> Response:
        return Response(status_code=_CLIENT_LEFT)

    @app.exception_handler(Exception)
    async def bug(request: Request, _: Exception) -> JSONResponse:
        return internal_error().response(request.scope["path"])


def path_hint(path: str) -> str:
    """Returns what a client whose path is not served can do, if the path shows that."""
    if path.startswith(_OF_BATCHES):
        return ": files are not stored here; `llm-router batch` has those of a batch answered"
    if path.startswith("/v1/v1/"):
        return ": the base URL given to the client has /v1 twice"
    if path.startswith(_BELOW_V1):
        return ": it is below /v1; let the base URL given to the client end in /v1"
    return ""


def show_store_errors(app: FastAPI) -> None:
    """Has the application say which database failed and why, for the operator of this machine."""

    @app.exception_handler(StoreError)
    async def store_error(request: Request, error: StoreError) -> JSONResponse:
        problem = Problem(503, "database-unavailable", str(error))
        return problem.response(request.scope["path"])


def problem_of(error: RouterError) -> Problem:
    """Returns the problem of a foreseen error; raises `error` itself for any other, as a bug."""
    match error:
        case StoreError():
            # The log alone says where the database is.
            log.warning("%s", error)
            return Problem(
                503,
                "database-unavailable",
                "The database does not answer. Try again in a moment; if it stays so, the log of"
                " the HTTP process says why.",
                {"Retry-After": str(_DATABASE_RETRY_AFTER)},
            )
        case StaleError():
            return Problem(409, "stale-version", str(error), current_version=error.current)
        case TakenError():
            return Problem(409, f"{error.field}-taken", str(error), field=error.field)
        case BusyError():
            headers = {"Retry-After": f"{error.retry_after:.0f}"}
            return Problem(429, "busy", str(error), headers)
        case ReplyFailedError():
            reasons = [[name, reason] for name, reason in error.reasons]
            return Problem(502, "reply-failed", str(error), reasons=reasons)
    for error_type, (status, kind) in PLAIN_PROBLEMS.items():
        if isinstance(error, error_type):
            return Problem(status, kind, str(error))
    if isinstance(error, UpstreamError):
        return Problem(502, "model-server-failed", str(classify(error, ())))
    raise error


def invalid_request(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """Returns the 422 for a request that fails validation.

    It holds places and rules only: the values may be a key or a caller's words.
    """
    faults = [
        # The place of a body that is no JSON is an offset in it, not a field.
        {
            "field": "body" if error["type"] == "json_invalid" else _place(error["loc"]),
            "message": _rule(error),
        }
        for error in errors[:_MAX_FAULTS]
    ]
    detail = "; ".join(f"{fault['field']}: {fault['message']}" for fault in faults)
    if more := len(errors) - len(faults):
        detail += f"; and {more:,} more"
    return Problem(422, "invalid-request", detail, errors=faults)


def _rule(error: Mapping[str, Any]) -> str:
    """Returns what a field must be, for a person who may have sent a name where an id is asked."""
    place = error["loc"]  # empty for a body as a whole
    is_id = place[:1] == ("path",) and str(place[-1]).endswith("_id")
    if is_id and error["type"] == "string_pattern_mismatch":
        return "is not an id; list them to see theirs"
    return str(error["msg"]).removeprefix("Value error, ")


def _place(loc: Sequence[str | int]) -> str:
    """Returns the path of the field, without the part of the request that it is in."""
    inner = loc[1:] if loc and loc[0] in {"body", "query", "path"} else loc
    return ".".join(map(str, inner))[:_MAX_PLACE] or "body"
