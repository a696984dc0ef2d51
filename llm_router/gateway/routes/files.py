"""Connections as files: taken in, in every format we know, and given out, without keys."""

from collections.abc import Mapping
from dataclasses import replace
from io import StringIO
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse

from llm_router.connections import MANAGED, SECRETS, Connection
from llm_router.connections import Query as Wanted
from llm_router.environment import from_environment
from llm_router.errors import ConfigurationError
from llm_router.gateway.deps import Asking, Served
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas import ConnectionsAdded
from llm_router.gateway.vetting import vet
from llm_router.imports import from_compatible_data, from_json
from llm_router.store import rules

router = APIRouter(prefix="/connections", tags=["files"])

Format = Literal["connections", "openai_compatible", "env"]
_KEPT_BACK = frozenset(MANAGED) | frozenset(SECRETS)
_PLAIN = Connection(name="plain")
_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "description": "Comments, and a comma after the last entry, may stay.",
                "type": ["object", "array"],
            },
            "example": {
                "connections": [
                    {"name": "cellar", "base_url": "http://10.0.0.5:8000/v1", "model": "qwen3-4b"}
                ]
            },
        },
        "text/plain": {
            "schema": {"type": "string"},
            "example": "LLM_BACKEND_TYPE=ollama\nOLLAMA_BASE_URL=http://10.0.0.6:11434\n",
        },
    },
}


async def _text(request: Request) -> str:
    try:
        return (await request.body()).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigurationError("the body: is not UTF-8; save the file as UTF-8") from None


@router.post(
    "/import",
    status_code=201,
    response_model=ConnectionsAdded,
    operation_id="importConnections",
    responses=problems(400, 409, 413, 422),
    openapi_extra={"requestBody": _BODY},
)
async def take_in(
    asking: Asking,
    served: Served,
    text: Annotated[str, Depends(_text)],
    format: Annotated[  # noqa: A002  what the query calls it
        Format,
        Query(
            description="`connections`: llm_connections.json; `openai_compatible`: the JSON of"
            " OPENAI_COMPATIBLE_DATA; `env`: lines of a .env file, such as LLM_BACKEND_TYPE."
        ),
    ] = "connections",
) -> dict[str, Any]:
    """Add all connections of a file, or none: a mistake is named with its place and its remedy.

    `"api_key": "env:NAME"` takes a variable of the HTTP process, for an admin.
    """
    rules.require(asking, "add")
    new = _read(text, format, served.environment(asking))
    await vet(served, asking, *new)
    return {"items": await served.store.add(asking, new)}


@router.get("/export", operation_id="exportConnections")
async def give_out(asking: Asking, served: Served) -> JSONResponse:
    """All connections you see, as a file to import elsewhere. Keys and headers are left out."""
    page = await served.store.find(asking, Wanted(limit=None))
    return JSONResponse(
        {"connections": [_row(connection) for connection in page.items]},
        headers={"Content-Disposition": 'attachment; filename="llm_connections.json"'},
    )


def _read(text: str, format_: Format, environ: Mapping[str, str]) -> tuple[Connection, ...]:
    match format_:
        case "connections":
            return from_json(text, "the body", environ)
        case "openai_compatible":
            return from_compatible_data(text, "the body", environ)
    given = dotenv_values(stream=StringIO(text), interpolate=False)
    named = from_environment({name: value for name, value in given.items() if value})
    if not named:
        raise ConfigurationError(
            "the body: names no server; set OLLAMA_BASE_URL, VLLM_BASE_URL, OPENAI_BASE_URL,"
            " OPENAI_API_KEY or OPENAI_COMPATIBLE_DATA in it"
        )
    return tuple(
        replace(n.connection, model_name=n.connection.model_name or next(iter(n.wishes), ""))
        for n in named
    )


def _row(connection: Connection) -> dict[str, Any]:
    """What differs from a plain connection; the rest goes without saying."""
    shown = {name: getattr(connection, name) for name in Connection.__dataclass_fields__}
    return {
        name: value
        for name, value in shown.items()
        if name not in _KEPT_BACK and value != getattr(_PLAIN, name)
    }
