"""Routes that have a text written whole, for scripts and automations."""

from fastapi import APIRouter, Request

from llm_router.connections import rules
from llm_router.errors import NotFoundError
from llm_router.gateway.completions.disconnect import run_until_disconnect
from llm_router.gateway.completions.models import choose, narrowed, usable_by
from llm_router.gateway.completions.problems import ChatProblem
from llm_router.gateway.deps import ConnectionId, CurrentActor, Deps
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.generation import TextCreate, TextOfModelCreate, TextResult
from llm_router.management.generate import Generated, generate

router = APIRouter(tags=["connections"])


@router.post(
    "/connections/{connection_id}/generate",
    response_model=TextResult,
    operation_id="generateText",
    responses=problems(404, 409, 500, 502),
)
async def generate_by_connection(
    request: Request,
    actor: CurrentActor,
    deps: Deps,
    connection_id: ConnectionId,
    body: TextCreate,
) -> Generated:
    """Has this one connection write a text, with its own key, for a script or an automation.

    It must be flagged for the integration of the API key: `use_in_automation`, usually. Its use
    counts against its limits and its budget.
    """
    with deps.reply_places.taken(actor.key_id, _size(body)):
        work = deps.generator.generate(actor, connection_id, body.to_chat_request())
        return await run_until_disconnect(work, request.receive)


@router.post(
    "/generate",
    response_model=TextResult,
    operation_id="generateTextOfModel",
    responses=problems(404, 409, 502),
)
async def generate_by_model(
    request: Request, actor: CurrentActor, deps: Deps, body: TextOfModelCreate
) -> Generated:
    """Has a text written by whichever connection can, for a script or an automation.

    Only connections that are flagged for the integration of the API key are asked, usually those
    with `use_in_automation`; one that fails is replaced, in mid-text as well, as in a call.
    """
    rules.require(actor, "use")
    model_router = await deps.chat_router.get()
    usable = usable_by(actor, model_router.pool.endpoints)
    try:
        choice = choose(body.model, usable)
    except ChatProblem as problem:
        raise NotFoundError(problem.detail) from None
    total = model_router.options.total
    asked = narrowed(body.to_chat_request(), choice, actor, total)
    with deps.reply_places.taken(actor.key_id, _size(body)):
        return await run_until_disconnect(generate(model_router, asked), request.receive)


def _size(body: TextCreate) -> int:
    return len(body.prompt) + len(body.system)
