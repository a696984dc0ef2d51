"""Routes that list the models of chat completions."""

from typing import Annotated

from fastapi import APIRouter, Path

from llm_router.gateway.completions.answer import list_models
from llm_router.gateway.completions.problems import unknown_model
from llm_router.gateway.deps import CurrentActor, Deps
from llm_router.gateway.openapi import openai_errors
from llm_router.gateway.schemas.chat import ModelRead, ModelsRead

router = APIRouter(prefix="/v1/models", tags=["chat completions"])


@router.get("", operation_id="listChatModels", responses=openai_errors(500))
async def list_chat_models(actor: CurrentActor, deps: Deps) -> ModelsRead:
    """Lists the names that this API key may give as `model`."""
    return ModelsRead(data=await list_models(actor, deps, kind=None))


@router.get("/{name:path}", operation_id="getChatModel", responses=openai_errors(404, 500))
async def get_chat_model(
    actor: CurrentActor,
    deps: Deps,
    name: Annotated[str, Path(description="As listed.", max_length=300, examples=["auto"])],
) -> ModelRead:
    """Returns one of these names."""
    models = await list_models(actor, deps, kind=None)
    for model in models:
        if model.id == name:
            return model
    raise unknown_model(name, [model.id for model in models])
