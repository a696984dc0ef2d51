"""Route for chat completions, as clients of OpenAI's API ask for them."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from llm_router.gateway.completions.answer import answer
from llm_router.gateway.completions.request import read_chat_call
from llm_router.gateway.deps import CurrentActor, CurrentKey, Deps
from llm_router.gateway.direct_route import DirectRoute
from llm_router.gateway.openapi import body_of, openai_errors, reply
from llm_router.gateway.schemas.chat import ChatCompletionCreate

router = APIRouter(prefix="/v1", tags=["chat completions"], route_class=DirectRoute)

_REPLY = reply("The reply, whole or as server-sent events; docs/gateway.md describes both.")


@router.post(
    "/chat/completions",
    operation_id="createChatCompletion",
    response_class=Response,
    responses={200: _REPLY, **openai_errors(400, 404, 413, 429, 500, 502, 504)},
    openapi_extra=body_of(ChatCompletionCreate),
)
async def create_chat_completion(
    request: Request, actor: CurrentActor, key: CurrentKey, deps: Deps
) -> Response:
    """Answers a conversation through whichever connection can, as the router answers a caller.

    `model` is a connection, a pool, a model that several connections serve, or `auto`; only
    connections that the key may use and that are flagged for its integration are asked.
    """
    return await answer(request, actor, key, deps, read_chat_call)
