"""Route for the audit log: each action with its actor, its time and its origin. For admins."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from llm_router.gateway.deps import CurrentActor, Deps
from llm_router.gateway.schemas.audit import AuditPage, AuditQuery

router = APIRouter(prefix="/audit", tags=["audit"])


@router.get("", response_model=AuditPage, operation_id="listAuditEntries")
async def list_entries(
    actor: CurrentActor, deps: Deps, params: Annotated[AuditQuery, Query()]
) -> dict[str, Any]:
    """Lists the audit log, the latest entries first."""
    items = await deps.store.audit(
        actor, target=params.target, limit=params.limit, offset=params.offset
    )
    return {"items": items, "limit": params.limit, "offset": params.offset}
