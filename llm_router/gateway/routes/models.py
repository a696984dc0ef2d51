"""Routes for the models on a connection's server, which an Ollama pulls and deletes."""

from typing import Annotated

from fastapi import APIRouter, Body, Path

from llm_router.gateway.deps import ConnectionId, CurrentActor, Deps
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.models import (
    MODEL_NAME,
    ModelPullCreate,
    ModelPullList,
    ModelPullRead,
)

router = APIRouter(prefix="/connections/{connection_id}/models", tags=["connections"])

Name = Annotated[
    str,
    Path(description="As the server lists it.", max_length=300, pattern=MODEL_NAME,
         examples=["qwen3:4b"]),
]  # fmt: skip


@router.post("/pull", status_code=202, operation_id="pullModel", responses=problems(404, 500))
async def pull(
    actor: CurrentActor,
    deps: Deps,
    connection_id: ConnectionId,
    body: Annotated[ModelPullCreate | None, Body()] = None,
) -> ModelPullRead:
    """Has the connection's server pull a model in the background; its own, unless one is named.

    A pull that runs already is not started again. `GET` shows its progress.
    """
    model = body.model if body else None
    return ModelPullRead.of(await deps.models.pull(actor, connection_id, model))


@router.get("/pull", operation_id="listModelPulls", responses=problems(404))
async def list_pulls(actor: CurrentActor, deps: Deps, connection_id: ConnectionId) -> ModelPullList:
    """Lists the pulls that this HTTP process has started, the latest first."""
    pulls = await deps.models.pulls(actor, connection_id)
    return ModelPullList(items=[ModelPullRead.of(pull) for pull in pulls])


@router.delete(
    "/{name:path}", status_code=204, operation_id="deleteModel", responses=problems(404, 500, 502)
)
async def delete(actor: CurrentActor, deps: Deps, connection_id: ConnectionId, name: Name) -> None:
    """Deletes a model from the connection's server, for all who use that server.

    A pull of that model is stopped.
    """
    await deps.models.delete(actor, connection_id, name)
