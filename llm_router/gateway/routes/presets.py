"""Sets of connections that many want, added at one go."""

from typing import Annotated, Any

from fastapi import APIRouter, Body

from llm_router.catalog.presets import PRESETS, preset_connections
from llm_router.connections import rules
from llm_router.errors import ConfigurationError, NotFoundError
from llm_router.gateway.deps import Asking, Served
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.connections import ConnectionsAdded, PresetKeys, PresetShown, Text
from llm_router.management.vetting import vet

router = APIRouter(prefix="/presets", tags=["presets"])


@router.get("", operation_id="listPresets")
async def presets(_: Asking) -> list[PresetShown]:
    """What there is to choose from."""
    return [
        PresetShown(
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
    response_model=ConnectionsAdded,
    operation_id="applyPreset",
    responses=problems(404, 409),
)
async def apply(
    asking: Asking, served: Served, name: Text, wanted: Annotated[PresetKeys | None, Body()] = None
) -> dict[str, Any]:
    """Add all connections of a preset, or none: a key that is missing is said so."""
    rules.require(asking, "add")
    if name not in PRESETS:
        raise NotFoundError(f"there is no preset {name!r}; known: {', '.join(PRESETS)}")
    given = wanted.keys if wanted else {}
    if strange := sorted(set(given) - set(PRESETS[name].keys)):
        raise ConfigurationError(f"keys: the preset {name} has no connection {strange[0][:50]!r}")
    keys = {cloud: key.get_secret_value() for cloud, key in given.items()}
    new = preset_connections(name, served.environment(asking), keys)
    await vet(served.guard(asking), *new)
    return {"items": await served.store.add(asking, new)}
