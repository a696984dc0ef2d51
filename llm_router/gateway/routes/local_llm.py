"""Routes for programs that know local models as providers, and one Ollama.

Each user has a token bucket for each route: such programs ask in loops.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from llm_router.connections import rules
from llm_router.connections.access import Actor, serves
from llm_router.connections.record import Connection
from llm_router.connections.store import Query
from llm_router.errors import ForbiddenError, NotFoundError
from llm_router.gateway.buckets import Bucket
from llm_router.gateway.completions.answer import answer
from llm_router.gateway.completions.models import is_of_provider
from llm_router.gateway.completions.older import read_streamed_call, read_whole_call
from llm_router.gateway.deps import CurrentActor, CurrentKey, Deps, Services
from llm_router.gateway.errors import Problem
from llm_router.gateway.openapi import body_of, problems, reply
from llm_router.gateway.schemas.local_llm import (
    LocalChatCreate,
    LocalHealth,
    LocalModel,
    LocalModelChange,
    LocalProvider,
    LocalProviders,
    LocalStatus,
    OllamaDeleted,
    OllamaModelsRead,
    OllamaPullRead,
    OllamaTag,
    OllamaTags,
)
from llm_router.gateway.schemas.models import ModelPullRead
from llm_router.management.backend import BUILT_IN

router = APIRouter(prefix="/local-llm", tags=["older programs"])

_ABOUT = "The reply, in the form of chat completions; docs/gateway.md describes it."

_ASKED = Bucket(size=20, per_minute=60)
_CHANGED = Bucket(size=5, per_minute=5)
"""Of pulls and deletions, which move gigabytes."""
_MOST_PROVIDERS = 100
_STATUS: Mapping[str, LocalStatus] = {"active": "ok", "resting": "ok", "error": "unreachable"}
_CHAT: dict[str, Any] = {
    "response_class": Response,
    "responses": {200: reply(_ABOUT), **problems(400, 404, 413, 429, 500, 502, 504)},
    "openapi_extra": body_of(LocalChatCreate),
}


@router.get("/providers", operation_id="listLocalProviders", responses=problems(429, 500))
async def list_providers(actor: CurrentActor, deps: Deps) -> LocalProviders:
    """Lists the connections that answer this API key, each as a provider of its model.

    Their health is that of the latest checks; no server is asked. 100 are listed at most.
    """
    rules.require(actor, "use")
    await _take(deps, actor, _ASKED, "providers")
    page = await deps.store.find(actor, Query(is_active=True, limit=None))
    listed = [each for each in page.items if serves(each, actor.integration)
              and each.serves == "chat" and each.provider != BUILT_IN]  # fmt: skip
    return LocalProviders(
        providers=[await _provider(actor, deps, each) for each in listed[:_MOST_PROVIDERS]]
    )


@router.post("/proxy", operation_id="askLocalProvider", **_CHAT)
async def ask(request: Request, actor: CurrentActor, key: CurrentKey, deps: Deps) -> Response:
    """Answers a conversation in one piece, as `/v1/chat/completions` does.

    With `provider`, only connections of that name answer, or whose names begin with it.
    """
    await _take(deps, actor, _ASKED, "proxy")
    return await answer(request, actor, key, deps, read_whole_call)


@router.post("/stream", operation_id="streamLocalProvider", **_CHAT)
async def stream(request: Request, actor: CurrentActor, key: CurrentKey, deps: Deps) -> Response:
    """Answers a conversation as server-sent events; otherwise like `/api/local-llm/proxy`."""
    await _take(deps, actor, _ASKED, "stream")
    return await answer(request, actor, key, deps, read_streamed_call)


@router.get("/ollama/list", operation_id="listOllamaModels", responses=problems(404, 429, 500, 502))
async def list_ollama_models(
    actor: CurrentActor, deps: Deps, provider: str | None = None
) -> OllamaModelsRead:
    """Lists the models on an Ollama: the first one, unless its connection is named."""
    rules.require(actor, "test")
    await _take(deps, actor, _ASKED, "ollama/list")
    connection = await _ollama(actor, deps, provider)
    names, failure = await deps.prober.list_models(actor, connection.id)
    if failure:
        raise Problem(502, "model-server-failed", f"{connection.name}: {failure}")
    tags = [OllamaTag(name=name, model=name) for name in names]
    return OllamaModelsRead(provider=connection.name, tags=OllamaTags(models=tags))


@router.post(
    "/ollama/pull",
    status_code=202,
    operation_id="pullOllamaModel",
    responses=problems(404, 429, 500, 502),
)
async def pull(actor: CurrentActor, deps: Deps, body: LocalModelChange) -> OllamaPullRead:
    """Has an Ollama pull a model in the background; asked again, it answers how far that is.

    `LOCAL_LLM_ENABLE_PULL` must be on.
    """
    connection = await _changeable(actor, deps, body, "ollama/pull")
    started = await deps.models.pull(actor, connection.id, body.model)
    return OllamaPullRead(provider=connection.name, result=ModelPullRead.of(started))


@router.post(
    "/ollama/delete", operation_id="deleteOllamaModel", responses=problems(404, 429, 500, 502)
)
async def delete(actor: CurrentActor, deps: Deps, body: LocalModelChange) -> OllamaDeleted:
    """Deletes a model from an Ollama, for all who use it. `LOCAL_LLM_ENABLE_PULL` must be on."""
    connection = await _changeable(actor, deps, body, "ollama/delete")
    await deps.models.delete(actor, connection.id, body.model)
    return OllamaDeleted(provider=connection.name, result={"status": "success"})


async def _take(deps: Services, actor: Actor, bucket: Bucket, route: str) -> None:
    await deps.buckets.take(bucket, f"local-llm/{route}", actor.owner or actor.name)


async def _changeable(
    actor: Actor, deps: Services, body: LocalModelChange, route: str
) -> Connection:
    """Returns the Ollama whose models the actor may change. Raises as routes do."""
    rules.require(actor, "edit")
    if not deps.local_llm_may_pull:
        raise ForbiddenError(
            "models are not pulled or deleted here: LOCAL_LLM_ENABLE_PULL is off; set it, or ask an"
            " admin"
        )
    await _take(deps, actor, _CHANGED, route)
    return await _ollama(actor, deps, body.provider)


async def _ollama(actor: Actor, deps: Services, provider: str | None) -> Connection:
    """Returns the first active connection to an Ollama, or the one that is named."""
    page = await deps.store.find(actor, Query(is_active=True, limit=None))
    for connection in page.items:
        if connection.provider == "ollama" and is_of_provider(connection, provider or ""):
            return connection
    named = f" {provider!r}" if provider else ""
    raise NotFoundError(f"there is no connection{named} to an Ollama (provider `ollama`)")


async def _provider(actor: Actor, deps: Services, connection: Connection) -> LocalProvider:
    name = connection.name
    checks = (await deps.store.checks(actor, connection.id, limit=1)).items
    latency = checks[0].latency if checks else None
    health = LocalHealth(
        provider=name,
        base_url=connection.base_url,
        status=_STATUS.get(connection.status, "unknown"),
        latency_ms=None if latency is None else round(latency * 1000),
        error=connection.status_reason or None,
    )
    model = LocalModel(
        api_name=connection.model_name or name,
        ui_name=name,
        supports_tools=connection.supports_tools,
    )
    return LocalProvider(provider=name, base_url=connection.base_url, models=[model], health=health)
