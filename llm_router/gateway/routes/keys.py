"""API keys: made, listed and revoked by an admin."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from llm_router.gateway.deps import Asking, Served
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.access import ApiKeyMade, ApiKeyPage, NewApiKey
from llm_router.gateway.schemas.connections import PageWanted

router = APIRouter(prefix="/keys", tags=["API keys"])

_NOBODYS = frozenset({"admin", "worker"})
KeyId = Annotated[str, Path(pattern=r"^[0-9a-f]{12}$", examples=["3f9c0b6a1d2e"])]


@router.post("", status_code=201, operation_id="addApiKey")
async def add(asking: Asking, served: Served, wanted: NewApiKey, response: Response) -> ApiKeyMade:
    """Make a key. The answer shows it, this once; only its digest is kept."""
    owner = wanted.owner
    if owner is None:
        owner = "" if wanted.role in _NOBODYS else wanted.name
    key, text = await served.keys.add(
        asking,
        wanted.name,
        wanted.role,
        owner=owner,
        team=wanted.team,
        expires_at=wanted.expires_at,
    )
    response.headers["Location"] = f"/api/keys/{key.id}"
    return ApiKeyMade(**asdict(key), key=text)


@router.get("", response_model=ApiKeyPage, operation_id="listApiKeys")
async def find(
    asking: Asking, served: Served, wanted: Annotated[PageWanted, Query()]
) -> dict[str, Any]:
    """All keys, the latest first; those that were revoked say when."""
    items, total = await served.keys.find(asking, limit=wanted.limit, offset=wanted.offset)
    return {"items": items, "total": total, "limit": wanted.limit, "offset": wanted.offset}


@router.delete("/{key_id}", status_code=204, operation_id="revokeApiKey", responses=problems(404))
async def revoke(asking: Asking, served: Served, key_id: KeyId) -> None:
    """Revoke it, and end every session that began with it."""
    await served.keys.revoke(asking, key_id)
