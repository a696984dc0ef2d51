"""Routes that import connections from files of every known format, and export them without keys."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse

from llm_router.discovery.formats import Format
from llm_router.errors import ConfigurationError
from llm_router.gateway.deps import CurrentActor, Deps
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.files import ConnectionApplyResult, ConnectionImportResult

router = APIRouter(prefix="/connections", tags=["files"])

_SOURCE = "the body"
_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "description": "Comments, and a comma after the last entry, are allowed.",
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


async def _read_text(request: Request) -> str:
    try:
        return (await request.body()).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{_SOURCE}: is not UTF-8; save the file as UTF-8") from None


Text = Annotated[str, Depends(_read_text)]


@router.post(
    "/import",
    status_code=201,
    response_model=ConnectionImportResult,
    operation_id="importConnections",
    responses=problems(400, 409, 413, 422),
    openapi_extra={"requestBody": _BODY},
)
async def import_file(
    actor: CurrentActor,
    deps: Deps,
    text: Text,
    format: Annotated[  # noqa: A002  the name of the query parameter
        Format,
        Query(
            description="`connections`: as in config/connections.example.json;"
            " `openai_compatible`: the JSON of OPENAI_COMPATIBLE_DATA; `env`: lines of a .env file,"
            " such as LLM_BACKEND_TYPE."
        ),
    ] = "connections",
) -> dict[str, Any]:
    """Creates all connections of a file, or none: an error names its place and its remedy.

    A field that only another program knows is left out with a warning.
    `"api_key": "env:NAME"` takes a variable of the HTTP process, for an admin.
    """
    items, warnings = await deps.editor.import_file(actor, text, format, _SOURCE)
    return {"items": items, "warnings": warnings}


@router.post(
    "/apply",
    operation_id="applyConnections",
    responses=problems(400, 409, 413, 422),
    openapi_extra={"requestBody": _BODY},
)
async def apply_file(
    actor: CurrentActor,
    deps: Deps,
    text: Text,
    *,
    prune: Annotated[bool, Query(description="Delete what you have and the file lacks.")] = False,
    dry_run: Annotated[bool, Query(description="Only show what would be done.")] = False,
    plan: Annotated[
        str | None,
        Query(max_length=100, description="Of the plan that was shown; 409 if it is another now."),
    ] = None,
) -> ConnectionApplyResult:
    """Makes your connections those of a file, all at once. Done twice, it does nothing more.

    A connection is found by its id, else by its name among your own. A field that the file leaves
    out gets its default, but a key and headers stay as they are. `"api_key": "env:NAME"` takes a
    variable of the HTTP process, for an admin.
    """
    made = await deps.editor.apply_file(
        actor, text, _SOURCE, prune=prune, dry_run=dry_run, expected_plan=plan
    )
    return ConnectionApplyResult.of(made, applied=not dry_run)


@router.get("/export", operation_id="exportConnections")
async def export_file(actor: CurrentActor, deps: Deps) -> JSONResponse:
    """Returns all connections that you may see as a file, without keys and headers."""
    return JSONResponse(
        {"connections": await deps.editor.export(actor)},
        headers={"Content-Disposition": 'attachment; filename="llm_connections.json"'},
    )
