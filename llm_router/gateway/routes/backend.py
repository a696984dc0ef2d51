"""Routes of programs that know one backend: the first connection, as if it were the only one.

The same routes answer at the root, where such programs expect them.
"""

from collections.abc import Mapping

from fastapi import APIRouter

from llm_router.catalog import servers as catalog
from llm_router.connections.record import Connection
from llm_router.gateway.deps import CurrentActor, Deps
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.backend import (
    BackendConfig,
    BackendKind,
    BackendRead,
    ModelLoadCreate,
    ModelLoadRead,
)

_KINDS: Mapping[str, BackendKind] = {
    "transformers": "local",
    "ollama": "ollama",
    "vllm": "vllm",
    "instructlab": "instructlab",
}
"""LLM_BACKEND_TYPE by provider or by row of the catalog; all others are `openai`."""


async def get_backend(actor: CurrentActor, deps: Deps) -> BackendRead:
    """Returns the connection that is asked first, with its server, its model and its status."""
    connection = await deps.backend.find(actor)
    if connection is None:
        return BackendRead(status="none")
    load = deps.backend.load_of(connection)
    return BackendRead(
        connection_id=connection.id,
        connection=connection.name,
        backend_type=_kind(connection),
        backend_url=connection.base_url,
        active_model=connection.model_name,
        status="loading" if load and load.state == "loading" else connection.status,
        status_reason=connection.status_reason,
        loading=ModelLoadRead.model_validate(load) if load else None,
        config=BackendConfig.of(connection),
    )


async def load_model(actor: CurrentActor, deps: Deps, body: ModelLoadCreate) -> ModelLoadRead:
    """Has the first connection's server load another model, which calls ask for from then on.

    It is loaded in the background; `GET .../models/status` shows the progress. A model that an
    Ollama does not have is pulled first. Until it is ready, calls use the present model.
    """
    load = await deps.backend.load(actor, body.model_name_or_path)
    return ModelLoadRead.model_validate(load)


async def configure(actor: CurrentActor, deps: Deps, body: BackendConfig) -> BackendConfig:
    """Changes the generation settings named, and leaves the rest.

    null clears one. `extra` is sent with each request as it is: `top_k`, `repetition_penalty`...
    """
    named = body.model_fields_set
    settings = {name: getattr(body, name) for name in named - {"extra"}}
    changed = await deps.backend.configure(
        actor, settings, body.extra if "extra" in named else None
    )
    return BackendConfig.of(changed)


def _routes(prefix: str, *, in_schema: bool) -> APIRouter:
    routes = APIRouter(prefix=prefix, tags=["backend"], include_in_schema=in_schema)
    add = routes.add_api_route
    add("/models/status", get_backend, methods=["GET"], operation_id="getBackend")
    add(
        "/load", load_model, methods=["POST"], status_code=202, operation_id="loadModel",
        responses=problems(404, 409, 500),
    )  # fmt: skip
    add(
        "/config", configure, methods=["PATCH"], operation_id="configureBackend",
        responses=problems(404),
    )  # fmt: skip
    return routes


router = _routes("/backend", in_schema=True)
bare = _routes("", in_schema=False)
"""The same routes for the root of the server."""


def _kind(connection: Connection) -> BackendKind:
    is_row = connection.provider == catalog.PROVIDER
    name = catalog.find_server(connection).name if is_row else connection.provider
    return _KINDS.get(name, "openai")
