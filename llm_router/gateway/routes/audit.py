"""What was done, by whom, when and from where. For admins."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from llm_router.gateway.deps import Asking, Served
from llm_router.gateway.schemas.access import AuditPage, AuditWanted

router = APIRouter(prefix="/audit", tags=["audit"])


@router.get("", response_model=AuditPage, operation_id="listAudit")
async def find(
    asking: Asking, served: Served, wanted: Annotated[AuditWanted, Query()]
) -> dict[str, Any]:
    """The latest entries first."""
    items = await served.store.audit(
        asking, target=wanted.target, limit=wanted.limit, offset=wanted.offset
    )
    return {"items": items, "limit": wanted.limit, "offset": wanted.offset}
