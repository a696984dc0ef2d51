"""Every error leaves as application/problem+json (RFC 9457): what went wrong, what to do next."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from llm_router.errors import (
    AddressRefusedError,
    BusyError,
    ConfigurationError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    ReplyFailedError,
    RouterError,
    SealError,
    StaleError,
    StoreError,
    TakenError,
    UpstreamError,
)
from llm_router.failures import classify

log = logging.getLogger(__name__)

_RETRY_AFTER = 2
"""Seconds after which a database that did not answer is worth another try."""
_TITLES: Mapping[type[RouterError], tuple[int, str]] = {
    NotFoundError: (404, "There is no such thing"),
    ForbiddenError: (403, "You may not do this"),
    AddressRefusedError: (403, "This address may not be called"),
    ConflictError: (409, "Not as things stand now"),
    ConfigurationError: (422, "This cannot work"),
    SealError: (500, "A stored secret cannot be opened"),
}


class Problem(HTTPException):
    """What went wrong, for whoever asked.

    `detail` says what to do next and holds no key and no word of a caller. `more` are further
    members of the document, such as `errors` or `current_version`.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.title, self.more = title, more

    def __str__(self) -> str:
        return f"{self.status} {self.title}"

    @property
    def status(self) -> int:
        return self.status_code

    def response(self) -> JSONResponse:
        said = {"title": self.title, "status": self.status, "detail": self.detail}
        return JSONResponse(
            said | self.more, self.status, self.headers, media_type="application/problem+json"
        )


def answer_with_problems(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error, Problem):
            return error.response()
        what = f"HTTP {error.status_code}"
        return Problem(error.status_code, error.detail or what, what, error.headers).response()

    @app.exception_handler(RouterError)
    async def refused(_: Request, error: RouterError) -> JSONResponse:
        return problem_of(error).response()

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return invalid_request(error.errors()).response()

    @app.exception_handler(Exception)
    async def bug(_: Request, __: Exception) -> JSONResponse:
        return Problem(
            500, "Something broke here", "The log of the HTTP process says what."
        ).response()


def problem_of(error: RouterError) -> Problem:
    """Raises `error` itself where nobody foresaw it here: a bug, for the log."""
    if isinstance(error, StoreError):
        # Where the database is, is nobody's business but the log's.
        log.warning("%s", error)
        return Problem(
            503,
            "The database does not answer",
            "Try again in a moment; if it stays so, the log of the HTTP process says why.",
            {"Retry-After": str(_RETRY_AFTER)},
        )
    if isinstance(error, StaleError):
        title = "It has been changed in between"
        return Problem(409, title, str(error), current_version=error.current)
    if isinstance(error, TakenError):
        return Problem(409, "It is in use already", str(error), field=error.field)
    if isinstance(error, ReplyFailedError):
        reasons = [[name, reason] for name, reason in error.reasons]
        return Problem(502, "The connection did not answer", str(error), reasons=reasons)
    if isinstance(error, BusyError):
        headers = {"Retry-After": f"{error.retry_after:.0f}"}
        return Problem(429, "Too much is under way", str(error), headers)
    for kind, (status, title) in _TITLES.items():
        if isinstance(error, kind):
            return Problem(status, title, str(error))
    if isinstance(error, UpstreamError):
        return Problem(502, "The model server did not do it", str(classify(error)))
    raise error


def invalid_request(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """Places and rules only: what was given may be a key or a caller's words."""
    faults = [{"field": _place(error["loc"]), "message": error["msg"]} for error in errors]
    said = "; ".join(f"{fault['field']}: {fault['message']}" for fault in faults)
    return Problem(422, "The request is not as it should be", said, errors=faults)


def _place(loc: Sequence[str | int]) -> str:
    """The field; what it is a part of goes without saying."""
    inner = loc[1:] if loc and loc[0] in {"body", "query", "path"} else loc
    return ".".join(map(str, inner)) or "body"
