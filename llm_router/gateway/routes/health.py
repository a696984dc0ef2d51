"""How a connection is, and how that is known."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from llm_router.gateway.deps import Asking, ConnectionId, Served
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.connections import PageWanted
from llm_router.gateway.schemas.health import ConnectionHealth

router = APIRouter(prefix="/connections", tags=["connections"])


@router.get(
    "/{connection_id}/health",
    response_model=ConnectionHealth,
    operation_id="getConnectionHealth",
    responses=problems(404),
)
async def health(
    asking: Asking,
    served: Served,
    connection_id: ConnectionId,
    wanted: Annotated[PageWanted, Query()],
) -> dict[str, Any]:
    """Its status with the reason, and the checks that were made of it, the newest first."""
    connection = await served.store.get(asking, connection_id)
    page = await served.store.checks(
        asking, connection_id, limit=wanted.limit, offset=wanted.offset
    )
    return {
        "status": connection.status,
        "status_reason": connection.status_reason,
        "items": page.items,
        "total": page.total,
        "limit": wanted.limit,
        "offset": wanted.offset,
    }
