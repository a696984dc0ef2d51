"""Connections as files: taken in, in every format we know, and given out, without keys."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse

from llm_router.connections import rules
from llm_router.connections.changes import make_plan
from llm_router.connections.store import Query as Wanted
from llm_router.discovery.formats import Format, parse, to_row
from llm_router.errors import ConfigurationError, ConflictError, SealError
from llm_router.gateway.deps import Asking, Served
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.changes import PlanShown
from llm_router.gateway.schemas.connections import ConnectionsAdded
from llm_router.management.vetting import vet

router = APIRouter(prefix="/connections", tags=["files"])

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
    new = parse(text, format, "the body", served.environment(asking))
    await vet(served.guard(asking), *new)
    return {"items": await served.store.add(asking, new)}


@router.post(
    "/apply",
    operation_id="applyConnections",
    responses=problems(400, 409, 413, 422),
    openapi_extra={"requestBody": _BODY},
)
async def apply(
    asking: Asking,
    served: Served,
    text: Annotated[str, Depends(_text)],
    *,
    prune: Annotated[bool, Query(description="Remove what you have and the file has not.")] = False,
    dry_run: Annotated[bool, Query(description="Only show what would be done.")] = False,
    plan: Annotated[
        str | None,
        Query(max_length=100, description="Of the plan that was shown; 409 if it is another now."),
    ] = None,
) -> PlanShown:
    """Have what a file says, all of it or nothing. Done twice, it does nothing the second time.

    Connections are told apart by their id, else by their name among your own. What the file leaves
    out has its default, but a key and headers stay as they are. `"api_key": "env:NAME"` takes a
    variable of the HTTP process, for an admin.
    """
    rules.require(asking, "add")
    wanted = parse(text, "connections", "the body", served.environment(asking))
    page = await served.store.find(asking, Wanted(limit=None), secrets=True)
    for said in page.unreadable.values():
        raise SealError(said)
    made = make_plan(page.items, wanted, asking.owner, prune=prune)
    if plan is not None and plan != made.digest():
        raise ConflictError("the connections have been changed since; look at the plan anew")
    await vet(
        served.guard(asking), *made.added, *(replace(c.stored, **c.values) for c in made.changed)
    )
    if not dry_run:
        await served.store.apply(asking, made.steps())
    return PlanShown.of(made, applied=not dry_run)


@router.get("/export", operation_id="exportConnections")
async def give_out(asking: Asking, served: Served) -> JSONResponse:
    """All connections you see, as a file to import elsewhere. Keys and headers are left out."""
    page = await served.store.find(asking, Wanted(limit=None))
    return JSONResponse(
        {"connections": [to_row(connection) for connection in page.items]},
        headers={"Content-Disposition": 'attachment; filename="llm_connections.json"'},
    )
