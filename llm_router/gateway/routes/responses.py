"""Routes for responses, as clients of OpenAI's API and of Open Responses ask for them."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from llm_router.connections import rules
from llm_router.gateway.completions.answer import answer
from llm_router.gateway.deps import CurrentActor, CurrentKey, Deps
from llm_router.gateway.direct_route import DirectRoute
from llm_router.gateway.openapi import body_of, openai_errors, reply
from llm_router.gateway.responses.request import not_stored, read_response_call
from llm_router.gateway.schemas.responses import ResponseCreate

router = APIRouter(prefix="/v1/responses", tags=["responses"], route_class=DirectRoute)

_REPLY = reply("The response, whole or as typed events; docs/gateway.md describes both.")
_Below = Annotated[str, Path(description="Of a response.", max_length=300, examples=["resp_1"])]


@router.post(
    "",
    operation_id="createResponse",
    response_class=Response,
    responses={200: _REPLY, **openai_errors(400, 404, 413, 429, 500, 502, 504)},
    openapi_extra=body_of(ResponseCreate),
)
async def create_response(
    request: Request, actor: CurrentActor, key: CurrentKey, deps: Deps
) -> Response:
    """Answers a conversation of items; the earlier turns are part of `input`.

    `model` and the connections that are asked are those of chat completions.
    """
    return await answer(request, actor, key, deps, read_response_call)


@router.get(
    "/{path:path}", operation_id="getResponse", status_code=404, responses=openai_errors(404)
)
async def get_response(actor: CurrentActor, path: _Below) -> None:
    """Answers 404: no response is stored."""
    rules.require(actor, "use")
    raise not_stored(path)


@router.delete(
    "/{path:path}", operation_id="deleteResponse", status_code=404, responses=openai_errors(404)
)
async def delete_response(actor: CurrentActor, path: _Below) -> None:
    """Answers 404: no response is stored."""
    rules.require(actor, "use")
    raise not_stored(path)


@router.post(
    "/{path:path}", operation_id="changeResponse", status_code=404, responses=openai_errors(404)
)
async def change_response(actor: CurrentActor, path: _Below) -> None:
    """Answers 404: no response is stored, cancelled or compacted."""
    rules.require(actor, "use")
    raise not_stored(path)
