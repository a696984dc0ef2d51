"""Routes for presets: sets of connections that many want, created together."""

from typing import Annotated, Any

from fastapi import APIRouter, Body

from llm_router.catalog.presets import PRESETS
from llm_router.gateway.deps import CurrentActor, Deps
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.base import ShortText
from llm_router.gateway.schemas.files import ConnectionImportResult
from llm_router.gateway.schemas.presets import PresetApply, PresetRead

router = APIRouter(prefix="/presets", tags=["presets"])


@router.get("", operation_id="listPresets")
async def list_presets(_: CurrentActor) -> list[PresetRead]:
    """Lists the presets."""
    return [
        PresetRead(
            name=name,
            title=preset.title,
            description=preset.description,
            connections=[*(server.name for server in preset.servers), *preset.clouds],
            keys=preset.keys,
        )
        for name, preset in PRESETS.items()
    ]


@router.post(
    "/{name}/apply",
    status_code=201,
    response_model=ConnectionImportResult,
    operation_id="applyPreset",
    responses=problems(404, 409),
)
async def apply_preset(
    actor: CurrentActor,
    deps: Deps,
    name: ShortText,
    body: Annotated[PresetApply | None, Body()] = None,
) -> dict[str, Any]:
    """Creates all connections of a preset, or none: the answer names a key that is missing."""
    given = body.keys if body else {}
    keys = {connection: key.get_secret_value() for connection, key in given.items()}
    return {"items": await deps.editor.apply_preset(actor, name, keys)}
