"""Routes with which an admin creates, lists, limits and revokes API keys."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from llm_router.gateway.deps import CurrentActor, Deps, Services
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.api_keys import (
    ApiKeyCreate,
    ApiKeyCreateResult,
    ApiKeyPage,
    ApiKeyRead,
    ApiKeyUpdate,
)
from llm_router.gateway.schemas.base import PageQuery
from llm_router.store.api_keys import ApiKey, KeyLimits

router = APIRouter(prefix="/keys", tags=["API keys"])

_ROLES_WITHOUT_OWNER = frozenset({"admin", "worker"})
KeyId = Annotated[str, Path(pattern=r"^[0-9a-f]{12}$", examples=["3f9c0b6a1d2e"])]


@router.post("", status_code=201, operation_id="createApiKey")
async def create(
    actor: CurrentActor, deps: Deps, body: ApiKeyCreate, response: Response
) -> ApiKeyCreateResult:
    """Creates an API key. The answer shows it, this once; only its digest is stored."""
    owner = body.owner
    if owner is None:
        owner = "" if body.role in _ROLES_WITHOUT_OWNER else body.name
    key, text = await deps.keys.add(
        actor,
        body.name,
        body.role,
        owner=owner,
        team=body.team,
        may_serve_calls=body.may_serve_calls,
        limits=KeyLimits(**body.values()),
    )
    response.headers["Location"] = f"/api/keys/{key.id}"
    return ApiKeyCreateResult(**_shown(key, deps), key=text)


@router.get("", response_model=ApiKeyPage, operation_id="listApiKeys")
async def list_keys(
    actor: CurrentActor, deps: Deps, params: Annotated[PageQuery, Query()]
) -> dict[str, Any]:
    """Lists all API keys, the latest first; `revoked_at` marks those that were revoked."""
    keys, total = await deps.keys.find(actor, limit=params.limit, offset=params.offset)
    items = [_shown(key, deps) for key in keys]
    return {"items": items, "total": total, "limit": params.limit, "offset": params.offset}


@router.patch(
    "/{key_id}",
    response_model=ApiKeyRead,
    operation_id="updateApiKey",
    responses=problems(404),
)
async def update(
    actor: CurrentActor, deps: Deps, key_id: KeyId, body: ApiKeyUpdate
) -> dict[str, Any]:
    """Changes limits of an API key, from its next request on; the key itself stays."""
    return _shown(await deps.keys.change(actor, key_id, body.values()), deps)


@router.delete("/{key_id}", status_code=204, operation_id="revokeApiKey", responses=problems(404))
async def revoke(actor: CurrentActor, deps: Deps, key_id: KeyId) -> None:
    """Revokes an API key, and ends every session that began with it."""
    await deps.keys.revoke(actor, key_id)


def _shown(key: ApiKey, deps: Services) -> dict[str, Any]:
    return {**asdict(key), "state": key.state(deps.now())}
