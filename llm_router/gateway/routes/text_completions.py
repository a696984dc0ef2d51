"""Route for completions of a text, the oldest form of OpenAI's API."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from llm_router.gateway.completions.answer import answer
from llm_router.gateway.deps import CurrentActor, CurrentKey, Deps
from llm_router.gateway.direct_route import DirectRoute
from llm_router.gateway.openapi import body_of, openai_errors, reply
from llm_router.gateway.schemas.text_completions import CompletionCreate
from llm_router.gateway.text_completions.request import read_completion_call

router = APIRouter(prefix="/v1", tags=["completions"], route_class=DirectRoute)

_REPLY = reply("The completion, whole or as server-sent events; docs/gateway.md describes both.")


@router.post(
    "/completions",
    operation_id="createCompletion",
    response_class=Response,
    responses={200: _REPLY, **openai_errors(400, 404, 413, 429, 500, 502, 504)},
    openapi_extra=body_of(CompletionCreate),
)
async def create_completion(
    request: Request, actor: CurrentActor, key: CurrentKey, deps: Deps
) -> Response:
    """Answers one text, which the model gets as a user's message.

    `model` and the connections that are asked are those of chat completions.
    """
    return await answer(request, actor, key, deps, read_completion_call)
