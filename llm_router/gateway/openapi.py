"""Writes the OpenAPI document: FastAPI's own, with every problem that a request can meet."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from llm_router.gateway.errors import ANTHROPIC_PATH, OPENAI_PATHS, PROBLEM_JSON, type_uri

_REASONS = {
    400: "The body is not JSON",
    401: "There is no valid API key or session",
    403: "The role of the API key does not allow it, or the address must not be called",
    404: "It does not exist, or you may not see it",
    409: "It was changed meanwhile, its name is in use, or it cannot be done now",
    413: "The body is too long",
    422: "The request is invalid; the document says where",
    429: "Too many requests; Retry-After says when to try again",
    500: "A stored key cannot be opened; the document says which, and what to do",
    502: "The model server or the voice server failed",
    503: "The database or the voice server does not answer; try again in a moment",
    504: "No model server answered in time",
}
_CHAT_REASONS = {
    **_REASONS,
    400: "The request is invalid, or no connection takes it; `param` names the field",
    404: "There is no such model for this API key; the message lists those there are",
    502: "No connection could answer",
    503: "No connection may be asked now, or the database does not answer",
}
_OPENAI_ERROR = {
    "title": "OpenAI error",
    "description": "OpenAI's error object; docs/gateway.md lists the codes.",
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string", "description": "What is wrong, and what to do."},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"], "description": "The field, where it is one."},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
_ANTHROPIC_ERROR = {
    "title": "Anthropic error",
    "description": "Anthropic's error object.",
    "type": "object",
    "required": ["type", "error", "request_id"],
    "properties": {
        "type": {"const": "error"},
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
        },
        "request_id": {"type": ["string", "null"]},
    },
}
_PROBLEM = {
    "title": "Problem",
    "description": "RFC 9457: what went wrong, and what to do next.",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {
            "type": "string",
            "format": "uri-reference",
            "description": "Names the exact problem; docs/api.md lists them all.",
        },
        "title": {"type": "string", "description": "The phrase of the HTTP status."},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What went wrong, and what to do next."},
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
            "description": "Of a 409: the version that the connection has now.",
        },
    },
    "examples": [
        {
            "type": type_uri("stale-version"),
            "title": "Conflict",
            "status": 409,
            "detail": "connection 'cellar' has been changed since version 3; read version 4 and"
            " change that",
            "current_version": 4,
        }
    ],
}
_DESCRIPTION = """\
Manages connections to language models while calls go on: stores, shares, probes and switches them.

Programs send an API key, `Authorization: Bearer pb_...`; browsers sign in with one at
`POST /api/session`. The role of the key decides what you may do; what you may not see answers 404.
Every error is a problem document (RFC 9457).

Below /v1 are chat completions, responses and older completions in OpenAI's form, with OpenAI's
error object, and messages in Anthropic's.
"""


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Returns `responses=` of a route for the problems that it has beyond those of every route."""
    content = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _REASONS[status], "content": content} for status in statuses}


def openai_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Returns the same for a route below /v1, whose errors have OpenAI's form."""
    return _chat_errors("OpenAIError", statuses)


def anthropic_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Returns the same for a route of messages, whose errors have Anthropic's form."""
    return _chat_errors("AnthropicError", statuses)


def _chat_errors(schema: str, statuses: Iterable[int]) -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {status: {"description": _CHAT_REASONS[status], "content": content}
            for status in statuses}  # fmt: skip


def _errors_of(path: str) -> Callable[..., dict[int | str, dict[str, Any]]]:
    if path.startswith(ANTHROPIC_PATH):
        return anthropic_errors
    return openai_errors if path.startswith(OPENAI_PATHS) else problems


def reply(description: str) -> dict[str, Any]:
    """Returns the response of a route below /v1 that answers whole or as server-sent events."""
    return {
        "description": description,
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "text/event-stream": {},
        },
    }


def body_of(schema: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """Returns `openapi_extra=` of a route that reads its body itself."""
    described = schema.model_json_schema(ref_template="#/components/schemas/{model}")
    content = {"application/json": {"schema": described}}
    return {"requestBody": {"required": required, "content": content}}


def describe(app: FastAPI) -> dict[str, Any]:
    """Returns the document, which is made once."""
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
        schemas["OpenAIError"] = _OPENAI_ERROR
        schemas["AnthropicError"] = _ANTHROPIC_ERROR
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        for path, operations in document["paths"].items():
            errors = _errors_of(path)
            for operation in operations.values():
                operation["summary"] = _summary(operation["operationId"])
                schemas |= _definitions(operation)
                operation["responses"] |= _common(operation, errors)
        app.openapi_schema = document
    return app.openapi_schema


def _definitions(operation: dict[str, Any]) -> dict[str, Any]:
    """Takes out the schemas that a body of `body_of` refers to; the document has them once."""
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    taken: dict[str, Any] = schema.get("schema", {}).pop("$defs", {})
    return taken


def _summary(operation_id: str) -> str:
    """Returns the operation id as words: "createApiKey" is "Create API key"."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", operation_id).lower()
    return words.capitalize().replace(" api ", " API ")


def _common(
    operation: Mapping[str, Any], errors: Callable[..., dict[int | str, dict[str, Any]]]
) -> dict[str, Any]:
    """Returns the problems that follow from the operation's security, body and parameters."""
    statuses = {503}
    if "security" in operation:
        statuses |= {401, 403, 429}
    if "requestBody" in operation:
        statuses |= {400, 413, 422}
    if "parameters" in operation:
        statuses.add(422)
    own = {code for code, response in operation["responses"].items() if _is_error(response)}
    return {str(code): response for code, response in errors(*sorted(statuses)).items()
            if str(code) not in own}  # fmt: skip


def _is_error(response: Mapping[str, Any]) -> bool:
    """Returns whether a route declared the response as an error, in any of the forms."""
    names = ("Problem", "OpenAIError", "AnthropicError")
    errors = {f"#/components/schemas/{name}" for name in names}
    contents = response.get("content", {}).values()
    return any(content.get("schema", {}).get("$ref") in errors for content in contents)
