"""Route for the health of a connection."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from llm_router.gateway.deps import ConnectionId, CurrentActor, Deps
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.base import PageQuery
from llm_router.gateway.schemas.health import ConnectionHealthRead

router = APIRouter(prefix="/connections", tags=["connections"])


@router.get(
    "/{connection_id}/health",
    response_model=ConnectionHealthRead,
    operation_id="getConnectionHealth",
    responses=problems(404),
)
async def get_health(
    actor: CurrentActor,
    deps: Deps,
    connection_id: ConnectionId,
    params: Annotated[PageQuery, Query()],
) -> dict[str, Any]:
    """Returns the status of a connection with its reason, and its checks, the newest first."""
    connection = await deps.store.get(actor, connection_id)
    page = await deps.store.checks(actor, connection_id, limit=params.limit, offset=params.offset)
    return {
        "status": connection.status,
        "status_reason": connection.status_reason,
        "items": page.items,
        "total": page.total,
        "limit": params.limit,
        "offset": params.offset,
    }
