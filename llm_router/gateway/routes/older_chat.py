"""Routes for chat of programs that know a proxy of one vLLM."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from llm_router.gateway.completions.answer import answer, list_models
from llm_router.gateway.completions.older import read_older_call
from llm_router.gateway.deps import CurrentActor, CurrentKey, Deps
from llm_router.gateway.openapi import body_of, problems, reply
from llm_router.gateway.schemas.chat import ModelsRead
from llm_router.gateway.schemas.local_llm import OlderChatCreate

router = APIRouter(tags=["older programs"])

_ABOUT = "The reply, in the form of chat completions; docs/gateway.md describes it."
_ERRORS: dict[int | str, dict[str, Any]] = problems(400, 404, 413, 429, 500, 502, 504)


@router.post(
    "/chat",
    operation_id="chat",
    response_class=Response,
    responses={200: reply(_ABOUT), **_ERRORS},
    openapi_extra=body_of(OlderChatCreate),
)
async def chat(request: Request, actor: CurrentActor, key: CurrentKey, deps: Deps) -> Response:
    """Answers a conversation as `/v1/chat/completions` does, streamed unless `stream` is false.

    `model` is `auto` unless it is given. Errors before the reply are problem documents.
    """
    return await answer(request, actor, key, deps, read_older_call)


@router.get("/models", operation_id="listModelsForChat", responses=problems(500))
async def list_models_for_chat(actor: CurrentActor, deps: Deps) -> ModelsRead:
    """Lists the names that this API key may give as `model`, as `/v1/models` does."""
    return ModelsRead(data=await list_models(actor, deps))
