"""Routes for the messages that callers have left. For admins."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from llm_router.gateway.deps import CurrentActor, Deps
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.base import PageQuery
from llm_router.gateway.schemas.caller_messages import CallerMessagePage

router = APIRouter(prefix="/messages", tags=["messages"])

MessageId = Annotated[
    str, Path(pattern=r"^[0-9a-zA-Z_-]{1,100}$", examples=["5f0c1a9be0d94c7a8f4e6f1f2c3d4e5f"])
]


@router.get("", response_model=CallerMessagePage, operation_id="listMessages")
async def list_messages(
    actor: CurrentActor, deps: Deps, params: Annotated[PageQuery, Query()]
) -> dict[str, Any]:
    """Lists what callers have left, the latest first."""
    items, total = await deps.messages.find(actor, limit=params.limit, offset=params.offset)
    return {"items": items, "total": total, "limit": params.limit, "offset": params.offset}


@router.delete(
    "/{message_id}", status_code=204, operation_id="deleteMessage", responses=problems(404)
)
async def delete(actor: CurrentActor, deps: Deps, message_id: MessageId) -> None:
    """Deletes a message for good."""
    await deps.messages.remove(actor, message_id)
