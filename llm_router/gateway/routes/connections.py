"""Routes that list, create, update, activate, deactivate and delete connections."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Response

from llm_router.connections import store as connection_store
from llm_router.connections.record import Connection
from llm_router.gateway.deps import ConnectionId, CurrentActor, Deps
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.connections import (
    ConnectionCreate,
    ConnectionKeyUpdate,
    ConnectionPage,
    ConnectionQuery,
    ConnectionRead,
    ConnectionUpdate,
)

router = APIRouter(prefix="/connections", tags=["connections"])

Version = Annotated[
    int | None,
    Query(ge=0, le=10**9, description="Of the record as you know it; 409 if it has changed."),
]


@router.get("", response_model=ConnectionPage, operation_id="listConnections")
async def list_connections(
    actor: CurrentActor, deps: Deps, params: Annotated[ConnectionQuery, Query()]
) -> dict[str, Any]:
    """Lists the connections that you may see, a page at a time."""
    query = connection_store.Query(
        **params.model_dump(exclude={"tag", "order"}),
        tags=tuple(params.tag),
        descending=params.order == "desc",
    )
    page = await deps.store.find(actor, query)
    return {
        "items": page.items,
        "total": page.total,
        "limit": params.limit,
        "offset": params.offset,
        "unreadable": page.unreadable,
    }


@router.post(
    "",
    status_code=201,
    response_model=ConnectionRead,
    operation_id="createConnection",
    responses=problems(409),
)
async def create(
    actor: CurrentActor, deps: Deps, body: ConnectionCreate, response: Response
) -> Connection:
    """Creates a connection. It is yours alone until `visibility` says otherwise.

    If it has an address alone, its server is asked what it is: `server` says what was found, as do
    `context_length` and, if there is but one model, `model_name`. Correct what is wrong.
    """
    created = await deps.editor.create(actor, Connection(**body.values()))
    response.headers["Location"] = f"/api/connections/{created.id}"
    return created


@router.get(
    "/{connection_id}",
    response_model=ConnectionRead,
    operation_id="getConnection",
    responses=problems(404),
)
async def get(actor: CurrentActor, deps: Deps, connection_id: ConnectionId) -> Connection:
    """Returns one connection."""
    return await deps.store.get(actor, connection_id)


@router.patch(
    "/{connection_id}",
    response_model=ConnectionRead,
    operation_id="updateConnection",
    responses=problems(404, 409),
)
async def update(
    actor: CurrentActor, deps: Deps, connection_id: ConnectionId, body: ConnectionUpdate
) -> Connection:
    """Changes the fields named, and leaves the rest.

    With the `version` that the change is based on, it is refused (409) if the connection has been
    changed meanwhile. A connection that moves to another host must be given its key again, unless
    by an admin.
    """
    changes = body.values()
    version = changes.pop("version", None)
    return await deps.editor.update(actor, connection_id, changes, version=version)


@router.delete(
    "/{connection_id}",
    status_code=204,
    operation_id="deleteConnection",
    responses=problems(404, 409),
)
async def delete(
    actor: CurrentActor, deps: Deps, connection_id: ConnectionId, version: Version = None
) -> None:
    """Deletes a connection. Replies in flight finish on it; its use stays in the usage log."""
    await deps.store.remove(actor, connection_id, version=version)


@router.post(
    "/{connection_id}/activate",
    response_model=ConnectionRead,
    operation_id="activateConnection",
    responses=problems(404),
)
async def activate(actor: CurrentActor, deps: Deps, connection_id: ConnectionId) -> Connection:
    """Activates a connection: calls ask it from the next turn on."""
    return await deps.editor.update(actor, connection_id, {"is_active": True})


@router.post(
    "/{connection_id}/deactivate",
    response_model=ConnectionRead,
    operation_id="deactivateConnection",
    responses=problems(404),
)
async def deactivate(actor: CurrentActor, deps: Deps, connection_id: ConnectionId) -> Connection:
    """Deactivates a connection: calls ask it no more from the next turn on.

    Replies in flight finish.
    """
    return await deps.editor.update(actor, connection_id, {"is_active": False})


@router.post(
    "/{connection_id}/rotate-key",
    response_model=ConnectionRead,
    operation_id="rotateConnectionKey",
    responses=problems(404, 409),
)
async def rotate_key(
    actor: CurrentActor,
    deps: Deps,
    connection_id: ConnectionId,
    body: Annotated[ConnectionKeyUpdate, Body()],
) -> Connection:
    """Replaces the key; the old one is gone at once."""
    key = body.api_key.get_secret_value() if body.api_key else None
    return await deps.editor.update(actor, connection_id, {"api_key": key}, version=body.version)
