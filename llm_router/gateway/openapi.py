"""The OpenAPI document: what FastAPI writes, and every way in which a request can be refused."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

PROBLEM_JSON = "application/problem+json"
_REASONS = {
    400: "The body is no JSON text",
    401: "No API key or session, or one that counts no more",
    403: "The role of who asks does not allow it, or the address must not be called",
    404: "There is none, or it is not for you to know of",
    409: "It has been changed in between, the name is in use, or it cannot be asked now",
    413: "The body is too long",
    422: "The request is not as it should be; the document says where",
    429: "Too many requests; Retry-After says when to come again",
    500: "A stored key cannot be opened; the document says which, and what to do",
    502: "Whoever was asked for it, a model or the voice server, does not do it",
    503: "The database, or the voice server, does not answer; try again in a moment",
}
_PROBLEM = {
    "title": "Problem",
    "description": "RFC 9457: what went wrong, and what to do next.",
    "type": "object",
    "required": ["title", "status", "detail"],
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "description": "Of a 422: each field, and what is wrong with it.",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
        "reasons": {
            "type": "array",
            "description": "Of a 502: each connection that was asked, and why it did not answer.",
            "items": {"type": "array", "items": {"type": "string"}},
        },
        "field": {"type": "string", "description": "Of a 409: the field whose value is in use."},
        "current_version": {
            "type": "integer",
            "description": "Of a 409: the version that the connection has by now.",
        },
    },
    "examples": [
        {
            "title": "It has been changed in between",
            "status": 409,
            "detail": "connection 'cellar' has been changed since version 3; read version 4 and"
            " change that",
            "current_version": 4,
        }
    ],
}
_DESCRIPTION = """\
Connections to language models: kept, shared, tried and switched while calls go on.

Programs send an API key, `Authorization: Bearer pb_...`; browsers sign in with one at
`POST /api/session`. What you may do follows from the key's role; what you do not see answers 404.
Every error is a problem document (RFC 9457).
"""


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For `responses=` of a route: how it can refuse, beyond what any route can."""
    content = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _REASONS[status], "content": content} for status in statuses}


def describe(app: FastAPI) -> dict[str, Any]:
    """The document, made once. Where it lists routes, those of the page are left out."""
    if not app.openapi_schema:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=_DESCRIPTION,
            routes=app.routes,
            tags=app.openapi_tags,
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = _PROBLEM
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"] |= _common(operation)
        app.openapi_schema = document
    return app.openapi_schema


def _common(operation: Mapping[str, Any]) -> dict[str, Any]:
    statuses = {503}
    if "security" in operation:
        statuses |= {401, 403, 429}
    if "requestBody" in operation:
        statuses |= {400, 413, 422}
    if "parameters" in operation:
        statuses.add(422)
    given = operation["responses"]
    own = {code for code in given if PROBLEM_JSON in given[code].get("content", {})}
    return {str(code): said for code, said in problems(*sorted(statuses)).items()
            if str(code) not in own}  # fmt: skip
