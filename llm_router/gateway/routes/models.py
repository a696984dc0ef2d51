"""Routes for the models on a connection's server, which an Ollama pulls and deletes."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path

from llm_router.gateway.deps import Asking, ConnectionId, Served
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.connections import MODEL_NAME, PullList, PullShown, PullWanted
from llm_router.management.model_pulls import Pull

router = APIRouter(prefix="/connections/{connection_id}/models", tags=["connections"])

Name = Annotated[
    str,
    Path(description="As the server lists it.", max_length=300, pattern=MODEL_NAME,
         examples=["qwen3:4b"]),
]  # fmt: skip


@router.post(
    "/pull",
    status_code=202,
    response_model=PullShown,
    operation_id="pullModel",
    responses=problems(404, 500),
)
async def pull(
    asking: Asking,
    served: Served,
    connection_id: ConnectionId,
    wanted: Annotated[PullWanted | None, Body()] = None,
) -> Mapping[str, Any]:
    """Have the connection's server fetch a model, in the background; its own unless named.

    One that is being fetched already is not begun again. `GET` tells how far it is.
    """
    model = wanted.model if wanted else None
    return _shown(await served.models.pull(asking, connection_id, model))


@router.get("/pull", response_model=PullList, operation_id="listPulls", responses=problems(404))
async def pulls(asking: Asking, served: Served, connection_id: ConnectionId) -> Mapping[str, Any]:
    """How far the models are that this HTTP process has had fetched, the latest first."""
    found = await served.models.pulls(asking, connection_id)
    return {"items": [_shown(pull) for pull in found]}


@router.delete(
    "/{name:path}", status_code=204, operation_id="deleteModel", responses=problems(404, 500, 502)
)
async def delete(asking: Asking, served: Served, connection_id: ConnectionId, name: Name) -> None:
    """Have the connection's server throw a model away, for all who use it there; one that is being
    fetched is fetched no further.
    """
    await served.models.delete(asking, connection_id, name)


def _shown(pull: Pull) -> Mapping[str, Any]:
    progress = pull.progress
    return {
        "model": pull.model,
        "state": pull.state,
        "status": progress.status,
        "digest": progress.digest,
        "total": progress.total,
        "completed": progress.completed,
        "error": pull.error,
        "started_at": pull.started_at,
        "finished_at": pull.finished_at,
    }
