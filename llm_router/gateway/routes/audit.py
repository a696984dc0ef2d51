"""Route for the audit log: each action with its actor, its time and its origin. For admins."""

from typing import Annotated

from fastapi import APIRouter, Query

from llm_router.gateway.deps import CurrentActor, Deps
from llm_router.gateway.schemas.audit import AuditEntryRead, AuditPage, AuditQuery

router = APIRouter(prefix="/audit", tags=["audit"])


@router.get("", operation_id="listAuditEntries")
async def list_entries(
    actor: CurrentActor, deps: Deps, params: Annotated[AuditQuery, Query()]
) -> AuditPage:
    """Lists the audit log, the latest entries first."""
    items = await deps.store.audit(
        actor, target=params.target, limit=params.limit, offset=params.offset
    )
    return AuditPage(
        items=[AuditEntryRead.of(entry) for entry in items],
        limit=params.limit,
        offset=params.offset,
    )
