"""Route that has one connection write a text."""

from fastapi import APIRouter

from llm_router.gateway.deps import ConnectionId, CurrentActor, Deps
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.generation import TextCreate, TextResult
from llm_router.management.generate import Generated

router = APIRouter(prefix="/connections/{connection_id}", tags=["connections"])


@router.post(
    "/generate",
    response_model=TextResult,
    operation_id="generateText",
    responses=problems(404, 409, 500, 502),
)
async def generate(
    actor: CurrentActor, deps: Deps, connection_id: ConnectionId, body: TextCreate
) -> Generated:
    """Has this one connection write a text, with its own key, for a script or an automation.

    It must be flagged `use_in_automation`. Its use counts against its limits and its budget.
    """
    return await deps.generator.generate(actor, connection_id, body.to_chat_request())
