"""Routes for messages, as clients of Anthropic's API ask for them."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from llm_router.connections import rules
from llm_router.gateway.completions.answer import answer
from llm_router.gateway.completions.body import read_body
from llm_router.gateway.completions.models import choose, usable_by
from llm_router.gateway.deps import CurrentActor, CurrentKey, Deps
from llm_router.gateway.direct_route import DirectRoute
from llm_router.gateway.messages.request import count_tokens, read_message_call
from llm_router.gateway.openapi import anthropic_errors, body_of, reply
from llm_router.gateway.schemas.messages import MessageCreate, TokenCountCreate, TokenCountRead

router = APIRouter(prefix="/v1/messages", tags=["messages"], route_class=DirectRoute)

_REPLY = reply("The message, whole or as events; docs/gateway.md describes both.")


@router.post(
    "",
    operation_id="createMessage",
    response_class=Response,
    responses={200: _REPLY, **anthropic_errors(400, 404, 413, 429, 500, 502, 504)},
    openapi_extra=body_of(MessageCreate),
)
async def create_message(
    request: Request, actor: CurrentActor, key: CurrentKey, deps: Deps
) -> Response:
    """Answers a conversation in the form of Anthropic's API.

    `model` and the connections that are asked are those of chat completions.
    """
    return await answer(request, actor, key, deps, read_message_call)


@router.post(
    "/count_tokens",
    operation_id="countMessageTokens",
    responses=anthropic_errors(400, 404, 413, 500),
    openapi_extra=body_of(TokenCountCreate),
)
async def count_message_tokens(request: Request, actor: CurrentActor, deps: Deps) -> TokenCountRead:
    """Estimates the tokens of a conversation from its characters; no server is asked."""
    rules.require(actor, "use")
    fields = read_body(await request.body(), TokenCountCreate)
    router = await deps.chat_router.get()
    choose(fields.model, usable_by(actor, router.pool.endpoints))
    return TokenCountRead(input_tokens=count_tokens(fields))
