"""Route for embeddings, which are passed on to a connection that serves them."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from llm_router.gateway.deps import CurrentActor, CurrentKey, Deps
from llm_router.gateway.forwarded.answer import forward
from llm_router.gateway.forwarded.bodies import read_embeddings
from llm_router.gateway.openapi import openai_errors
from llm_router.gateway.schemas.forwarded import EmbeddingCreate

router = APIRouter(prefix="/v1", tags=["embeddings and audio"])

_ANSWER: dict[str, Any] = {
    "description": "The answer of the server, as it gave it.",
    "content": {"application/json": {"schema": {"type": "object"}}},
}
_BODY = {
    "required": True,
    "content": {"application/json": {"schema": EmbeddingCreate.model_json_schema()}},
}


@router.post(
    "/embeddings",
    operation_id="createEmbedding",
    response_class=Response,
    responses={200: _ANSWER, **openai_errors(400, 404, 413, 429, 500, 502, 504)},
    openapi_extra={"requestBody": _BODY},
)
async def create_embedding(
    request: Request, actor: CurrentActor, key: CurrentKey, deps: Deps
) -> Response:
    """Passes the request on to a connection that serves embeddings.

    Another connection is asked only if it has the same model.
    """
    return await forward(request, actor, key, deps, serves="embeddings", read=read_embeddings)
