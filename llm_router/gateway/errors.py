"""Answers every error as application/problem+json (RFC 9457): what went wrong, what to do next.

`title` is the standard phrase of the HTTP status. `type` is a URI that names the exact problem;
docs/api.md lists them all.
"""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

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
    return f"/problems/{kind}"


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

    def response(self) -> JSONResponse:
        document = {
            "type": type_uri(self.kind) if self.kind else NO_TYPE,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        return JSONResponse(
            document | self.members, self.status, self.headers, media_type=PROBLEM_JSON
        )


def answer_with_problems(app: FastAPI) -> None:
    """Installs handlers that turn every exception into a problem document."""

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error, Problem):
            return error.response()
        detail = error.detail or f"HTTP {error.status_code}"
        return Problem(error.status_code, "", detail, error.headers).response()

    @app.exception_handler(RouterError)
    async def router_error(_: Request, error: RouterError) -> JSONResponse:
        return problem_of(error).response()

    @app.exception_handler(RequestValidationError)
    async def validation_error(_: Request, error: RequestValidationError) -> JSONResponse:
        return invalid_request(error.errors()).response()

    @app.exception_handler(Exception)
    async def bug(_: Request, __: Exception) -> JSONResponse:
        return Problem(
            500, "internal-error", "Something broke here; the log of the HTTP process says what."
        ).response()


def show_store_errors(app: FastAPI) -> None:
    """Has the application say which database failed and why, for the operator of this machine."""

    @app.exception_handler(StoreError)
    async def store_error(_: Request, error: StoreError) -> JSONResponse:
        return Problem(503, "database-unavailable", str(error)).response()


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
            "message": error["msg"],
        }
        for error in errors[:_MAX_FAULTS]
    ]
    detail = "; ".join(f"{fault['field']}: {fault['message']}" for fault in faults)
    if more := len(errors) - len(faults):
        detail += f"; and {more:,} more"
    return Problem(422, "invalid-request", detail, errors=faults)


def _place(loc: Sequence[str | int]) -> str:
    """Returns the path of the field, without the part of the request that it is in."""
    inner = loc[1:] if loc and loc[0] in {"body", "query", "path"} else loc
    return ".".join(map(str, inner))[:_MAX_PLACE] or "body"
